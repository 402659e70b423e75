"""Makes Lightning's Trainer from a checked configuration. Unsupported keys raise an error."""

import os
import pydoc
from collections.abc import Iterable
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint
from lightning.pytorch.callbacks import EarlyStopping, ProgressBar
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

from clozekit.config.checks.strategies import check_strategy_class
from clozekit.config.composition.build import build, check_kind
from clozekit.config.encoder import EncoderConfig
from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError, first_line
from clozekit.runs.checkpoint_file import AtomicCheckpointIO, CheckpointMeta
from clozekit.runs.folder import RunFolder, variable_of_rank
from clozekit.runs.pruning_files import ASKS
from clozekit.training.assembly import resolved
from clozekit.training.callback_order import InOrder
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.history import StepHistory
from clozekit.training.last_weights import SavesTrained, ValidatedWeights
from clozekit.training.length import steps_of_share
from clozekit.training.loggers import make_loggers
from clozekit.training.mirror import Mirror
from clozekit.training.monitoring import StopsAgain
from clozekit.training.profiling import prepare_profiler
from clozekit.training.progress_bar import TrainingProgress
from clozekit.training.pruning import Pruning
from clozekit.training.rank_watch import RankWatch
from clozekit.training.validation import agree_on_time_of_validation

OURS = ("gradient_clip_val", "gradient_clip_algorithm", "overfit_batches", "plugins")
"""Keys implemented by the training step, the stream and this module instead of the Trainer."""


