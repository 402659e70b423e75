"""Predictions of a trained model, for rows with labels and without."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from clozekit.config.build import build
from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.data.features import Features, RowError
from clozekit.data.labelled import columns_of
from clozekit.data.labelled_source import LabelledSource
from clozekit.data.packing import Packing
from clozekit.errors import ConfigError, DataError
from clozekit.interop.pretrained import Pretrained
from clozekit.models.encoder import Encoder
from clozekit.models.pretraining import PretrainingModel
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.training.pretrained import REGRESSION

TASKS_OF_HEADS = {
    "classification_head": "clozekit.tasks.classification.ClassificationModule",
    "token_classification_head": "clozekit.tasks.tagging.TaggingModule",
    "question_answering_head": "clozekit.tasks.question_answering.QuestionAnsweringModule",
    "answer_tagging_head": "clozekit.tasks.question_answering_bio.QuestionAnsweringBIOModule",
    "multiple_choice_head": "clozekit.tasks.multiple_choice.MultipleChoiceModule",
}
"""The task of a model of another library, by its head."""

MASK = "[MASK]"

Prediction = dict[str, Any]
"""What is predicted of a row, in plain values."""


class Predictor(Protocol):
    """Predicts on rows."""

    @property
    def model(self) -> torch.nn.Module:
        """The torch module."""
        ...

    @property
    def input_columns(self) -> list[str]:
        """The columns that a row needs."""
        ...

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row of a text or a pair; a `RowError` where the task's rows are others."""
        ...

    def read(self, row: Mapping[str, Any], number: int) -> Any:
        """Reads a row; a `RowError` where it cannot be used."""
        ...

    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predicts on rows that were read, in their order."""
        ...


class RowPredictor:
    """Predicts with a fine-tuned model.

    Args:
        module: The task's module.
        features: How its rows are read.
        batch_size: The most sequences of one forward pass.
    """

    def __init__(
        self, module: FineTuningModule[Any], features: Features[Any], batch_size: int = 32
    ) -> None:
        self.module = module
        self.features = features
        self.batch_size = batch_size

    @property
    def model(self) -> torch.nn.Module:
        """The torch module."""
        return self.module.model

    @property
    def input_columns(self) -> list[str]:
        """The columns that a row needs."""
        return self.features.input_columns

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row of a text or a pair."""
        return self.features.row_of(text, text_pair)

    def read(self, row: Mapping[str, Any], number: int) -> Any:
        """Reads a row."""
        return self.features.example(row, number, is_labelled=False)

    def predict(self, examples: Sequence[Any]) -> list[Prediction]:
        """Predicts on rows, those of nearly the same length together."""
        rows = self.features.encode(examples, is_labelled=False)
        predictions: list[Prediction] = [{}] * len(examples)
        for place, prediction in self.predictions(LabelledSource(rows, is_training=False)):
            predictions[place] = prediction
        return predictions

    @torch.inference_mode()
    def predictions(
        self,
        source: LabelledSource,
        update: Callable[[Any, Any], Tensor] | None = None,
    ) -> Iterator[tuple[int, Prediction]]:
        """Yields the prediction on every row of a source with the row's place in it.

        Args:
            source: The rows.
            update: Computes a batch's logits in the place of the module, given both.
        """
        for span in source.evaluation_spans(self.batch_size):
            batch = source.build([span], None).to(self.module.device)
            logits = self.module(batch) if update is None else update(self.module, batch)
            places = np.unique(batch.sample_ids[:, 2].cpu().numpy()).tolist()
            yield from zip(places, self.module.decode(logits.float(), batch), strict=True)


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

    @property
    def input_columns(self) -> list[str]:
        """The column of the text; a second text may stand in `text_pair`."""
        return ["text"]

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


