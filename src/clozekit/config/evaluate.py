"""The configuration of `clozekit evaluate`."""

from typing import Any, Literal, Self

from pydantic import model_validator

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath, PathText
from clozekit.config.stored.classes import TrustedModules
from clozekit.config.values import Count, Precision


class EvaluateConfig(Closed):
    """Which model to evaluate on which rows, or on which corpus.

    Attributes:
        checkpoint: A run's folder (its best checkpoint, or else its last), a `.ckpt` file, or a
            transformers model. A pretrained model predicts masked words of a corpus, and next
            sentences if it has learnt to.
        input: A file of labelled rows, or the folder of a corpus for a pretrained model; null to
            use a split of the run's own data.
        split: The split of the run's own data to use; null for `test` if it exists, otherwise
            `validation`. Of a corpus it is always `validation`.
        out: The folder to create for the results; null to create one in the run's folder, or in the
            current folder for a checkpoint that is not in a run.
        format: `html` also writes `evaluation.html`: metrics, confusion by class, and the most
            confident errors with entities and answers marked in their texts.
        data_options: Changes to how rows or a corpus were read in training: arguments of the
            model's DataModule, such as `{text_column: review}` or `{max_seq_length: 512}`. With
            `{on_unknown_label: error}`, gold labels that the model does not have are refused; else
            they count as errors.
        task_options: Arguments of the model's task, such as `{no_answer_threshold: 1.5}`.
        trusted_modules: Python modules with classes that the checkpoint may use, such as
            `[my_tasks]`. Their code is run; they may be in the current folder.
        batch_size: The maximum number of sequences per forward pass.
        device: A torch device; `auto` uses a GPU if available.
        precision: The numerical precision, by the names of `trainer.precision`. On a GPU
            `bf16-mixed` is faster than `32-true`.
    """

    checkpoint: PathText
    input: PathText | None = None
    split: Literal["validation", "test"] | None = None
    out: FilePath | None = None
    format: Literal["html"] | None = None
    data_options: dict[str, Any] | None = None
    task_options: dict[str, Any] | None = None
    trusted_modules: TrustedModules = ()
    batch_size: Count = 32
    device: str = "auto"
    precision: Precision = "32-true"

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.input is not None and self.split is not None:
            raise ValueError(
                f"split={self.split} has no effect with input={self.input}: a file has no splits, "
                "and of a corpus the validation split is taken; leave out one of the two"
            )
        return self