def make_trainer(
    config: TrainConfig,
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    max_steps: int,
    callbacks: Iterable[Callback] = (),
) -> Trainer:
    """Makes the Trainer.

    Args:
        config: The run's configuration.
        encoder: The encoder's complete configuration.
        datamodule: The data.
        folder: The run's folder.
        max_steps: The number of steps.
        callbacks: The callbacks of the configuration. Those that each run has are added.

    Raises:
        ConfigError: A value or a strategy is not supported.
    """
    arguments = {k: v for k, v in config.trainer.arguments().items() if k not in OURS}
    _check_strategy_class(arguments.get("strategy"))
    callbacks = _all_callbacks(config, encoder, datamodule, folder, list(callbacks))
    arguments.setdefault("default_root_dir", str(folder.path))
    trainer: Trainer = build(
        "trainer",
        arguments,
        max_steps=max_steps,
        max_epochs=-1,
        # With min_steps, Lightning's default is one of its epochs, which is the whole run.
        min_epochs=0,
        check_val_every_n_epoch=None,
        val_check_interval=steps_between_validations(config, datamodule, max_steps),
        use_distributed_sampler=False,
        # If true without a callback, Lightning adds its own; if false, it rejects any callback.
        enable_checkpointing=any(isinstance(c, LightningCheckpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
        enable_model_summary=arguments.get("enable_model_summary", False),
        plugins=_make_plugins(config),
        # Callbacks of Lightning's that write to loggers do not start without one.
        logger=[DummyLogger()] if config.trainer.fast_dev_run else make_loggers(config, folder),
        callbacks=callbacks,
    )
    check_kind("trainer", config.trainer.target, trainer, Trainer)
    _check_strategy(trainer)
    _check_nodes(trainer)
    _check_rank(trainer)
    _check_precision(trainer, config.trainer.precision)
    _set_limits(trainer, config, datamodule)
    prepare_profiler(trainer, folder)
    if isinstance(config.trainer.val_check_interval, str | dict) and trainer.world_size > 1:
        agree_on_time_of_validation(trainer)
    # Checks that no micro-batch is empty, now that the number of processes is known.
    datamodule.phases(max_steps, trainer.global_rank, trainer.world_size)
    return trainer


def _all_callbacks(
    config: TrainConfig,
    encoder: EncoderConfig,
    datamodule: StreamDataModule,
    folder: RunFolder,
    given: list[Callback],
) -> list[Callback]:
    for callback in given:
        if isinstance(callback, Checkpoints) and callback.mirror_url is not None:
            callback.mirror = Mirror(callback.mirror_url, folder)
    if config.trainer.fast_dev_run:
        # fast_dev_run writes no files; Lightning removes its own callbacks in the same way.
        given = [c for c in given if not isinstance(c, Checkpoints | EarlyStopping)]
    has_another_bar = any(
        isinstance(c, ProgressBar) and not isinstance(c, TrainingProgress) for c in given
    )
    if has_another_bar or (config.trainer.model_extra or {}).get("enable_progress_bar") is False:
        given = [c for c in given if not isinstance(c, TrainingProgress)]
    meta = CheckpointMeta(
        config=resolved(config, encoder),
        tokenizer=datamodule.tokenizer.to_str(),
        data_hash=datamodule.data_hash,
        task_arguments=datamodule.task_arguments(),
        run_id=folder.id,
    )
    if os.environ.get(ASKS) == "1" and not config.trainer.fast_dev_run:
        given.append(Pruning(folder.path))
    if not config.trainer.fast_dev_run:
        given = [SavesTrained(folder.last_checkpoint), ValidatedWeights(), *given]
    return [InOrder(), StepHistory(), meta, RankWatch(), StopsAgain(), *given]


def _make_plugins(config: TrainConfig) -> list[Any]:
    """Returns the user's plugins, plus the defaults for kinds that the user did not set."""
    given = (config.trainer.model_extra or {}).get("plugins") or []
    listed = given if isinstance(given, list) else [given]
    plugins = [
        build("trainer.plugins", plugin) if isinstance(plugin, dict) else plugin
        for plugin in listed
    ]
    for plugin in plugins:
        _check_plugin(plugin)
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        plugins.append(AtomicCheckpointIO())
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        plugins += _cluster()
    return plugins


def _check_plugin(plugin: Any) -> None:
    if isinstance(plugin, Precision):
        # Others than those of the key would not be those of the plan, the summary and inference.
        raise ConfigError(
            f"trainer.plugins: {type(plugin).__name__} is a precision, which is set by "
            "trainer.precision"
        )
    if isinstance(plugin, AsyncCheckpointIO):
        raise ConfigError(
            f"trainer.plugins: {type(plugin).__name__} is not supported: a checkpoint should be "
            "complete when a step ends; leave it out, and checkpoints are written atomically"
        )


def _cluster() -> list[ClusterEnvironment]:
    """Returns the Slurm environment if Slurm started the processes, without automatic requeueing.

    Lightning requeues from its own signal handler, which would replace ours. Instead, the job
    script requeues on the exit code.

    Raises:
        ConfigError: What the environment says of the processes does not fit.
    """
    port = os.environ.get("MASTER_PORT", "0")
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"MASTER_PORT={port} should be the number of a port, at most 65535")
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    try:
        return [SLURMEnvironment(auto_requeue=False)]
    except RuntimeError as error:  # --ntasks instead of --ntasks-per-node
        raise ConfigError(f"the job of Slurm does not fit: {first_line(error)}") from error


def _check_strategy_class(strategy: Any) -> None:
    """Checks the class of a strategy before it is made, which may need a device that is missing."""
    if not isinstance(strategy, dict):
        return
    target = str(strategy.get("_target_"))
    try:
        found = pydoc.locate(target)
    except pydoc.ErrorDuringImport:
        return  # `build` reports it
    try:
        check_strategy_class(target, [kind.__name__ for kind in getattr(found, "__mro__", ())])
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_rank(trainer: Trainer) -> None:
    """Checks that the processes of a launcher are those of the Trainer.

    Otherwise each of them would train the whole run, and only the first one guard its folder.
    """
    name = variable_of_rank()
    if name is not None and trainer.is_global_zero:
        raise ConfigError(
            f"{name}={os.environ[name]} says that this is not the first process of the run, but "
            f"the Trainer has {trainer.world_size} and this is its first; use trainer=ddp with a "
            f"launcher, or unset {name}"
        )


def _check_precision(trainer: Trainer, precision: str) -> None:
    """Checks that Lightning did not replace the precision."""
    if precision == "16-mixed" and trainer.precision != precision:
        raise ConfigError(
            f"trainer.precision={precision} is not supported on the CPU; use bf16-mixed or 32-true"
        )


def _check_strategy(trainer: Trainer) -> None:
    """Checks the strategy that Lightning made, and keeps it from broadcasting buffers.

    A process without a validation batch would not join the broadcast, and the others would wait.
    """
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs.setdefault("broadcast_buffers", False)
    is_supported = isinstance(strategy, SingleDeviceStrategy | DDPStrategy)
    if not is_supported or isinstance(strategy.launcher, _MultiProcessingLauncher):
        raise ConfigError(
            f"trainer.strategy={type(strategy).__name__} is not supported; use a single device or "
            "DDPStrategy with processes started by Lightning, torchrun or Slurm"
        )


def _check_nodes(trainer: Trainer) -> None:
    """Checks that something starts a process on each machine; Lightning only starts local ones."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    is_alone = isinstance(environment, LightningEnvironment)
    if trainer.num_nodes > 1 and is_alone and not {"NODE_RANK", "GROUP_RANK"} & os.environ.keys():
        raise ConfigError(
            f"trainer.num_nodes={trainer.num_nodes}, but nothing has started a process on the "
            "other machines: use torchrun or Slurm, or set NODE_RANK, MASTER_ADDR and MASTER_PORT "
            "on each machine"
        )


def steps_between_validations(
    config: TrainConfig, datamodule: StreamDataModule, max_steps: int
) -> Any:
    """Returns the interval in Lightning's format: steps or a time."""
    interval = config.trainer.val_check_interval
    if isinstance(interval, str | dict):
        return interval
    if isinstance(interval, float):
        interval = max(1, int(interval * datamodule.steps_per_epoch()))
    return min(interval or config.validate_every_n_steps or max_steps, max_steps)


def _set_limits(trainer: Trainer, config: TrainConfig, datamodule: StreamDataModule) -> None:
    """Converts fractions of an epoch to numbers of batches, as Lightning needs for streams."""
    given = config.trainer
    if given.overfit_batches:
        steps = steps_of_share(given.overfit_batches, datamodule.steps_per_epoch())
        datamodule.overfit_steps = trainer.limit_val_batches = steps
    if isinstance(trainer.limit_train_batches, float) and trainer.limit_train_batches < 1.0:
        trainer.limit_train_batches = steps_of_share(
            trainer.limit_train_batches, datamodule.steps_per_epoch()
        )
    for split in ("validation", "test"):
        key = "limit_val_batches" if split == "validation" else "limit_test_batches"
        limit = getattr(trainer, key)
        if isinstance(limit, float) and 0.0 < limit < 1.0 and split in datamodule.sources:
            # Of the first process on all of them: with a limit of 0, a process would leave the
            # validation out while the others wait for its metrics.
            number = datamodule.num_evaluation_batches(split, 0, trainer.world_size)
            setattr(trainer, key, max(1, int(limit * number)))
