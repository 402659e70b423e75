"""The configuration of `clozekit predict`."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveInt, model_validator

from clozekit.errors import ConfigError


class PredictConfig(BaseModel):
    """What to predict, and with which model.

    Attributes:
        checkpoint: A run's folder, for its best checkpoint (else its last), a `.ckpt` file, or a
            model of transformers.
        text: A text; or a file of rows as `input`.
        text_pair: A second text, or the paragraph of a question.
        input: A JSONL, CSV or TSV file of rows, gzipped or not.
        output: The JSONL file of predictions; null for the terminal.
        data_options: How rows are read, where not as in training: arguments of the model's
            DataModule, such as `{text_column: review}`.
        task_options: Arguments of its task, such as `{no_answer_threshold: 1.5}`.
        on_bad_row: `error` ends at a row that cannot be used, `skip` reports it and goes on.
        top_k: How many words are given for a [MASK].
        batch_size: The most sequences of one forward pass.
        device: A device of torch; `auto` for a GPU where there is one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    text: str | None = None
    text_pair: str | None = None
    input: str | None = None
    output: Path | None = None
    data_options: dict[str, Any] | None = None
    task_options: dict[str, Any] | None = None
    on_bad_row: Literal["error", "skip"] = "error"
    top_k: PositiveInt = 5
    batch_size: PositiveInt = 32
    device: str = "auto"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.text is None) == (self.input is None):
            raise ValueError("exactly one of text and input is needed")
        if self.text_pair is not None and self.text is None:
            raise ValueError("text_pair goes with text; rows of input have their own")
        return self

    def check_output(self) -> None:
        """Checks that nothing would be overwritten.

        Raises:
            ConfigError: `output` is there already.
        """
        if self.output is not None and self.output.exists():
            raise ConfigError(f"output={self.output} is there already: give another file")
