"""The keys of Lightning's Trainer: each is supported, or rejected with an alternative."""

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
"""Keys that work as Lightning documents. Its batches are optimizer steps here."""

REFUSED = {
    "accumulate_grad_batches": "it follows from global_batch_size and micro_batch_size",
    "barebones": "for a run without logs and checkpoints, set logger=[] and callbacks=[]",
    "callbacks": "callbacks are a group: +callbacks.mine._target_=my_module.MyCallback",
    "check_val_every_n_epoch": "validation is scheduled by steps: set validate_every_n_steps",
    "enable_checkpointing": "callbacks.checkpoints=null disables checkpoints",
    "limit_predict_batches": "training does not predict",
    "logger": "loggers are a group: logger=csv, logger=[csv,wandb], logger=[]",
    "max_epochs": "set max_epochs",
    "max_steps": "set max_steps",
    "min_epochs": "Lightning does not see the epochs, which are passes over the data: "
    "set trainer.min_steps",
    "model_registry": "Lightning's model registry is not available",
    "use_distributed_sampler": "the DataModule distributes the samples over the processes",
}
"""Keys that would have no effect, or not the effect that Lightning documents."""

STRATEGIES = (
    "auto",
    "ddp",
    "ddp_find_unused_parameters_false",
    "ddp_find_unused_parameters_true",
)
"""The strategies that the training step supports."""

REFUSED_CALLBACKS = {
    "BackboneFinetuning": "it depends on Lightning's epochs: use fine_tuning.freeze_encoder or "
    "fine_tuning.layerwise_lr_decay",
    "BatchSizeFinder": "it changes the batch size during a run: set micro_batch_size",
    "GradientAccumulationScheduler": "accumulation follows from global_batch_size and "
    "micro_batch_size",
    "LearningRateFinder": "it trains on steps that are then repeated: sweep over optimizer.lr",
    "StochasticWeightAveraging": "it depends on Lightning's epochs, and a run is only one of them",
}
"""Lightning callbacks that would have no effect, or would break the order of samples."""


def check_trainer_keys(target: str, arguments: dict[str, Any]) -> None:
    """Checks the names of the Trainer's arguments, and the strategy if it is a name.

    Args:
        target: The Trainer's class. A subclass may have additional arguments.
        arguments: The Trainer's arguments.

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
            f"trainer.strategy={strategy} is not supported; use {', '.join(STRATEGIES)}, or a "
            "group with _target_: lightning.pytorch.strategies.DDPStrategy"
        )
