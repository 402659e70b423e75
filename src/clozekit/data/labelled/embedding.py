"""Embedding: rows with an anchor, a positive, and maybe a hard negative or a score."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import EmbeddingDataConfig
from clozekit.config.reading import EmbeddingReading
from clozekit.data.batch import EmbeddingBatch
from clozekit.data.files.cells import as_score
from clozekit.data.files.rows import Rows, is_missing
from clozekit.data.labelled.encoded_rows import EncodedRows, Example
from clozekit.data.labelled.features import Features, RowError
from clozekit.data.labelled.fields import constant, per_row, per_sequence
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.row_store import RowStore
from clozekit.data.labelled.sequences import lay_out, token_ids, truncated
from clozekit.data.sequence_format import Ids
from clozekit.errors import DataError


@dataclass(frozen=True)
class SimilarTexts(Example):
    """A text and one that is similar to it.

    Attributes:
        texts: The anchor, the positive and the hard negative, if any; in prediction only the
            anchor.
        is_pair: Whether the positive is a text of its own; if not, it is the anchor again.
        score: The similarity of the pair, if it is given.
    """

    texts: tuple[str, ...]
    is_pair: bool
    score: float | None

    label_fields: ClassVar[frozenset[str]] = frozenset({"score"})


@dataclass(frozen=True)
class SimilarRows(EncodedRows[SimilarTexts]):
    """Encoded rows of texts, one sequence per text.

    Attributes:
        text_ids: `[sequences]`. Equal for sequences with the same tokens, and not 0.
        scores: `[rows]`, float32. The score of each pair; 0 if it has none.
        is_scored: `[rows]`. 1 if the pair has a score.
        is_pair: `[rows]`. 1 if the positive is a text of its own.
        views: The number of texts per row.
    """

    text_ids: NDArray[np.int64] = field(metadata=per_sequence())
    scores: NDArray[np.float32] = field(metadata=per_row())
    is_scored: NDArray[np.int64] = field(metadata=per_row(np.int8))
    is_pair: NDArray[np.int64] = field(metadata=per_row(np.int8))
    views: int = field(metadata=constant())

    splits_examples: ClassVar[bool] = False

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> EmbeddingBatch:
        """Adds the scores, and what tells equal texts."""
        rows = self.owners[chosen][:: self.views]
        return EmbeddingBatch(
            **common,
            text_ids=torch.from_numpy(self.text_ids[chosen]),
            scores=torch.from_numpy(self.scores[rows]),
            is_scored=torch.from_numpy(self.is_scored[rows]),
            is_pair=torch.from_numpy(self.is_pair[rows]),
            views=self.views,
        )


class EmbeddingFeatures(Features[SimilarTexts]):
    """Reads and encodes pairs of texts.

    Attributes:
        is_training: Whether the rows that are read are for training, where scores are refused.
    """

    config_class = EmbeddingReading
    config: EmbeddingReading
    is_training = False

    @property
    def input_columns(self) -> list[str]:
        """The column of the anchor."""
        return [self.config.anchor_column]

    @property
    def label_columns(self) -> list[str]:
        """The columns of the texts that the anchor is compared with."""
        negative = self.config.negative_column
        positives = [] if self.config.unsupervised else [self.config.positive_column]
        return positives if negative is None else [*positives, negative]

    @property
    def optional_columns(self) -> list[str]:
        """The columns of ids and scores, and that of the positive if it may be missing."""
        more = [self.config.positive_column] if self.config.unsupervised else []
        score = self.config.score_column
        return [*super().optional_columns, *more, *([] if score is None else [score])]

    def learned(self) -> list[Any]:
        """Returns what reading depends on besides the options."""
        return [*super().learned(), self.is_training]

    def has_empty_text(self, example: SimilarTexts) -> bool:
        """Whether one of the texts is empty."""
        return not all(text.strip() for text in example.texts)

    def groups(self, examples: Sequence[SimilarTexts]) -> list[tuple[Hashable, ...]]:
        """Groups rows by anchor and positive, so that none of training is one of validation.

        Not by hard negatives: they are the positives of other rows, so that all rows would be
        connected.
        """
        return [example.texts[:2] for example in examples]

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text."""
        if text_pair is not None:
            raise RowError("text_pair is given, but this task takes a single text")
        return {self.config.anchor_column: text}

    def example(
        self, row: Mapping[str, Any], number: int, is_labelled: bool
    ) -> SimilarTexts | None:
        """Reads a row's texts and its score."""
        config = self.config
        row_id = self.row_id(row, number)
        anchor = self.text(row, config.anchor_column)
        if not is_labelled:
            return SimilarTexts(row_id, (anchor,), is_pair=False, score=None)
        is_pair = not is_missing(row.get(config.positive_column))
        if not is_pair and not config.unsupervised:
            return None
        positive = self.text(row, config.positive_column) if is_pair else anchor
        texts: tuple[str, ...] = (anchor, positive)
        if config.negative_column is not None:
            texts = (*texts, self.text(row, config.negative_column))
        score = None
        if config.score_column is not None and not is_missing(row.get(config.score_column)):
            score = as_score(row[config.score_column], config.score_column)
        if score is not None and self.is_training:
            raise RowError(
                f"{config.score_column} is given, but training takes every pair as similar; remove "
                "pairs that are not, and the column, or set data.score_column=null"
            )
        if score is not None and not is_pair:
            raise RowError(
                f"{config.score_column} is given without a text in {config.positive_column}"
            )
        return SimilarTexts(row_id, texts, is_pair, score)

    def encode(self, examples: Sequence[SimilarTexts], is_labelled: bool) -> SimilarRows:
        """Encodes each text as one sequence."""
        views = len(examples[0].texts) if examples else 1
        texts = token_ids(self.tokenizer, [text for each in examples for text in each.texts])
        cut = [truncated(ids, None, self.max_seq_length, self.special) for ids in texts]
        is_cut = np.array([was_cut for _, was_cut in cut], bool).reshape(len(examples), views)
        return SimilarRows(
            examples=examples,
            sequences=lay_out([kept for kept, _ in cut], self.special),
            owners=np.repeat(np.arange(len(examples)), views),
            # The loss is averaged over rows, so only the first sequence of each row counts.
            num_targets=np.tile(np.eye(1, views, dtype=np.int64)[0], len(examples)),
            is_truncated=np.logical_or.reduce(is_cut, axis=1),
            text_ids=np.array([_id_of(kept) for (kept,), _ in cut], np.int64),
            scores=np.array([each.score or 0.0 for each in examples], np.float32),
            is_scored=np.array([each.score is not None for each in examples], np.int64),
            is_pair=np.array([each.is_pair for each in examples], np.int64),
            views=views,
        )


