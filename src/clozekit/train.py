"""`clozekit train`: trains a model from a checked configuration and writes the run's folder."""

import sys
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from clozekit.config.callbacks import metrics_of_callbacks, mirror_of
from clozekit.config.encoder import EncoderConfig
from clozekit.config.train import TrainConfig
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.module import StreamDataModule
from clozekit.errors import DataError, DivergenceError
from clozekit.exit_codes import INTERRUPTED
from clozekit.files import write_json, write_text
from clozekit.inference.tracking import log_predictions
from clozekit.interop.pretrained import Pretrained
from clozekit.output.display import say
from clozekit.output.figures import drawn
from clozekit.runs.checkpoint_file import Checkpoint
from clozekit.runs.claim import Claim, claimed
from clozekit.runs.curves import plot_curves
from clozekit.runs.folder import RunFolder, is_first_process, refuse_existing
from clozekit.runs.mirror import find_copy
from clozekit.runs.resume import check_weights
from clozekit.tasks.base import TaskModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.training.assembly import make_module, reinitialize, resolved
from clozekit.training.beginning import Beginning, beginning_of, make_parts, tell_of_schedule
from clozekit.training.budget import within_budget
from clozekit.training.callbacks import (
    check_folders,
    check_validations,
    make_callbacks,
    monitors_of,
)
from clozekit.training.checkpoints import finish_mirror
from clozekit.training.failures import (
    is_of_restoring,
    lightning_errors_in_words,
    worker_errors_in_words,
)
from clozekit.training.final_evaluation import evaluate, evaluated_metrics
from clozekit.training.last_weights import save_last_weights
from clozekit.training.length import max_steps_of
from clozekit.training.loggers import close_loggers, prepare_loggers, wandb_loggers
from clozekit.training.monitoring import check_monitors, forget_stops
from clozekit.training.opening import checksums, open_folder, selection_metric
from clozekit.training.plan import print_plan
from clozekit.training.profiling import end_profiler
from clozekit.training.quiet import silence_warnings
from clozekit.training.rank_watch import watched
from clozekit.training.run_summary import print_summary
from clozekit.training.trainer import make_trainer
from clozekit.training.validation import check_sources, warn_of_trained_rows


def train(config: TrainConfig) -> dict[str, float]:
    """Trains a model, evaluates it, and writes everything to the run's folder.

    Args:
        config: The complete configuration.

    Returns:
        The final metrics on the validation split and, if any, the test split: of the last weights
        in pretraining and of the best checkpoint in fine-tuning. With `plan`, what the run would
        take.

    Raises:
        UserError: The configuration or the data cannot be used.
    """
    silence_warnings(shows_profile=config.trainer.profiler is not None)
    if is_first_process() and config.resume is None:
        refuse_existing(config.run_dir)
    if config.plan:
        return print_plan(config)
    if (mirror := mirror_of(config)) is not None:
        find_copy(mirror, config.run_dir, config.resume)
    if config.trainer.fast_dev_run or not is_first_process():
        return _train(config, None)
    with claimed(config.run_dir, resumes=config.resume is not None) as claim:
        return _train(config, claim)


class _Built(NamedTuple):
    """What is built of a run before it writes anything."""

    begin: Beginning
    folder: RunFolder
    encoder: EncoderConfig
    datamodule: StreamDataModule
    module: TaskModule[Any]
    callbacks: dict[str, Callback]
    trainer: Trainer


def _train(config: TrainConfig, claim: Claim | None) -> dict[str, float]:
    """Builds everything, and trains. Only the first process has a claim of the run's folder."""
    torch.set_float32_matmul_precision(config.trainer.float32_matmul_precision)
    begin = beginning_of(config)
    if begin.config.budget is not None:
        begin = begin.with_steps(1) if config.trainer.fast_dev_run else within_budget(begin)
    seed_everything(config.seed, verbose=False)
    built = _build(begin)
    trainer, module = built.trainer, built.module
    datamodule, folder = built.datamodule, built.folder
    if config.trainer.fast_dev_run:
        return _try_out(trainer, module, datamodule)

    resumed = begin.checkpoint
    try:
        if claim is not None:
            # Only after everything is built, so that an invalid configuration leaves no folder.
            claim.take()
            _open(built)
        prepare_loggers(trainer, built.begin.config, datamodule, folder, resumed)
        with watched(trainer):
            results = _run(trainer, module, datamodule, folder, resumed)
    except Exception as error:
        first_step = 0 if resumed is None else resumed.step
        # The step is 0 until Lightning has restored the checkpoint.
        is_failed_start = trainer.global_step <= first_step
        if claim is not None and is_failed_start and not isinstance(error, DivergenceError):
            claim.discard()
        raise
    if trainer.is_global_zero:
        drawn(folder.curves_file, lambda _: plot_curves(folder))
        say(f"results, curves and checkpoints are in {folder.path}")
    return results


