"""Predictions of a pretrained model: words at [MASK], and whether a text follows another."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.data.features import RowError
from clozekit.data.packing import Packing
from clozekit.inference.rows import Prediction
from clozekit.interop.pretrained import Pretrained
from clozekit.models.pretraining import PretrainingModel

MASK = "[MASK]"


class PretrainingPredictor:
    """Fills in [MASK] and judges next sentences with a pretrained model.

    Args:
        model: The model.
        pretrained: Where it comes from; it says whether there is a head for next sentences.
        top_k: How many words are given for a [MASK].
        batch_size: The most texts of one forward pass.
    """

    def __init__(
        self, model: PretrainingModel, pretrained: Pretrained, top_k: int = 5, batch_size: int = 32
    ) -> None:
        assert pretrained.tokenizer is not None
        self._model = model
        self.tokenizer = pretrained.tokenizer
        self.judges_pairs = "next_sentence_head.seq_relationship.weight" in pretrained.weights
        self.top_k = top_k
        self.batch_size = batch_size
        self.mask_id = SpecialTokens.from_tokenizer(self.tokenizer).mask

    @property
    def model(self) -> torch.nn.Module:
        """The torch module."""
        return self._model

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row of a text or a pair."""
        return {"text": text, "text_pair": text_pair}

    def read(self, row: Mapping[str, Any], number: int) -> Any:
        """Reads a row."""
        text, pair = row.get("text"), row.get("text_pair")
        if not isinstance(text, str) or not isinstance(pair, str | None):
            raise RowError(f"text is {text!r} and text_pair {pair!r}, where texts are needed")
        if MASK not in text + (pair or "") and pair is None:
            raise RowError(
                f"text={text!r}: a pretrained model needs a {MASK} in it, or a text_pair"
            )
        encoding = self.tokenizer.encode(text, pair)
        longest = self._model.encoder.config.max_position_embeddings
        if len(encoding.ids) > longest:
            raise RowError(
                f"text: its {len(encoding.ids)} tokens, special ones included, are more than the "
                f"model's max_position_embeddings={longest}"
            )
        return encoding, pair is not None

    @torch.inference_mode()
    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predicts on texts that were read."""
        predictions: list[Prediction] = []
        for begin in range(0, len(examples), self.batch_size):
            predictions += self._predict(examples[begin : begin + self.batch_size])
        return predictions

    def _predict(self, examples: Sequence[Any]) -> list[Prediction]:
        encodings = [encoding for encoding, _ in examples]
        device = self._model.encoder.pooler.weight.device  # type: ignore[union-attr]
        packing = Packing.of_lists([e.ids for e in encodings]).to(device)
        input_ids = torch.tensor([i for e in encodings for i in e.ids], device=device)
        token_types = torch.tensor([i for e in encodings for i in e.type_ids], device=device)
        masks = (input_ids == self.mask_id).nonzero().squeeze(-1)
        output = self._model(input_ids, token_types, packing, masks)
        logits = output.prediction_logits.float()
        top = logits.softmax(dim=-1).topk(min(self.top_k, logits.shape[1]), dim=-1)
        words = iter(self._words(top.indices.tolist(), top.values.tolist()))
        follows = output.seq_relationship_logits.float().softmax(dim=-1)[:, 0].tolist()
        predictions = []
        for (encoding, is_pair), probability in zip(examples, follows, strict=True):
            prediction: Prediction = {
                "words": [next(words) for i in encoding.ids if i == self.mask_id]
            }
            if is_pair and self.judges_pairs:
                prediction["follows"] = probability
            predictions.append(prediction)
        return predictions

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
