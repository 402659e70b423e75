"""The Python face: a trained model from anywhere, as an object that encodes and predicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer

from clozekit.data.labelled.features import RowError
from clozekit.environment import limit_kept_products
from clozekit.errors import ConfigError
from clozekit.inference.load_predictor import encoder_of, make_predictor, task_name
from clozekit.inference.row_predictor import Prediction
from clozekit.interop.pretrained import Pretrained
from clozekit.models.encoder import Encoder
from clozekit.runs.load_pretrained import load_pretrained

Row = str | tuple[str, str] | Mapping[str, Any]
"""A text, a pair of texts, or a row by its columns."""


class LoadedModel:
    """A trained model, ready to predict.

    Args:
        pretrained: Its configuration, weights and tokenizer.
        data_options: How rows are read, in the place of what it was trained with: arguments of the
            task's DataModule, such as `text_column`.
        task_options: Arguments of the task, likewise, such as `no_answer_threshold`.
        device: A device of torch; `auto` for a GPU where there is one.

    Attributes:
        path: Where it comes from.
        task: `pretraining`, `masked_lm`, `classification`, `regression`, `tagging`,
            `question_answering`, `question_answering_bio`, `multiple_choice`, or `encoder` where
            there is no head.
        model: The torch module, in evaluation mode.
        encoder: Its encoder, a plain torch module that can be trained on; an `Encoder` unless
            `encoder._target_` named another class.
        tokenizer: What text is read with.
        label_names: The classes in the order of their ids, where there are any.

    Raises:
        DataError: There is no tokenizer.
    """

    def __init__(
        self,
        pretrained: Pretrained,
        data_options: Mapping[str, Any] | None = None,
        task_options: Mapping[str, Any] | None = None,
        device: str = "auto",
    ) -> None:
        self.path = pretrained.path
        self.task = task_name(pretrained)
        self.predictor = make_predictor(
            pretrained, data_options=data_options, task_options=task_options, device=device
        )
        assert pretrained.tokenizer is not None
        self.tokenizer: Tokenizer = pretrained.tokenizer
        self.label_names = pretrained.label_names
        self.model: torch.nn.Module = (
            encoder_of(pretrained) if self.predictor is None else self.predictor.model
        )
        encoder = self.model if self.predictor is None else self.model.encoder
        # A user's class need not be a subclass; on packed batches it is used alike.
        self.encoder = cast(Encoder, encoder)

    def predict(self, rows: Sequence[Row]) -> list[Prediction]:
        """Predicts on texts, pairs of texts, or rows.

        Args:
            rows: Texts; pairs, such as a question and its paragraph; or rows by their columns.

        Returns:
            A prediction a row, as `clozekit predict` writes it: of a pretrained model the likeliest
            `words` of every [MASK], and whether a pair `follows`; else what the task predicts.

        Raises:
            ConfigError: The model has no head, or a row cannot be read.
        """
        if self.predictor is None:
            raise ConfigError(f"{self.path}: it has no head to predict with, only the encoder")
        examples = []
        for number, given in enumerate(rows):
            try:
                examples.append(self.predictor.read(self._row(given), number))
            except RowError as error:
                raise ConfigError(f"rows[{number}]: {error}") from error
        return self.predictor.predict(examples)

    def _row(self, given: Row) -> Mapping[str, Any]:
        assert self.predictor is not None
        if isinstance(given, str):
            return self.predictor.row_of(given, None)
        return given if isinstance(given, Mapping) else self.predictor.row_of(*given)


def load(path: str | Path, **options: Any) -> LoadedModel:
    """Loads a trained model.

    Args:
        path: A run's folder or checkpoint of clozekit, a folder in the layout of transformers, or
            the name of one on the Hugging Face hub.
        **options: The arguments of `LoadedModel`.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    limit_kept_products()
    return LoadedModel(load_pretrained(str(path)), **options)
