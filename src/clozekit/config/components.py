"""Early checks of the components that ship with clozekit, before the classes are imported."""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, PositiveInt, ValidationError, model_validator

from clozekit.config.messages import of_validation
from clozekit.config.train import Closed, TrainConfig
from clozekit.errors import ConfigError, DataError


class PretrainingDataConfig(Closed):
    """The arguments of `clozekit.data.pretraining.PretrainingDataModule`."""

    path: str
    seed: int = Field(ge=0)
    global_batch_size: PositiveInt
    micro_batch_size: PositiveInt
    num_workers: int = Field(0, ge=0)
    max_seq_length: int = Field(128, ge=8)
    short_seq_prob: float = Field(0.1, ge=0, le=1)
    masked_lm_prob: float = Field(0.15, gt=0, lt=1)
    mask_token_prob: float = Field(0.8, ge=0, le=1)
    random_token_prob: float = Field(0.1, ge=0, le=1)
    max_predictions_per_seq: PositiveInt | None = None
    whole_word_mask: bool = False

    @model_validator(mode="after")
    def _shares_add_up(self) -> "PretrainingDataConfig":
        if self.mask_token_prob + self.random_token_prob > 1:
            raise ValueError(
                f"mask_token_prob={self.mask_token_prob} and random_token_prob="
                f"{self.random_token_prob} add up to more than 1"
            )
        return self

    def check_files(self) -> None:
        """Checks that the folder holds a corpus."""
        from clozekit.corpus.manifest import Corpus

        Corpus.open(Path(self.path))


class ClassificationDataConfig(Closed):
    """The arguments of `clozekit.data.classification.ClassificationDataModule`."""

    train: str
    validation: str | None = None
    test: str | None = None
    tokenizer: str | None
    seed: int = Field(ge=0)
    global_batch_size: PositiveInt
    micro_batch_size: PositiveInt
    text_column: str = "text"
    text_pair_column: str | None = None
    label_column: str = "label"
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    num_workers: int = Field(0, ge=0)
    max_seq_length: int = Field(128, ge=8)

    def check_files(self) -> None:
        """Checks that the files are there."""
        for key in ("train", "validation", "test", "tokenizer"):
            path = getattr(self, key)
            if path is not None and not Path(path).is_file():
                raise DataError(f"data.{key}={path}: there is no such file")


SCHEMAS: dict[str, type[PretrainingDataConfig] | type[ClassificationDataConfig]] = {
    "clozekit.data.pretraining.PretrainingDataModule": PretrainingDataConfig,
    "clozekit.data.classification.ClassificationDataModule": ClassificationDataConfig,
}
"""The schema of each DataModule's arguments; a user's own is checked by its constructor."""


def check_components(config: TrainConfig) -> None:
    """Checks the data group's values and files, and W&B's account where it is needed.

    Raises:
        ConfigError: A value cannot be used.
        DataError: A file or folder is missing.
    """
    schema = SCHEMAS.get(config.data.target)
    if schema is not None:
        _parse("data", schema, config.data.model_extra or {}).check_files()
    wandb = config.logger.get("wandb")
    if wandb is not None:
        _check_wandb_account((wandb.model_extra or {}).get("mode"))


def _parse(group: str, schema: type[Any], values: dict[str, Any]) -> Any:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_within(group, of_validation(error))) from error


def _within(group: str, message: str) -> str:
    prefixed = []
    for line in message.splitlines():
        is_unknown = line.startswith("unknown key '")
        prefixed.append(
            line.replace("unknown key '", f"unknown key '{group}.", 1)
            if is_unknown
            else f"{group}.{line}"
        )
    return "\n".join(prefixed)


def _check_wandb_account(mode: str | None) -> None:
    """Refuses an online run without a key, which would end in a prompt or a long wait."""
    if mode != "online" or os.environ.get("WANDB_API_KEY"):
        return
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    if not (netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8", errors="replace")):
        raise ConfigError(
            "logger.wandb.mode=online (from WANDB_MODE) needs WANDB_API_KEY or `wandb login`; "
            "offline needs neither"
        )
