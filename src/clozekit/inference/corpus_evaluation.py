"""The metrics of a pretrained model on the validation split of a corpus."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

from clozekit.config.callbacks import FULL_SENTENCES_LOSS
from clozekit.config.data import PairDataConfig, StreamConfig
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.registry import DATA, PRETRAINING_DATA
from clozekit.config.stored.classes import construct, stored_arguments, stored_class
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.errors import ConfigError
from clozekit.inference.load_predictor import check_encoder, task_name, weights_of_parts
from clozekit.inference.precision import InferencePrecision, device_of
from clozekit.interop.pretrained import Pretrained, load_strictly
from clozekit.runs.load_pretrained import check_tokenizers_agree
from clozekit.tasks.base import TaskModule
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.tasks.pretraining import PretrainingModule
from clozekit.tasks.source_metrics import PREFIX
from clozekit.training.full_sentences import FullSentencesLoss
from clozekit.training.quiet import silence_warnings


def predicts_masked_words(pretrained: Pretrained) -> bool:
    """Whether a model is evaluated on a corpus: it was pretrained, but not fine-tuned."""
    return task_name(pretrained) in PRETRAINING_DATA


def corpus_of(config: EvaluateConfig, pretrained: Pretrained) -> CorpusDataModule:
    """Opens the corpus of an evaluation: `input`, or that of the model's run.

    Raises:
        ConfigError: There is none, its tokenizer is another one, or an option has no effect.
        DataError: The folder is not a corpus.
    """
    _check_options(config, pretrained)
    stored = pretrained.data or {}
    if config.input is None and "path" not in stored and "path" not in (config.data_options or {}):
        raise ConfigError("input is missing: set input=… to the folder of a corpus")
    if config.input is not None and Path(config.input).is_file():
        raise ConfigError(
            f"input={config.input} is a file, but {pretrained.path} is a pretrained model, which "
            "is evaluated on the folder of a corpus that `clozekit prepare` has written"
        )
    target = str(stored.get("_target_", PRETRAINING_DATA[task_name(pretrained)]))
    source, trusted = pretrained.path, pretrained.trusted_modules
    of_run = stored_arguments(source, "data", stored, DATA.get(target), trusted) if stored else {}
    longest = pretrained.encoder.longest_sequence
    default_length = StreamConfig.model_fields["max_seq_length"].default
    # The options of phases are those of training alone.
    arguments = {
        "seed": 0,
        "max_seq_length": min(default_length, longest),
        **of_run,
        # Not that of the run: checkpoints that are compared get the same samples and masks.
        **({} if config.input is None else {"seed": 0}),
        "global_batch_size": config.batch_size,
        "micro_batch_size": config.batch_size,
        "num_workers": None,
        "phases": None,
        "first_phase": None,
        **(config.data_options or {}),
    }
    if config.input is not None:
        arguments["path"] = config.input
    base = CorpusDataModule
    data_class = stored_class(source, "data", target, DATA, trusted, base)  # type: ignore[type-abstract]
    datamodule = construct(source, "data", data_class, arguments)
    check_tokenizers_agree(datamodule.tokenizer, pretrained, key="checkpoint")
    if datamodule.max_seq_length > longest:
        raise ConfigError(
            f"data_options.max_seq_length={datamodule.max_seq_length} is more than the encoder of "
            f"{pretrained.path} has: {pretrained.encoder.limit_in_words}"
        )
    datamodule.check_samples()
    return datamodule


def evaluate_on_corpus(
    config: EvaluateConfig, pretrained: Pretrained, datamodule: CorpusDataModule
) -> dict[str, float]:
    """Computes the validation metrics of training, and the loss on full sentences.

    Args:
        config: The device and the precision.
        pretrained: The model.
        datamodule: The corpus.

    Returns:
        The metrics, by their names without `validation/`.

    Raises:
        ConfigError: The device cannot be used, or does not have the precision.
        DataError: The weights are not those of the model.
    """
    device = device_of(config.device)
    InferencePrecision(config.precision, device)  # checks that the device has it
    silence_warnings(shows_profile=False)
    module = _module(pretrained, datamodule)
    trainer = Trainer(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        precision=config.precision,
        # Not those of Slurm or torchrun: it is one process also within their jobs.
        plugins=[LightningEnvironment()],
        callbacks=[FullSentencesLoss()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.validate(module, datamodule=datamodule, verbose=False)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    metrics[FULL_SENTENCES_LOSS] = metrics.pop(FULL_SENTENCES_LOSS)  # last, after those of training
    return {name.removeprefix(PREFIX): value for name, value in metrics.items()}


def facts_of(datamodule: CorpusDataModule) -> dict[str, Any]:
    """Returns what the metrics depend on besides the model."""
    return {
        "data": _paths(datamodule),
        "split": "validation",
        "max_seq_length": datamodule.max_seq_length,
        "seed": datamodule.seed,
        "masking": datamodule.config.validation_masking.model_dump(mode="json"),
    }


def _paths(datamodule: CorpusDataModule) -> str | dict[str, str]:
    paths: Mapping[str, str] = datamodule.config.paths
    return paths[""] if list(paths) == [""] else dict(paths)


def _check_options(config: EvaluateConfig, pretrained: Pretrained) -> None:
    what = f"{pretrained.path} is a pretrained model, whose evaluation has"
    if config.split == "test":
        raise ConfigError(f"split=test: {what} the validation split of a corpus only")
    if config.format is not None:
        raise ConfigError(f"format={config.format}: {what} no predictions to show")
    if config.task_options:
        raise ConfigError(f"task_options={config.task_options}: {what} no options of a task")


def _module(pretrained: Pretrained, datamodule: CorpusDataModule) -> TaskModule[Any]:
    """Makes the task with the weights of the model."""
    check_encoder(pretrained)
    module: TaskModule[Any]
    if task_name(pretrained) == "pretraining":
        of_pairs = datamodule.config
        objective = of_pairs.pair_objective if isinstance(of_pairs, PairDataConfig) else None
        module = PretrainingModule(pretrained.encoder, objective or "next_sentence")
    else:
        module = MaskedLMModule(pretrained.encoder)
    load_strictly(module.model, weights_of_parts(pretrained, module.model), str(pretrained.path))
    if datamodule.source_names:
        module.validate_sources(datamodule.source_names)
    return module
