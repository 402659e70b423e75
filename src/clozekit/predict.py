"""`clozekit predict`: what a checkpoint makes of a text."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.config.predict import PredictConfig
from clozekit.data.packing import Packing
from clozekit.errors import ConfigError
from clozekit.models.classification import ClassificationModel
from clozekit.models.pretraining import PretrainingModel
from clozekit.runs.checkpoint import Checkpoint, load_checkpoint

MASK = "[MASK]"


class Candidate(NamedTuple):
    """A word for a [MASK], or a class for a text.

    Attributes:
        name: The word or class.
        probability: Its probability.
    """

    name: str
    probability: float


def predict(config: PredictConfig) -> None:
    """Prints what a checkpoint makes of a text.

    Raises:
        UserError: The checkpoint cannot be read, or the text does not fit its task.
    """
    checkpoint = load_checkpoint(config.checkpoint)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    task = checkpoint.config["task"]["_target_"].rpartition(".")[2]
    predictors: dict[str, Callable[[Checkpoint, PredictConfig, Console], None]] = {
        "PretrainingModule": _predict_pretraining,
        "ClassificationModule": _predict_classification,
    }
    if task not in predictors:
        raise ConfigError(f"{checkpoint.path}: there is no prediction for its task, {task}")
    _check_length(checkpoint, config)
    predictors[task](checkpoint, config, console)


def fill_mask(
    model: PretrainingModel, tokenizer: Tokenizer, text: str, text_pair: str | None, top_k: int
) -> list[list[Candidate]]:
    """Predicts the words at every [MASK] of a text.

    Returns:
        For every [MASK] its likeliest words, best first.
    """
    encoding = tokenizer.encode(text, text_pair)
    masks = [place for place, token in enumerate(encoding.tokens) if token == MASK]
    logits = model(*_inputs(encoding), torch.tensor(masks)).prediction_logits
    top = logits.softmax(dim=-1).topk(min(top_k, logits.shape[1]), dim=-1)
    return [
        [
            Candidate(tokenizer.id_to_token(i) or "", p)
            for i, p in zip(ids, probabilities, strict=True)
        ]
        for ids, probabilities in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]


def next_sentence_probability(
    model: PretrainingModel, tokenizer: Tokenizer, text: str, text_pair: str
) -> float:
    """Gives the probability that the second text continues the first."""
    nothing_masked = torch.empty(0, dtype=torch.int64)
    output = model(*_inputs(tokenizer.encode(text, text_pair)), nothing_masked)
    return float(output.seq_relationship_logits.softmax(dim=-1)[0, 0])


def classify(
    model: ClassificationModel,
    tokenizer: Tokenizer,
    text: str,
    text_pair: str | None,
    label_names: list[str],
) -> list[Candidate]:
    """Gives the classes of a text or a pair, likeliest first."""
    probabilities = model(*_inputs(tokenizer.encode(text, text_pair))).softmax(dim=-1)[0].tolist()
    ranked = map(Candidate, label_names, probabilities)
    return sorted(ranked, key=lambda candidate: -candidate.probability)


def load_pretraining_model(checkpoint: Checkpoint) -> PretrainingModel:
    """Makes the model of a pretraining checkpoint, ready to predict."""
    model = PretrainingModel(EncoderConfig.model_validate(checkpoint.config["encoder"]))
    model.load_state_dict(checkpoint.weights("model."))
    return model.eval()


@torch.inference_mode()
def _predict_pretraining(checkpoint: Checkpoint, config: PredictConfig, console: Console) -> None:
    if MASK not in config.text and config.text_pair is None:
        raise ConfigError(
            f"text={config.text!r}: a pretraining checkpoint needs a {MASK} in it, or a text_pair"
        )
    model, tokenizer = load_pretraining_model(checkpoint), checkpoint.tokenizer
    console.print(
        config.text if config.text_pair is None else f"{config.text} | {config.text_pair}"
    )
    if MASK in config.text + (config.text_pair or ""):
        words = fill_mask(model, tokenizer, config.text, config.text_pair, config.top_k)
        for candidates in words:
            console.print("  [MASK]: " + _listed(candidates))
    if config.text_pair is not None:
        probability = next_sentence_probability(model, tokenizer, config.text, config.text_pair)
        console.print(f"  the second text follows the first: {probability:.3f}")


@torch.inference_mode()
def _predict_classification(
    checkpoint: Checkpoint, config: PredictConfig, console: Console
) -> None:
    names = checkpoint.label_names or []
    model = ClassificationModel(
        EncoderConfig.model_validate(checkpoint.config["encoder"]), len(names)
    )
    model.load_state_dict(checkpoint.weights("model."))
    ranked = classify(model.eval(), checkpoint.tokenizer, config.text, config.text_pair, names)
    console.print(
        config.text if config.text_pair is None else f"{config.text} | {config.text_pair}"
    )
    console.print("  " + _listed(ranked))


def _check_length(checkpoint: Checkpoint, config: PredictConfig) -> None:
    length = len(checkpoint.tokenizer.encode(config.text, config.text_pair).ids)
    longest = checkpoint.config["encoder"]["max_position_embeddings"]
    if length > longest:
        raise ConfigError(
            f"text: its {length} tokens, special ones included, are more than the checkpoint's "
            f"max_position_embeddings={longest}"
        )


def _inputs(encoding: Encoding) -> tuple[Tensor, Tensor, Packing]:
    packing = Packing.from_lengths(np.array([len(encoding.ids)]))
    return torch.tensor(encoding.ids), torch.tensor(encoding.type_ids), packing


def _listed(candidates: list[Candidate]) -> str:
    return ", ".join(f"{name} {probability:.3f}" for name, probability in candidates)
