"""Schemas of clozekit's callbacks, checked before the classes are imported."""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from clozekit.config.checks.checking import checked
from clozekit.config.groups import Closed
from clozekit.config.paths import PathText
from clozekit.config.train import TrainConfig
from clozekit.config.values import LARGEST, Count
from clozekit.errors import ConfigError, DataError
from clozekit.storage.urls import WEB, is_url

Mode = Literal["min", "max", "auto"]


def check_mode(monitor: str | None, mode: str) -> None:
    """Checks the mode of a monitored metric.

    Raises:
        ValueError: The mode is invalid, or is `auto` for a metric other than `auto`.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode={mode!r} must be 'min', 'max' or 'auto'")
    if mode == "auto" and monitor not in ("auto", None):
        raise ValueError(
            f"mode=auto requires monitor=auto; with monitor={monitor} it should be min or max"
        )


class MonitoringConfig(Closed):
    """The arguments shared by callbacks that monitor a validation metric."""

    monitor: str | None = "auto"
    mode: Mode = "auto"

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        check_mode(self.monitor, self.mode)
        return self


class CheckpointsConfig(MonitoringConfig):
    """The arguments of `clozekit.training.checkpoints.Checkpoints`."""

    dirpath: PathText
    every_n_steps: Count | None = 500
    every_n_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    save_top_k: Annotated[int, Field(ge=-1, le=LARGEST)] = 1
    mirror: PathText | None = None

    @field_validator("mirror")
    @classmethod
    def _check_mirror(cls, mirror: str | None) -> str | None:
        if mirror is not None and not is_url(mirror):
            raise ValueError(
                f"{mirror} is a local path; it should be a URL such as s3://bucket/run"
            )
        if mirror is not None and mirror.partition("://")[0].lower() in WEB:
            raise ValueError(f"{mirror} is of a web server, which cannot be written")
        return mirror


class EarlyStoppingConfig(MonitoringConfig):
    """The arguments of `clozekit.training.monitoring.EarlyStopping`."""

    monitor: str = "auto"
    patience: Annotated[int, Field(ge=0, le=LARGEST)] = 3
    min_delta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class UnigramBaselineConfig(Closed):
    """The arguments of `clozekit.training.unigram.UnigramBaseline`."""

    after_n_steps: Count | None = None
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1


class ProbesConfig(Closed):
    """The arguments of `clozekit.training.probes.Probes`."""

    train: PathText
    validation: PathText
    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    every_n_steps: Count = 1000
    batch_size: Count = 64

    def check_files(self, key: str) -> None:
        """Checks that the files exist and differ.

        Args:
            key: The key of the callback, for messages.

        Raises:
            ConfigError: They are the same file.
            DataError: A file does not exist.
        """
        for name, path in (("train", self.train), ("validation", self.validation)):
            if not Path(path).is_file():
                raise DataError(f"{key}.{name}={path} does not exist")
        if Path(self.train).samefile(self.validation):
            raise ConfigError(
                f"{key}.train and {key}.validation are the same file, {self.train}; its accuracy "
                "should be that on other rows"
            )


class FullSentencesConfig(Closed):
    """The arguments of `clozekit.training.full_sentences.FullSentencesLoss`: none."""


FULL_SENTENCES_LOSS = "validation/full_sentences_mlm_loss"
"""The metric of `FullSentencesLoss`, which is the same measure for each pretraining objective."""

SCHEMAS: dict[str, type[Closed]] = {
    "clozekit.training.checkpoints.Checkpoints": CheckpointsConfig,
    "clozekit.training.monitoring.EarlyStopping": EarlyStoppingConfig,
    "clozekit.training.unigram.UnigramBaseline": UnigramBaselineConfig,
    "clozekit.training.probes.Probes": ProbesConfig,
    "clozekit.training.full_sentences.FullSentencesLoss": FullSentencesConfig,
}
"""Schemas by callback class. The arguments of other classes are checked by their constructors."""


def checkpoints_of(config: TrainConfig) -> CheckpointsConfig | None:
    """Returns the arguments of the callback that saves checkpoints, if any.

    Raises:
        ConfigError: An argument is invalid.
    """
    for name, callback in config.callbacks.items():
        if callback is not None and SCHEMAS.get(callback.target) is CheckpointsConfig:
            return checked(f"callbacks.{name}", CheckpointsConfig, callback.model_extra or {})
    return None


def mirror_of(config: TrainConfig) -> str | None:
    """Returns the URL of the run's copy in an object store, if any.

    Raises:
        ConfigError: An argument of the checkpoints is invalid.
    """
    checkpoints = None if config.trainer.fast_dev_run else checkpoints_of(config)
    return None if checkpoints is None else checkpoints.mirror


def metrics_of_callbacks(config: TrainConfig) -> dict[str, Literal["min", "max"] | None]:
    """Returns the validation metrics that callbacks add, each with the mode of its best value."""
    targets = [SCHEMAS.get(each.target) for each in config.callbacks.values() if each is not None]
    return {FULL_SENTENCES_LOSS: "min"} if FullSentencesConfig in targets else {}
