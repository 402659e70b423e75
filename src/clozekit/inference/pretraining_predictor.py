"""Predictions of a pretrained model: words at [MASK], and whether a text follows another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clozekit.config.reading import MaskedTextReading
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.data.files.cells import RowError, as_id, as_text, is_missing
from clozekit.data.files.rows import Rows, read_file
from clozekit.data.labelled.sequences import Sequences, lay_out, token_ids
from clozekit.data.packing import Packing
from clozekit.data.sequence_format import SequenceFormat
from clozekit.errors import DataError
from clozekit.inference.precision import InferencePrecision
from clozekit.inference.row_predictor import Prediction
from clozekit.interop.pretrained import Pretrained
from clozekit.models.encoder_with_heads import EncoderWithHeads

MASK = "[MASK]"
TEXT_PAIR = "text_pair"


class MaskedText(NamedTuple):
    """A row that was read.

    Attributes:
        id: The row's id, or its index if it has none.
        encoded: The text or the pair, as one sequence.
        is_pair: Whether it is a pair.
    """

    id: str | int
    encoded: Sequences
    is_pair: bool


class PretrainingPredictor:
    """Predicts words at [MASK] and next sentences with a pretrained model.

    Args:
        model: A model with `masked_lm_head` to fill [MASK], `next_sentence_head` to score pairs, or
            both.
        pretrained: The pretrained model, for its tokenizer.
        top_k: Number of words predicted for each [MASK].
        batch_size: Maximum number of texts in one forward pass.
        precision: The precision of the forward pass; None for that of the weights.
        reading: The columns of the rows.
    """

    def __init__(
        self,
        model: EncoderWithHeads,
        pretrained: Pretrained,
        top_k: int = 5,
        batch_size: int = 32,
        precision: InferencePrecision | None = None,
        reading: MaskedTextReading | None = None,
    ) -> None:
        assert pretrained.tokenizer is not None
        self.model = model
        self.tokenizer = pretrained.tokenizer
        self.fills_masks = "masked_lm_head" in model.heads
        self.judges_pairs = "next_sentence_head" in model.heads
        self.top_k = top_k
        self.batch_size = batch_size
        self.reading = reading or MaskedTextReading()
        self.precision = precision or InferencePrecision("32-true", torch.device("cpu"))
        mask_id = SpecialTokens.from_tokenizer(self.tokenizer, str(pretrained.path)).mask
        mask = None if mask_id is None else self.tokenizer.id_to_token(mask_id)
        if mask_id is None or mask is None:
            raise DataError(f"{pretrained.path}: its tokenizer has no mask token for words")
        self.mask_id, self.mask = mask_id, mask
        self.special = SequenceFormat.of(self.tokenizer, str(pretrained.path))
        objective = (pretrained.data or {}).get("pair_objective")
        self.pair_key = "in_order" if objective == "sentence_order" else "follows"

    def read_rows(self, path: str) -> Rows:
        """Reads the rows of a file.

        Raises:
            DataError: It cannot be read, or lacks a column that is named.
        """
        given = self.reading
        columns = [given.text_column, self._pair_column, given.id_column]
        rows = read_file(path, [column for column in columns if column is not None])
        for key in ("text_column", "text_pair_column", "id_column"):
            column = getattr(given, key)
            if column is not None and rows.columns and column not in rows.columns:
                raise DataError(
                    f"{rows.name} has no column {column!r}, which {key} names; it has "
                    f"{', '.join(rows.columns)}"
                )
        return rows

    @property
    def _pair_column(self) -> str:
        return self.reading.text_pair_column or TEXT_PAIR

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text or a pair."""
        return {self.reading.text_column: text, self._pair_column: text_pair}

    def read(self, row: Mapping[str, Any], number: int) -> MaskedText:
        """Reads a row.

        Raises:
            RowError: It has no text, nothing to predict, or too many tokens.
        """
        column = self.reading.text_column
        if column not in row:
            raise RowError(f"there is no {column!r}; the row has {', '.join(row) or 'no columns'}")
        text = as_text(row[column], column)
        given = row.get(self._pair_column)
        pair = None if is_missing(given) else as_text(given, self._pair_column)
        texts = [self._with_masks(each) for each in (text, pair) if each is not None]
        has_mask = self.fills_masks and self.mask in "".join(texts)
        if not has_mask and (pair is None or not self.judges_pairs):
            needed = [f"a {self.mask} in it"] if self.fills_masks else []
            needed += ["a text_pair"] if self.judges_pairs else []
            raise RowError(f"text={text!r}: a pretrained model needs {', or '.join(needed)}")
        encoded = lay_out([token_ids(self.tokenizer, texts)], self.special)
        config = self.model.encoder.config
        if len(encoded.input_ids) > config.longest_sequence:
            raise RowError(
                f"text has {len(encoded.input_ids)} tokens including special tokens, more than "
                f"{config.limit_in_words} of the model"
            )
        given_id = None if self.reading.id_column is None else row.get(self.reading.id_column)
        row_id = number if is_missing(given_id) else as_id(given_id)
        return MaskedText(row_id, encoded, pair is not None)

    def _with_masks(self, text: str) -> str:
        """Puts the tokenizer's own mask token where a text has [MASK]."""
        is_token = self.tokenizer.token_to_id(MASK) is not None
        return text if is_token else text.replace(MASK, self.mask)

    @torch.inference_mode()
    def predict(self, examples: Sequence[MaskedText]) -> list[Prediction]:
        """Predicts examples that `read` returned."""
        predictions: list[Prediction] = []
        for begin in range(0, len(examples), self.batch_size):
            predictions += self._predict(examples[begin : begin + self.batch_size])
        return predictions

    def _predict(self, examples: Sequence[MaskedText]) -> list[Prediction]:
        encodings = [example.encoded for example in examples]
        device = self.model.encoder.embeddings.token_embeddings.weight.device
        packing = Packing.from_lengths(np.concatenate([e.lengths for e in encodings])).to(device)
        input_ids = _tensor([e.input_ids for e in encodings], device)
        token_types = _tensor([e.token_type_ids for e in encodings], device)
        masks = (input_ids == self.mask_id).nonzero().squeeze(-1)
        with self.precision.context(device):
            logits, follows = self._outputs(input_ids, token_types, packing, masks)
        words = iter(self._top_words(logits))
        predictions = []
        for number, example in enumerate(examples):
            prediction: Prediction = {}
            if self.fills_masks:
                prediction["words"] = [
                    next(words) for i in example.encoded.input_ids if i == self.mask_id
                ]
            if example.is_pair and follows is not None:
                prediction[self.pair_key] = follows[number]
            predictions.append(prediction)
        return predictions

    def _outputs(
        self, input_ids: Tensor, token_type_ids: Tensor, packing: Packing, masks: Tensor
    ) -> tuple[Tensor | None, list[float] | None]:
        """Returns the logits at [MASK], and the probability that a pair is one of the text."""
        sequence_output, pooled_output = self.model(input_ids, token_type_ids, packing)
        logits = None
        if self.fills_masks:
            logits = self.model.masked_lm_head(sequence_output.index_select(0, masks)).float()
        if not self.judges_pairs:
            return logits, None
        follows = self.model.next_sentence_head(pooled_output).float().softmax(dim=-1)[:, 0]
        return logits, follows.tolist()

    def _shown(self, token_id: int) -> str:
        """Returns the text of a token; a WordPiece that continues a word keeps its `##`."""
        token = self.tokenizer.id_to_token(token_id) or ""
        if getattr(self.tokenizer.model, "continuing_subword_prefix", None):
            return token
        text = self.tokenizer.decode([token_id], skip_special_tokens=False).strip()
        # A part of a character cannot be shown.
        return token if not text or "\ufffd" in text else text

    def _top_words(self, logits: Tensor | None) -> list[list[dict[str, Any]]]:
        """Returns the most likely words of each [MASK]."""
        if logits is None:
            return []
        top = logits.softmax(dim=-1).topk(min(self.top_k, logits.shape[1]), dim=-1)
        return [
            [{"word": self._shown(i), "probability": p} for i, p in zip(row, values, strict=True)]
            for row, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]


def _tensor(arrays: list[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(np.int64)).to(device)