def _build(begin: Beginning) -> _Built:
    """Builds the data, the model and the Trainer, and checks that they fit together."""
    resumed = begin.checkpoint
    saved_id = resumed.run_id if resumed is not None and begin.is_own else None
    folder = RunFolder.at(begin.config.run_dir, saved_id)
    config, pretrained, datamodule, encoder, parent = make_parts(begin)
    begin = replace(begin, config=config, parent=parent)
    max_steps = max_steps_of(config, datamodule)
    tell_of_schedule(begin, max_steps)
    module = make_module(config, encoder, datamodule, max_steps)
    if resumed is not None:
        check_weights(resumed, module.state_dict())
    else:
        if pretrained is not None:
            _load_pretrained_weights(module, pretrained)
        reinitialize(module, config.fine_tuning)
    callbacks = make_callbacks(config)
    monitors = monitors_of(callbacks, module)
    check_monitors(monitors, module, metrics_of_callbacks(config))
    trainer = make_trainer(config, encoder, datamodule, folder, max_steps, callbacks.values())
    if begin.is_of_parent:
        forget_stops(trainer)
    check_validations(callbacks, monitors, config, trainer)
    check_sources(trainer, datamodule, monitors)
    if is_first_process():
        warn_of_trained_rows(config)
    return _Built(begin, folder, encoder, datamodule, module, callbacks, trainer)


def _open(built: _Built) -> None:
    """Writes the first files of the run's folder, and prints a summary."""
    begin = built.begin.with_facts(data=checksums(built.begin.config, built.datamodule))
    values = resolved(begin.config, built.encoder)
    if (0 if begin.checkpoint is None else begin.checkpoint.step) < built.trainer.max_steps:
        # They are of fewer steps, or of other settings: the run has not finished any more.
        built.folder.results_file.unlink(missing_ok=True)
    open_folder(built.folder, begin, values, selection_metric(built.trainer, built.module))
    check_folders(built.callbacks)
    write_text(built.folder.tokenizer_file, built.datamodule.tokenizer.to_str())
    print_summary(built.module, built.encoder, built.datamodule, built.trainer, built.folder)


def _run(
    trainer: Trainer,
    module: TaskModule[Any],
    datamodule: StreamDataModule,
    folder: RunFolder,
    resumed: Checkpoint | None,
) -> dict[str, float]:
    """Trains and evaluates, writes the results, and closes the loggers in any case."""
    try:
        with lightning_errors_in_words(), worker_errors_in_words(datamodule):
            _fit(trainer, module, datamodule, resumed)
            save_last_weights(trainer, folder.last_checkpoint)
            results = evaluate(trainer, module, datamodule, folder)
        if trainer.is_global_zero:
            # Before anything else that may fail.
            write_json(folder.results_file, {"step": trainer.global_step, **results})
        _track_end(trainer, module, datamodule, folder)
        finish_mirror(trainer, is_complete=True)
    except Exception:
        finish_mirror(trainer, is_complete=False)
        raise
    finally:
        close_loggers(trainer, sys.exception())
        end_profiler(trainer)
    return results


def _try_out(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule
) -> dict[str, float]:
    """Runs Lightning's `fast_dev_run`: a few steps of everything, without writing any files."""
    with watched(trainer), lightning_errors_in_words():
        trainer.fit(module, datamodule=datamodule)
        results = evaluated_metrics(trainer)
        if "test" in datamodule.sources:
            trainer.test(module, datamodule=datamodule, verbose=False)
            results |= evaluated_metrics(trainer)
    end_profiler(trainer)
    if trainer.is_global_zero:
        say("fast_dev_run: training, validation and test ran; nothing was written")
    return results


def _load_pretrained_weights(module: TaskModule[Any], pretrained: Pretrained) -> None:
    new_parts = pretrained.load_into(module.model)
    if is_first_process():
        if new_parts:
            say(
                f"{pretrained.path} has no weights for {', '.join(new_parts)}; these are "
                "initialized randomly"
            )
        if pretrained.unused:
            say(f"{pretrained.path} has unused weights: {', '.join(pretrained.unused)}")


def _fit(
    trainer: Trainer,
    module: TaskModule[Any],
    datamodule: StreamDataModule,
    resumed: Checkpoint | None,
) -> None:
    try:
        trainer.fit(
            module,
            datamodule=datamodule,
            ckpt_path=None if resumed is None else resumed.path,
            weights_only=True,
        )
    except SystemExit as error:
        # Lightning turns Ctrl-C into exit code 1: before the first step, or the second Ctrl-C.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise SystemExit(INTERRUPTED) from None
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        if resumed is None or not is_of_restoring(error):
            raise
        raise DataError(
            f"{resumed.path} is damaged: its training state cannot be restored "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]})"
        ) from error


def _track_end(
    trainer: Trainer, module: TaskModule[Any], datamodule: StreamDataModule, folder: RunFolder
) -> None:
    """Logs predictions and checkpoints to W&B."""
    if not trainer.is_global_zero:
        return
    for logger in wandb_loggers(trainer):
        if isinstance(module, FineTuningModule) and isinstance(datamodule, LabelledDataModule):
            module.to(trainer.strategy.root_device)
            log_predictions(logger.experiment, module, datamodule)
        logger.log_checkpoints(
            (folder.last_checkpoint, folder.best_checkpoint), trainer.global_step
        )
