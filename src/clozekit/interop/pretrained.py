"""A pretrained model of clozekit or of another library, as a start for training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError

PRETRAINED_PARTS = ("encoder", "masked_lm_head", "next_sentence_head")
"""The parts that are copied from a pretrained model; heads of other tasks start anew."""


@dataclass(frozen=True)
class EmbeddingSettings:
    """How a folder of sentence-transformers makes a vector of a text.

    Attributes:
        pooling: `mean` or `cls`, or one that clozekit does not have; empty if none is given.
        max_seq_length: The maximum number of tokens; None if the folder does not say.
        prompt: What is put before each text by default.
        lowercases: Whether texts are lowercased before the tokenizer.
        other_modules: The kinds of modules that change a vector in a way clozekit does not have.
    """

    pooling: str
    max_seq_length: int | None = None
    prompt: str = ""
    lowercases: bool = False
    other_modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pretrained:
    """A model that was trained by clozekit or by another library.

    Attributes:
        path: The checkpoint or the folder, for messages.
        encoder: The configuration of the encoder, including the vocabulary size.
        weights: The weights by the names of `clozekit.models`, in float32 if they come from another
            library. The encoder is complete except for its pooler; heads may be missing.
        tokenizer: The tokenizer; None if the folder has none.
        label_names: The classes of a sequence or token classification head, in the order of their
            ids; None if there are none, as in regression.
        unused: Names of tensors in the source that the model does not use.
        architectures: The classes that transformers' `config.json` names.
        problem_type: The `problem_type` of transformers' `config.json` for sequence
            classification: `regression`, `single_label_classification` or
            `multi_label_classification`; None if not given.
        task: The `task` group of a clozekit checkpoint.
        task_arguments: The data-dependent arguments of that task.
        data: The `data` group of a clozekit checkpoint.
        data_hash: The hash of its training data, if known.
        trusted_modules: The modules whose classes the checkpoint may use.
        embedding: How a folder of sentence-transformers makes vectors; None for other models.
    """

    path: Path
    encoder: EncoderConfig
    weights: dict[str, Tensor]
    tokenizer: Tokenizer | None
    label_names: list[str] | None = None
    unused: tuple[str, ...] = ()
    problem_type: str | None = None
    task: Mapping[str, Any] | None = None
    task_arguments: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    data_hash: str | None = None
    trusted_modules: tuple[str, ...] = ()
    embedding: EmbeddingSettings | None = None
    architectures: tuple[str, ...] = ()

    def part(self, name: str) -> dict[str, Tensor]:
        """Returns the weights of a part, such as `encoder`, without the prefix of the part."""
        prefix = f"{name}."
        return {
            full_name.removeprefix(prefix): tensor
            for full_name, tensor in self.weights.items()
            if full_name.startswith(prefix)
        }

    def load_into(self, model: nn.Module) -> list[str]:
        """Copies the encoder and the pretraining heads that both models have, in place.

        Args:
            model: A model of `clozekit.models` with the same sizes.

        Returns:
            The parts of PRETRAINED_PARTS that are missing here; they keep their initial values.

        Raises:
            DataError: A weight has another shape.
        """
        wanted = {name for name in model.state_dict() if name.partition(".")[0] in PRETRAINED_PARTS}
        taken = {name: tensor for name, tensor in self.weights.items() if name in wanted}
        check_shapes(model, taken, f"{self.path}: encoder._target_={self.encoder.target}")
        model.load_state_dict(taken, strict=False)
        return sorted({_part(name) for name in wanted - taken.keys()})


def check_finite(tensor: Tensor, name: str, where: object) -> None:
    """Checks that a saved weight is a number everywhere.

    Raises:
        DataError: It has NaN or an infinite value.
    """
    # The sum is a single pass without a copy. It overflows only if a value is huge.
    if not tensor.is_floating_point() or tensor.sum(dtype=torch.float32).isfinite():
        return
    if not tensor.isfinite().all():
        raise DataError(
            f"{where}: {name} has values that are NaN or infinite; the model has diverged, or the "
            "file is damaged"
        )


def check_shapes(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Checks that saved weights have the shapes of a model's, and are numbers of the same kind.

    Args:
        model: The model.
        weights: Saved weights by name; those that the model does not have are ignored.
        where: The file and the class, for the message.

    Raises:
        DataError: A weight has another shape, which means that the class has changed, or it is of
            whole or complex numbers, of which a part would be lost.
    """
    for name, tensor in model.state_dict().items():
        saved = weights.get(name)
        if saved is not None and saved.shape != tensor.shape:
            raise DataError(
                f"{where} now makes {name} of shape {list(tensor.shape)}, but the saved weight has "
                f"shape {list(saved.shape)}"
            )
        if saved is not None and saved.is_floating_point() != tensor.is_floating_point():
            raise DataError(
                f"{where} makes {name} of {tensor.dtype}, but the saved weight is of {saved.dtype}"
            )


def load_strictly(model: nn.Module, weights: Mapping[str, Tensor], where: str) -> None:
    """Copies saved weights, in place, into a model that must have exactly these.

    Args:
        model: The model.
        weights: The saved weights by name.
        where: The file and the class, for the message.

    Raises:
        DataError: A weight is missing, is not part of the model, or has another shape.
    """
    check_shapes(model, weights, where)
    wanted = model.state_dict().keys()
    for names, problem in (
        (wanted - weights.keys(), "needs weights that are not saved"),
        (weights.keys() - wanted, "has no place for saved weights"),
    ):
        if names:
            raise DataError(f"{where} {problem}: {', '.join(sorted(names)[:3])}")
    model.load_state_dict(weights)


def _part(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "encoder" else first
