"""The Python face: a trained model from anywhere, as an object that encodes and predicts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tokenizers import Tokenizer

from clozekit.errors import ConfigError, DataError
from clozekit.interop.pretrained import Pretrained
from clozekit.models.classification import ClassificationModel
from clozekit.models.encoder import Encoder
from clozekit.models.pretraining import PretrainingModel
from clozekit.predict import MASK, Candidate, classify, fill_mask, next_sentence_probability
from clozekit.training.pretrained import load_pretrained


@dataclass(frozen=True)
class Prediction:
    """What a model makes of a text or a pair.

    Attributes:
        labels: Of a classifier: the classes, likeliest first.
        words: Of a pretrained model: the likeliest words for every [MASK].
        follows: Of a pretrained model, for a pair: the probability that the second text continues
            the first.
    """

    labels: list[Candidate] = field(default_factory=list)
    words: list[list[Candidate]] = field(default_factory=list)
    follows: float | None = None


class LoadedModel:
    """A trained model, ready to predict.

    Args:
        pretrained: Its configuration, weights and tokenizer.

    Attributes:
        task: `pretraining`, `classification`, or `encoder` where there is no head.
        model: The torch module, in evaluation mode.
        encoder: Its encoder.
        tokenizer: What text is read with.

    Raises:
        DataError: There is no tokenizer.
    """

    def __init__(self, pretrained: Pretrained) -> None:
        if pretrained.tokenizer is None:
            raise DataError(
                f"{pretrained.path}: there is no tokenizer; a tokenizer.json or vocab.txt is needed"
            )
        self.path = pretrained.path
        self.tokenizer: Tokenizer = pretrained.tokenizer
        self.label_names = pretrained.label_names or []
        self.parts = {name.partition(".")[0] for name in pretrained.weights}
        self.model: PretrainingModel | ClassificationModel | Encoder
        if self.label_names and "classification_head" in self.parts:
            self.task = "classification"
            self.model = ClassificationModel(pretrained.encoder, len(self.label_names))
            self.model.load_state_dict(pretrained.weights)
        elif "masked_lm_head" in self.parts:
            self.task = "pretraining"
            self.model = PretrainingModel(pretrained.encoder)
            pretrained.load_into(self.model)
        else:
            self.task = "encoder"
            weights = pretrained.part("encoder")
            self.model = Encoder(pretrained.encoder, add_pooling_layer="pooler.weight" in weights)
            self.model.load_state_dict(weights)
        self.model.eval()

    @property
    def encoder(self) -> Encoder:
        """The encoder, a plain torch module that can be trained on."""
        return self.model if isinstance(self.model, Encoder) else self.model.encoder

    @torch.inference_mode()
    def predict(self, texts: Sequence[str | tuple[str, str]], top_k: int = 5) -> list[Prediction]:
        """Predicts classes, or the words at every [MASK].

        Args:
            texts: Texts, or pairs of texts.
            top_k: How many words are given for a [MASK].

        Returns:
            A prediction a text.

        Raises:
            ConfigError: The model has no head, or a text is too long for it.
        """
        pairs = [(text, None) if isinstance(text, str) else text for text in texts]
        return [self._predict(text, text_pair, top_k) for text, text_pair in pairs]

    def _predict(self, text: str, text_pair: str | None, top_k: int) -> Prediction:
        length = len(self.tokenizer.encode(text, text_pair).ids)
        longest = self.encoder.config.max_position_embeddings
        if length > longest:
            raise ConfigError(
                f"a text of {length} tokens is longer than max_position_embeddings={longest}"
            )
        if isinstance(self.model, ClassificationModel):
            return Prediction(
                labels=classify(self.model, self.tokenizer, text, text_pair, self.label_names)
            )
        if isinstance(self.model, Encoder):
            raise ConfigError(f"{self.path}: it has no head to predict with, only the encoder")
        words = []
        if MASK in text + (text_pair or ""):
            words = fill_mask(self.model, self.tokenizer, text, text_pair, top_k)
        follows = None
        if text_pair is not None and "next_sentence_head" in self.parts:
            follows = next_sentence_probability(self.model, self.tokenizer, text, text_pair)
        return Prediction(words=words, follows=follows)


def load(path: str | Path) -> LoadedModel:
    """Loads a trained model.

    Args:
        path: A run's folder or checkpoint of clozekit, a folder in the layout of transformers, or
            the name of one on the Hugging Face hub.

    Raises:
        DataError: There is none, or it cannot be read.
    """
    return LoadedModel(load_pretrained(str(path)))
