"""Loads `encoder.pretrained`: a clozekit checkpoint or a model in the format of transformers."""

from pathlib import Path

from tokenizers import Tokenizer

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.transformers import load_transformers
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint

REGRESSION = "clozekit.tasks.regression.RegressionModule"

# A text that shows differences between normalizers: case, accents, Chinese, control characters.
_PROBE = "Aa Éé Ǆ ﬁ 中文 \t\x01 ΑΣ İ"


def load_pretrained(source: str) -> Pretrained:
    """Loads a pretrained model.

    Args:
        source: A run's folder, a clozekit checkpoint, a folder in the format of transformers, or
            the name of a model on the Hugging Face hub.

    Raises:
        DataError: The model does not exist or cannot be read.
    """
    path = Path(source)
    is_ours = path.is_file() or (path / "checkpoints").is_dir()
    return from_checkpoint(load_checkpoint(path)) if is_ours else load_transformers(source)


def from_checkpoint(checkpoint: Checkpoint) -> Pretrained:
    """Makes a pretrained model from a checkpoint."""
    arguments = checkpoint.task_arguments
    problem_type = "multi_label_classification" if arguments.get("multi_label") else None
    if checkpoint.config["task"]["_target_"] == REGRESSION:
        problem_type = "regression"
    return Pretrained(
        path=checkpoint.path,
        encoder=EncoderConfig.model_validate(checkpoint.config["encoder"]),
        weights=checkpoint.weights("model."),
        tokenizer=checkpoint.tokenizer,
        label_names=checkpoint.label_names,
        problem_type=problem_type,
        task=checkpoint.config["task"],
        task_arguments=arguments,
        data=checkpoint.config["data"],
        data_hash=checkpoint.data_hash,
    )


def check_tokenizers_agree(data: Tokenizer, pretrained: Pretrained) -> None:
    """Checks that the data and the pretrained encoder use the same tokenizer.

    Raises:
        ConfigError: The vocabularies or the normalizers differ.
    """
    theirs = pretrained.tokenizer
    if theirs is None:
        return
    before, now = theirs.get_vocab(), data.get_vocab()
    if before != now:
        differing = sorted(t for t in before.keys() | now.keys() if before.get(t) != now.get(t))
        raise ConfigError(
            f"encoder.pretrained={pretrained.path} has another vocabulary than the data: "
            f"{len(differing)} tokens differ, such as {differing[0]!r}; prepare the corpus with "
            "tokenizer=existing and tokenizer.path set to the tokenizer of the pretrained model"
        )
    if _normalized(theirs) != _normalized(data):
        raise ConfigError(
            f"encoder.pretrained={pretrained.path} normalizes text differently than the data's "
            f"tokenizer: {_PROBE!r} becomes {_normalized(theirs)!r} instead of "
            f"{_normalized(data)!r}"
        )


def _normalized(tokenizer: Tokenizer) -> str:
    normalizer = tokenizer.normalizer
    return _PROBE if normalizer is None else str(normalizer.normalize_str(_PROBE))
