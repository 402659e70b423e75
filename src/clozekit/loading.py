"""`clozekit.load`: the Python API for encoding and predicting with a trained model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer

from clozekit.config.values import Precision
from clozekit.data.files.cells import RowError, shown
from clozekit.environment import limit_kept_products
from clozekit.errors import ConfigError
from clozekit.inference.load_predictor import encoder_of, make_predictor, task_name
from clozekit.inference.missing_head import no_head
from clozekit.inference.precision import device_of
from clozekit.inference.row_predictor import Prediction
from clozekit.interop.pretrained import Pretrained
from clozekit.models.encoder import Encoder
from clozekit.runs.load_pretrained import load_pretrained

Row = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of texts, or a mapping from column names to values."""


class LoadedModel:
    """A trained model, ready to predict.

    Args:
        pretrained: Its configuration, weights and tokenizer.
        data_options: Arguments of the task's DataModule that override those of the training run,
            such as `text_column`.
        task_options: Arguments of the task that override those of the training run, such as
            `no_answer_threshold`.
        device: A torch device; `auto` uses a GPU if one is available.
        precision: The numerical precision, by the names of Lightning's Trainer. It does not apply
            to an encoder without a head.

    Attributes:
        path: The checkpoint or folder that the model was loaded from.
        task: `pretraining`, `masked_lm`, `classification`, `regression`, `tagging`,
            `question_answering`, `question_answering_bio`, `multiple_choice`, `embedding`,
            `next_sentence` for a model with only that head, or `encoder` for one without a head.
        model: The torch module, in evaluation mode.
        encoder: Its encoder, a plain torch module that can be trained further; an `Encoder` unless
            `encoder._target_` named another class.
        tokenizer: The tokenizer of the model.
        label_names: The class names in the order of their ids, or None.

    Raises:
        DataError: The model has no tokenizer.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        data_options: Mapping[str, Any] | None = None,
        task_options: Mapping[str, Any] | None = None,
        device: str = "auto",
        precision: Precision = "32-true",
    ) -> None:
        self.path = pretrained.path
        self.predictor = make_predictor(
            pretrained,
            data_options=data_options,
            task_options=task_options,
            device=device,
            precision=precision,
        )
        self._no_head = no_head(pretrained) if self.predictor is None else ""
        self.task = task_name(pretrained)
        assert pretrained.tokenizer is not None
        self.tokenizer: Tokenizer = pretrained.tokenizer
        self.label_names = pretrained.label_names
        self.model: torch.nn.Module = (
            encoder_of(pretrained).to(device_of(device))
            if self.predictor is None
            else self.predictor.model
        )
        encoder = self.model if self.predictor is None else self.model.encoder
        # A user's class need not be a subclass; it is called in the same way on packed batches.
        self.encoder = cast(Encoder, encoder)

    def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        """Predicts texts, pairs of texts, or rows.

        Args:
            rows: Texts; pairs, such as a question and its paragraph; or mappings from column
                names to values.

        Returns:
            One prediction per row, as `clozekit predict` writes it. For a pretrained model these
            are the most likely `words` for each [MASK], and the probability that the second text of
            a pair `follows` the first, or that both are `in_order` if the model was trained on
            that; otherwise the output of the task.

        Raises:
            ConfigError: The model has no head, `rows` is not several rows, or a row cannot be read.
        """
        if self.predictor is None:
            raise ConfigError(self._no_head)
        if isinstance(rows, str | bytes | Mapping) or hasattr(rows, "columns"):
            # Iterating over these gives characters, or the names of columns.
            raise ConfigError(
                f"rows is a {type(rows).__name__}; it should be a list of texts, of pairs of "
                "texts or of mappings from columns to values, also for a single row"
            )
        examples = []
        for number, given in enumerate(rows):
            try:
                examples.append(self.predictor.read(self._row(given), number))
            except RowError as error:
                raise ConfigError(f"rows[{number}]: {error}") from error
        return self.predictor.predict(examples)

    def _row(self, given: Row) -> Mapping[str, Any]:
        assert self.predictor is not None
        if isinstance(given, Mapping):
            return given
        texts = given if isinstance(given, tuple | list) else [given]
        if len(texts) in (1, 2) and all(isinstance(text, str) for text in texts):
            return self.predictor.row_of(texts[0], texts[1] if len(texts) == 2 else None)
        raise RowError(
            f"{shown(given)} should be a text, a pair of texts, or a mapping from columns to values"
        )


def load(path: str | Path, trusted_modules: Sequence[str] = (), **options: Any) -> LoadedModel:
    """Loads a trained model. Nothing in its files is executed.

    Args:
        path: A clozekit run folder or checkpoint, a model folder of transformers, or the name of a
            model on the Hugging Face hub.
        trusted_modules: Modules with classes that the model may use, such as `["my_tasks"]`.
        **options: The arguments of `LoadedModel`.

    Raises:
        ConfigError: The model uses a class that is not clozekit's, in a module that is not trusted,
            or an argument is not what it should be.
        DataError: The model does not exist or cannot be read.
    """
    if isinstance(trusted_modules, str):
        # A text is a sequence of letters.
        raise ConfigError(
            f"trusted_modules={trusted_modules!r}; it should be a list of names, such as "
            f"[{trusted_modules!r}]"
        )
    if not str(path):
        raise ConfigError("path is empty; it should be a run, a checkpoint, a folder or a name")
    limit_kept_products()
    return LoadedModel(load_pretrained(str(path), trusted_modules), **options)
