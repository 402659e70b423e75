"""What it means for a run that a key has changed: to its resumption, and to a sweep."""

from enum import StrEnum


class Effect(StrEnum):
    """What another value of a key does to a run.

    A resumption refuses another `STREAM` or `LEARNT`, takes the others, and warns of keys without
    an effect. To a sweep, `NAME` and `MANNER` make no other setting.
    """

    STREAM = "stream"
    """A place in the stream of samples means something else."""

    LEARNT = "learnt"
    """Something else is learnt, or from something else."""

    COURSE = "course"
    """The run takes another course from here on, or finds the same data elsewhere."""

    MANNER = "manner"
    """The same comes out, computed or logged in another manner."""

    NAME = "name"
    """The run is called or lies otherwise."""


EFFECTS = {
    "seed": Effect.STREAM,
    "global_batch_size": Effect.STREAM,
    "task._target_": Effect.STREAM,
    "data._target_": Effect.STREAM,
    "encoder": Effect.LEARNT,
    "data": Effect.LEARNT,
    "optimizer": Effect.LEARNT,
    "max_steps": Effect.COURSE,
    "max_epochs": Effect.COURSE,
    "validate_every_n_steps": Effect.COURSE,
    "compile": Effect.COURSE,
    "activation_checkpointing": Effect.COURSE,
    "callbacks": Effect.COURSE,
    "encoder.pretrained": Effect.COURSE,
    "encoder.vocab_size": Effect.COURSE,
    "data.path": Effect.COURSE,
    "data.train": Effect.COURSE,
    "data.validation": Effect.COURSE,
    "data.test": Effect.COURSE,
    "data.tokenizer": Effect.COURSE,
    "data.first_phase.micro_batch_size": Effect.COURSE,
    "resume": Effect.MANNER,
    "logger": Effect.MANNER,
    "micro_batch_size": Effect.MANNER,
    "data.micro_batch_size": Effect.MANNER,
    "data.num_workers": Effect.MANNER,
    "data.prefetch_factor": Effect.MANNER,
    "trainer.overfit_batches": Effect.STREAM,
    "trainer.limit_train_batches": Effect.COURSE,
    "trainer.limit_val_batches": Effect.COURSE,
    "trainer.val_check_interval": Effect.COURSE,
    "trainer.max_time": Effect.COURSE,
    "trainer.num_sanity_val_steps": Effect.MANNER,
    "trainer.profiler": Effect.MANNER,
    "trainer.detect_anomaly": Effect.MANNER,
    "trainer.accelerator": Effect.MANNER,
    "trainer.devices": Effect.MANNER,
    "trainer.num_nodes": Effect.MANNER,
    "trainer.strategy": Effect.MANNER,
    "trainer.log_every_n_steps": Effect.MANNER,
    "name": Effect.NAME,
    "runs_dir": Effect.NAME,
}
"""The effect of a key, and of the keys below it that have none of their own."""


def effect_of(key: str) -> Effect | None:
    """Gives the effect of a key of `train`, by its whole path; None where none is declared."""
    while key not in EFFECTS:
        key, dot, _ = key.rpartition(".")
        if not dot:
            return None
    return EFFECTS[key]
