"""Predictions of a pretrained model: words at [MASK] and next-sentence probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.data.files.cells import RowError, as_text, is_missing
from clozekit.data.files.rows import Rows, read_file
from clozekit.data.packing import Packing
from clozekit.inference.precision import InferencePrecision
from clozekit.inference.row_predictor import Prediction
from clozekit.interop.pretrained import Pretrained
from clozekit.models.encoder_with_heads import EncoderWithHeads

MASK = "[MASK]"
TEXT, TEXT_PAIR = "text", "text_pair"


class PretrainingPredictor:
    """Predicts words at [MASK] and next sentences with a pretrained model.

    Args:
        model: A model with `masked_lm_head`, and with `next_sentence_head` to score pairs.
        pretrained: The pretrained model, for its tokenizer.
        top_k: Number of words predicted for each [MASK].
        batch_size: Maximum number of texts in one forward pass.
        precision: The precision of the forward pass; None for that of the weights.
    """

    def __init__(
        self,
        model: EncoderWithHeads,
        pretrained: Pretrained,
        top_k: int = 5,
        batch_size: int = 32,
        precision: InferencePrecision | None = None,
    ) -> None:
        assert pretrained.tokenizer is not None
        self.model = model
        self.tokenizer = pretrained.tokenizer
        self.judges_pairs = "next_sentence_head" in model.heads
        self.top_k = top_k
        self.batch_size = batch_size
        self.precision = precision or InferencePrecision("32-true", torch.device("cpu"))
        self.mask_id = SpecialTokens.from_tokenizer(self.tokenizer).mask

    def read_rows(self, path: str) -> Rows:
        """Reads the rows of a file."""
        return read_file(path, [TEXT, TEXT_PAIR])

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text or a pair."""
        return {TEXT: text, TEXT_PAIR: text_pair}

    def read(self, row: Mapping[str, Any], number: int) -> Any:
        """Reads a row."""
        if TEXT not in row:
            raise RowError(f"there is no {TEXT!r}; the row has {', '.join(row) or 'no columns'}")
        text = as_text(row[TEXT], TEXT)
        given = row.get(TEXT_PAIR)
        pair = None if is_missing(given) else as_text(given, TEXT_PAIR)
        if MASK not in text + (pair or "") and (pair is None or not self.judges_pairs):
            alternative = ", or a text_pair" if self.judges_pairs else ""
            raise RowError(f"text={text!r}: a pretrained model needs a {MASK} in it{alternative}")
        encoding = self.tokenizer.encode(text, pair)
        config = self.model.encoder.config
        if len(encoding.ids) > config.longest_sequence:
            raise RowError(
                f"text has {len(encoding.ids)} tokens including special tokens, more than "
                f"{config.limit_in_words} of the model"
            )
        return encoding, pair is not None

    @torch.inference_mode()
    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predicts examples that `read` returned."""
        predictions: list[Prediction] = []
        for begin in range(0, len(examples), self.batch_size):
            predictions += self._predict(examples[begin : begin + self.batch_size])
        return predictions

    def _predict(self, examples: Sequence[Any]) -> list[Prediction]:
        encodings = [encoding for encoding, _ in examples]
        device = self.model.encoder.embeddings.token_embeddings.weight.device
        packing = Packing.of_lists([e.ids for e in encodings]).to(device)
        input_ids = torch.tensor([i for e in encodings for i in e.ids], device=device)
        token_types = torch.tensor([i for e in encodings for i in e.type_ids], device=device)
        masks = (input_ids == self.mask_id).nonzero().squeeze(-1)
        with self.precision.context(device):
            logits, follows = self._outputs(input_ids, token_types, packing, masks)
        top = logits.softmax(dim=-1).topk(min(self.top_k, logits.shape[1]), dim=-1)
        words = iter(self._words(top.indices.tolist(), top.values.tolist()))
        predictions = []
        for number, (encoding, is_pair) in enumerate(examples):
            prediction: Prediction = {
                "words": [next(words) for i in encoding.ids if i == self.mask_id]
            }
            if is_pair and follows is not None:
                prediction["follows"] = follows[number]
            predictions.append(prediction)
        return predictions

    def _outputs(
        self, input_ids: Tensor, token_type_ids: Tensor, packing: Packing, masks: Tensor
    ) -> tuple[Tensor, list[float] | None]:
        """Returns the logits at [MASK] and the next-sentence probability of each pair."""
        sequence_output, pooled_output = self.model(input_ids, token_type_ids, packing)
        logits = self.model.masked_lm_head(sequence_output.index_select(0, masks)).float()
        if not self.judges_pairs:
            return logits, None
        follows = self.model.next_sentence_head(pooled_output).float().softmax(dim=-1)[:, 0]
        return logits, follows.tolist()

    def _words(
        self, ids: list[list[int]], probabilities: list[list[float]]
    ) -> list[list[dict[str, Any]]]:
        return [
            [
                {"word": self.tokenizer.id_to_token(i) or "", "probability": p}
                for i, p in zip(row, values, strict=True)
            ]
            for row, values in zip(ids, probabilities, strict=True)
        ]
