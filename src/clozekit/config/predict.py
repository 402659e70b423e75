"""The configuration of `clozekit predict`."""

from typing import Any, Literal, Self

from pydantic import model_validator

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath, PathText
from clozekit.config.stored.classes import TrustedModules
from clozekit.config.values import Count, Precision
from clozekit.errors import ConfigError

_NOT_WRITTEN = (
    *(".gz", ".bz2", ".xz", ".zst", ".zip"),
    *(".csv", ".tsv", ".conll", ".conllu", ".xlsx", ".npz", ".arrow", ".feather", ".pt"),
)
"""Endings of formats that are not written; a file of another content would not be read again."""


class PredictConfig(Closed):
    """What to predict, and with which model.

    Attributes:
        checkpoint: A run's folder (its best checkpoint, or else its last), a `.ckpt` file, or a
            transformers model.
        text: A single text; alternatively, set `input`.
        text_pair: A second text, or the paragraph for a question.
        input: A file of rows, in any format that training reads.
        output: The JSONL file for predictions; null to print them. The vectors of `task=embedding`
            may also be written to an array (`.npy`) or to Parquet (`.parquet`, with ids). An HTML
            page (`.html`) shows the first 1000 rows.
        format: `html` writes a page to `output`, whatever its ending; null for the format that the
            ending of `output` names.
        data_options: Changes to how rows were read in training: arguments of the model's
            DataModule, such as `{text_column: review}`.
        task_options: Arguments of the model's task, such as `{no_answer_threshold: 1.5}`.
        on_bad_row: `error` stops at an invalid row, `skip` reports it and continues.
        top_k: The number of words predicted for each [MASK].
        trusted_modules: Python modules with classes that the checkpoint may use, such as
            `[my_tasks]`. Their code is run; they may be in the current folder.
        batch_size: The maximum number of sequences per forward pass.
        device: A torch device; `auto` uses a GPU if available.
        precision: The numerical precision, by the names of `trainer.precision`. On a GPU
            `bf16-mixed` is faster than `32-true`.
    """

    checkpoint: PathText
    text: str | None = None
    text_pair: str | None = None
    input: PathText | None = None
    output: FilePath | None = None
    format: Literal["html"] | None = None
    data_options: dict[str, Any] | None = None
    task_options: dict[str, Any] | None = None
    on_bad_row: Literal["error", "skip"] = "error"
    top_k: Count = 5
    trusted_modules: TrustedModules = ()
    batch_size: Count = 32
    device: str = "auto"
    precision: Precision = "32-true"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.text is None) == (self.input is None):
            raise ValueError("set exactly one of text and input")
        if self.text_pair is not None and self.text is None:
            raise ValueError("text_pair requires text; rows of input have their own second text")
        if self.format is not None and self.output is None:
            raise ValueError(f"format={self.format} requires output, such as output=page.html")
        if self.output is not None and self.output.suffix.lower() in _NOT_WRITTEN:
            raise ValueError(
                f"output={self.output}: predictions are JSON lines, which are not written as "
                f"{self.output.suffix}; use a file that ends in .jsonl"
            )
        return self

    @property
    def is_page(self) -> bool:
        """Whether the predictions are written as an HTML page."""
        has_ending = self.output is not None and self.output.suffix.lower() in (".html", ".htm")
        return self.format == "html" or has_ending

    def check_output(self) -> None:
        """Checks that `output` does not exist.

        Raises:
            ConfigError: `output` already exists.
        """
        if self.output is not None and self.output.exists():
            raise ConfigError(f"output={self.output} already exists; use another file")
