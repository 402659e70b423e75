"""The keys of Lightning's Trainer: each is honoured, or refused with what to use in its place."""

from difflib import get_close_matches
from typing import Any

HONOURED = frozenset(
    {
        "accelerator",
        "benchmark",
        "default_root_dir",
        "detect_anomaly",
        "deterministic",
        "devices",
        "enable_autolog_hparams",
        "enable_model_summary",
        "enable_progress_bar",
        "fast_dev_run",
        "gradient_clip_algorithm",
        "gradient_clip_val",
        "inference_mode",
        "limit_test_batches",
        "limit_train_batches",
        "limit_val_batches",
        "log_every_n_steps",
        "max_time",
        "min_steps",
        "num_nodes",
        "num_sanity_val_steps",
        "overfit_batches",
        "plugins",
        "precision",
        "profiler",
        "reload_dataloaders_every_n_epochs",
        "strategy",
        "sync_batchnorm",
        "val_check_interval",
    }
)
"""Keys that mean what Lightning documents; where it counts batches, these are optimizer steps."""

REFUSED = {
    "accumulate_grad_batches": "it follows from global_batch_size and micro_batch_size",
    "barebones": "for a run without logs and checkpoints give logger=[] and callbacks=[]",
    "callbacks": "callbacks are a group: +callbacks.mine._target_=my_module.MyCallback",
    "check_val_every_n_epoch": "validations are counted in steps: give validate_every_n_steps",
    "enable_checkpointing": "callbacks.checkpoints=null turns checkpoints off",
    "limit_predict_batches": "training predicts nothing",
    "logger": "loggers are a group: logger=csv, logger=[csv,wandb], logger=[]",
    "max_epochs": "give max_epochs",
    "max_steps": "give max_steps",
    "min_epochs": "an epoch is a pass over the data, which Lightning does not see: "
    "give trainer.min_steps",
    "model_registry": "Lightning's registry of models is not supported",
    "use_distributed_sampler": "the DataModule gives every process its share of the samples",
}
"""Keys that would have no effect, or another one than Lightning documents."""

STRATEGIES = (
    "auto",
    "ddp",
    "ddp_find_unused_parameters_false",
    "ddp_find_unused_parameters_true",
)
"""Names of strategies that the training step supports."""

REFUSED_CALLBACKS = {
    "BackboneFinetuning": "it goes by Lightning's epochs: use fine_tuning.freeze_encoder or "
    "fine_tuning.layerwise_lr_decay",
    "BatchSizeFinder": "it changes batches in the middle of a run: give micro_batch_size",
    "GradientAccumulationScheduler": "accumulation follows from global_batch_size and "
    "micro_batch_size",
    "LearningRateFinder": "it trains on steps that are then repeated: sweep over optimizer.lr",
    "StochasticWeightAveraging": "it goes by Lightning's epochs, and a run is one of them",
}
"""Callbacks of Lightning that would have no effect, or would spoil the order of samples."""


def check_trainer_keys(target: str, arguments: dict[str, Any]) -> None:
    """Checks the names of the Trainer's arguments, and a strategy that is given by name.

    Args:
        target: The Trainer's class; the keys of a user's own subclass are not all known.
        arguments: Its arguments.

    Raises:
        ValueError: A key or the strategy is not supported.
    """
    for key, value in arguments.items():
        if key in REFUSED and value is not None:
            raise ValueError(f"trainer.{key}={value} is not supported: {REFUSED[key]}")
        if target == "lightning.pytorch.Trainer" and key not in HONOURED | REFUSED.keys():
            close = get_close_matches(key, HONOURED, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(
                f"unknown key 'trainer.{key}'{hint}; the keys are {', '.join(sorted(HONOURED))}"
            )
    strategy = arguments.get("strategy")
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        raise ValueError(
            f"trainer.strategy={strategy} is not supported; there are {', '.join(STRATEGIES)}, or "
            "a group with _target_: lightning.pytorch.strategies.DDPStrategy"
        )