class EmbeddingDataModule(LabelledDataModule[SimilarTexts]):
    """Pairs of texts.

    Attributes:
        has_pairs: Whether the validation rows have pairs without scores, for retrieval.
        has_scores: Whether they have pairs with scores.

    Raises:
        DataError: The validation rows have neither.
    """

    config_class = EmbeddingDataConfig
    features_class = EmbeddingFeatures
    config: EmbeddingDataConfig
    features: EmbeddingFeatures

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        source = self.sources["validation"]
        assert isinstance(source, LabelledSource)
        examples = source.rows.examples
        self.has_pairs = any(each.is_pair and each.score is None for each in examples)
        self.has_scores = any(each.score is not None for each in examples)
        if not self.has_pairs and not self.has_scores:
            raise DataError(
                f"data.validation={self.config.validation or 'null'}: validation needs rows with "
                f"a text in {self.config.positive_column}; with data.unsupervised=true, set "
                "data.validation to a file of pairs"
            )

    def task_arguments(self) -> dict[str, Any]:
        """Returns which metrics the validation rows allow."""
        flags = {"has_pairs": self.has_pairs, "has_scores": self.has_scores}
        return super().task_arguments() | flags

    def _examples(
        self, store: RowStore[SimilarTexts], split: str, rows: Rows, check: bool = False
    ) -> Sequence[SimilarTexts]:
        self.features.is_training = split == "train"
        try:
            return super()._examples(store, split, rows, check)
        finally:
            self.features.is_training = False


def _id_of(tokens: Ids) -> int:
    """Hashes tokens; at 64 bits, two different texts of a batch hardly have the same."""
    digest = hashlib.blake2b(tokens.tobytes(), digest_size=8).digest()
    # 0 stands for no text.
    return int.from_bytes(digest, "little", signed=True) or 1
