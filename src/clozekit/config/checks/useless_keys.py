"""Finds given keys that do nothing: of the Trainer, the data, the encoder, and others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clozekit.config.registry import DATA
from clozekit.config.train import TrainConfig
from clozekit.config.train_groups import CompileConfig, DivergenceConfig
from clozekit.config.values import as_yaml

CHECKPOINTS = "clozekit.training.checkpoints.Checkpoints"


@dataclass(frozen=True)
class Useless:
    """A given key that does nothing.

    Attributes:
        key: The key.
        by: The key whose value is the reason.
        message: What is said about it.
    """

    key: str
    by: str
    message: str


def pair(key: str, value: Any, by: str, reason: Any, why: str = "") -> Useless:
    """Returns a key that does nothing because of the value of another one.

    Args:
        key: The key.
        value: Its value.
        by: The key whose value is the reason.
        reason: That value.
        why: What else is said, after these.
    """
    written = f"{key}={as_yaml(value)}"
    return Useless(key, by, f"{written} has no effect with {by}={as_yaml(reason)}{why}")


def of_compilation(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds options of a compilation that is off."""
    if not config.compile.enabled:
        for name, value in config.compile.model_dump(exclude={"enabled"}).items():
            key, usual = f"compile.{name}", CompileConfig.model_fields[name].default
            if key in given and value != usual:
                yield pair(key, value, "compile.enabled", False, "; set compile=default")


def of_divergence(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds a limit of rollbacks that there are not."""
    divergence, key = config.divergence, "divergence.max_rollbacks"
    usual = DivergenceConfig.model_fields["max_rollbacks"].default
    if key in given and divergence.action == "stop" and divergence.max_rollbacks != usual:
        yield pair(key, divergence.max_rollbacks, "divergence.action", "stop")


def of_trainer(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds keys of a progress bar, of epochs and of a test split that there are not."""
    trainer = config.trainer.model_extra or {}
    key = "trainer.enable_progress_bar"
    if key in given and trainer.get("enable_progress_bar") and not _may_have_bar(config):
        why = f"{key}=true has no effect without a progress bar; add progress to callbacks"
        yield Useless(key, "callbacks.progress", why)
    name = "reload_dataloaders_every_n_epochs"
    if f"trainer.{name}" in given and trainer.get(name) and config.trainer.is_one_epoch:
        by, limit = "trainer.limit_train_batches", config.trainer.limit_train_batches
        why = ", with which Lightning sees the whole run as one epoch"
        yield pair(f"trainer.{name}", trainer[name], by, limit, why)
    key, limit = "trainer.limit_test_batches", trainer.get("limit_test_batches")
    has_test = config.data.target not in DATA or (config.data.model_extra or {}).get("test")
    if key in given and limit and not has_test:
        yield pair(key, limit, "data.test", None)


def _may_have_bar(config: TrainConfig) -> bool:
    """Whether a callback is a progress bar, or of the user's and may be one."""
    targets = [each.target for each in config.callbacks.values() if each is not None]
    libraries = ("clozekit.", "lightning.")
    return any("Progress" in target or not target.startswith(libraries) for target in targets)


def of_workers(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds batches to build in advance, on the CPU without the processes that build them."""
    data, trainer = config.data.model_extra or {}, config.trainer.model_extra or {}
    factor = data.get("prefetch_factor")
    is_on_cpu = trainer.get("accelerator") == "cpu" and data.get("num_workers") is None
    if "data.prefetch_factor" in given and factor is not None and is_on_cpu:
        why = ", which means 0 on the CPU; set data.num_workers"
        yield pair("data.prefetch_factor", factor, "data.num_workers", None, why)


def of_checkpoints(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds how the best checkpoints are kept where none are by a metric."""
    for name, callback in config.callbacks.items():
        arguments = (callback.model_extra or {}) if callback is not None else {}
        is_ours = callback is not None and callback.target == CHECKPOINTS
        if not is_ours or arguments.get("monitor", "auto") is not None:
            continue
        for key, usual in (("save_top_k", (0, 1)), ("mode", ("auto",))):
            own = f"callbacks.{name}.{key}"
            if own in given and arguments[key] not in usual:
                yield pair(own, arguments[key], f"callbacks.{name}.monitor", None)


def of_encoder(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds bases of rotations in an encoder or in layers that do not rotate."""
    encoder = config.encoder
    if not encoder.is_own or encoder.pretrained is not None:
        return
    for name in ("global_rope_theta", "local_rope_theta"):
        key, value = f"encoder.{name}", getattr(encoder, name)
        if key not in given or value == type(encoder).model_fields[name].default:
            continue
        if encoder.position_embedding_type == "absolute":
            yield pair(key, value, "encoder.position_embedding_type", "absolute")
        elif name == "local_rope_theta" and encoder.local_attention is None:
            yield pair(key, value, "encoder.local_attention", None)
