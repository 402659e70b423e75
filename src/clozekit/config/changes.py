"""How a changed configuration key affects a run: when it is resumed, and in a sweep."""

from enum import StrEnum


class Effect(StrEnum):
    """The effect of changing a key's value.

    A resumed run rejects changes of `STREAM` and `LEARNT` keys, accepts the others, and warns about
    keys without a declared effect. In a sweep, runs that differ only in `NAME` and `MANNER` keys
    have the same setting.
    """

    STREAM = "stream"
    """The order of samples changes, so a saved position in it would be wrong."""

    LEARNT = "learnt"
    """The model, its training data or its optimization changes."""

    COURSE = "course"
    """Training continues differently from here on, or the same data is in another place."""

    MANNER = "manner"
    """The result stays the same; only how it is computed or logged changes."""

    NAME = "name"
    """The run's name or folder changes."""


EFFECTS = {
    "seed": Effect.STREAM,
    "global_batch_size": Effect.STREAM,
    "task._target_": Effect.STREAM,
    "data._target_": Effect.STREAM,
    "encoder": Effect.LEARNT,
    "data": Effect.LEARNT,
    "optimizer": Effect.LEARNT,
    "fine_tuning": Effect.LEARNT,
    "max_steps": Effect.COURSE,
    "max_epochs": Effect.COURSE,
    "max_tokens": Effect.COURSE,
    "budget": Effect.COURSE,
    "from_run": Effect.COURSE,
    "from_step": Effect.COURSE,
    "validate_every_n_steps": Effect.COURSE,
    "compile": Effect.COURSE,
    "activation_checkpointing": Effect.COURSE,
    "callbacks": Effect.COURSE,
    "encoder.pretrained": Effect.COURSE,
    "encoder.vocab_size": Effect.COURSE,
    "encoder.model_type": Effect.MANNER,
    "data.path": Effect.COURSE,
    "data.path.*.weight": Effect.LEARNT,
    "data.train": Effect.COURSE,
    "data.validation": Effect.COURSE,
    "data.test": Effect.COURSE,
    "data.tokenizer": Effect.COURSE,
    "data.tag_scheme": Effect.COURSE,
    "data.on_unknown_label": Effect.COURSE,
    "data.validation_masking": Effect.COURSE,
    "data.first_phase.micro_batch_size": Effect.COURSE,
    "data.phases.*.micro_batch_size": Effect.COURSE,
    "resume": Effect.MANNER,
    "plan": Effect.MANNER,
    "trusted_modules": Effect.MANNER,
    "logger": Effect.MANNER,
    "micro_batch_size": Effect.MANNER,
    "data.micro_batch_size": Effect.MANNER,
    "data.cache": Effect.MANNER,
    "data.num_workers": Effect.MANNER,
    "data.allow_empty_text": Effect.MANNER,
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
"""The effect of each key. Nested keys that are not listed have their group's effect. A `*` is any
name or index."""


def effect_of(key: str) -> Effect | None:
    """Returns the effect of a `train` key, given by its full path; None if none is declared."""
    parts = key.split(".")
    while parts:
        for known, effect in EFFECTS.items():
            if _matches(known.split("."), parts):
                return effect
        parts.pop()
    return None


def _matches(known: list[str], parts: list[str]) -> bool:
    return len(known) == len(parts) and all(
        name in ("*", part) for name, part in zip(known, parts, strict=True)
    )