def make_predictor(
    pretrained: Pretrained,
    *,
    data_options: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    top_k: int = 5,
    batch_size: int = 32,
    device: str = "auto",
) -> Predictor | None:
    """Makes what predicts with a model.

    Args:
        pretrained: The model.
        data_options: Arguments of the DataModule that say how rows are read, where not as in
            training.
        task_options: Arguments of the task, likewise.
        top_k: How many words are given for a [MASK].
        batch_size: The most sequences of one forward pass.
        device: A device of torch; `auto` for a GPU where there is one.

    Returns:
        The predictor; None of an encoder without a head.

    Raises:
        ConfigError: An argument is not one of the task's.
        DataError: There is no tokenizer.
    """
    if pretrained.tokenizer is None:
        raise DataError(
            f"{pretrained.path}: there is no tokenizer; a tokenizer.json or vocab.txt is needed"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device)
    group = _task_group(pretrained)
    if group is None:
        if "masked_lm_head.bias" not in pretrained.weights:
            return None
        model = PretrainingModel(pretrained.encoder)
        pretrained.load_into(model)
        return PretrainingPredictor(model.to(place).eval(), pretrained, top_k, batch_size)
    module = build(
        "task",
        {**group, **(task_options or {})},
        encoder=pretrained.encoder,
        **_task_arguments(pretrained),
    )
    if not isinstance(module, FineTuningModule):
        raise ConfigError(
            f"{pretrained.path}: there is no prediction for its task, {type(module).__name__}"
        )
    module.model.load_state_dict(pretrained.weights)
    features = _features(module, pretrained, data_options or {})
    return RowPredictor(module.to(place).eval(), features, batch_size)


def task_name(pretrained: Pretrained) -> str:
    """Gives the name of a model's task: `pretraining`, `classification`, …, or `encoder`."""
    group = _task_group(pretrained)
    if group is not None:
        return str(group["_target_"]).split(".")[-2]
    return "pretraining" if "masked_lm_head.bias" in pretrained.weights else "encoder"


def encoder_of(pretrained: Pretrained) -> Encoder:
    """Makes the encoder of a model."""
    weights = pretrained.part("encoder")
    encoder = Encoder(pretrained.encoder, add_pooling_layer="pooler.weight" in weights)
    encoder.load_state_dict(weights)
    return encoder.eval()


def _task_group(pretrained: Pretrained) -> Mapping[str, Any] | None:
    """Gives a fine-tuned model's task group; None where it was pretrained, or has no head."""
    if pretrained.task is not None:
        target = str(pretrained.task["_target_"])
        return None if target.endswith(".PretrainingModule") else pretrained.task
    heads = {name.partition(".")[0] for name in pretrained.weights}
    for head, target in TASKS_OF_HEADS.items():
        if head in heads:
            is_regression = pretrained.problem_type == "regression"
            return {"_target_": REGRESSION if is_regression else target}
    return None


def _task_arguments(pretrained: Pretrained) -> Mapping[str, Any]:
    """Gives what the task is told of its data, or what another library's folder says of it."""
    if pretrained.task is not None:
        return pretrained.task_arguments
    arguments: dict[str, Any] = {}
    if pretrained.label_names is not None and pretrained.problem_type != "regression":
        arguments["label_names"] = pretrained.label_names
    if pretrained.problem_type == "multi_label_classification":
        arguments["multi_label"] = True
    return arguments


def _features(
    module: FineTuningModule[Any], pretrained: Pretrained, options: Mapping[str, Any]
) -> Features[Any]:
    features_class = module.features_class
    arguments = columns_of(pretrained.data or {}, features_class)
    longest = pretrained.encoder.max_position_embeddings
    if "max_seq_length" not in arguments:
        arguments["max_seq_length"] = min(longest, 512)
    known = signature(features_class).parameters.keys() - {"tokenizer"}
    for key in sorted(options.keys() - known):
        raise ConfigError(f"data_options has {key!r}, which is none of {', '.join(sorted(known))}")
    features = features_class(pretrained.tokenizer, **{**arguments, **options})  # type: ignore[arg-type]
    features.label_names = module.label_names
    return features
