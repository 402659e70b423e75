"""A pretrained model from anywhere: what training goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig

PRETRAINED_PARTS = ("encoder", "masked_lm_head", "next_sentence_head")
"""The parts of a model that come from a pretrained one; the head of another task is new."""


@dataclass(frozen=True)
class Pretrained:
    """A model that was trained before, by clozekit or by another library.

    Attributes:
        path: The checkpoint or the folder, for messages.
        encoder: The encoder's configuration, its vocabulary's size included.
        weights: The model's weights by the names of `clozekit.models`, in float32 where they come
            from another library. The encoder is whole but for its pooler; heads may be missing.
        tokenizer: What text was read with; None where the folder has none.
        label_names: The classes of a head that classifies sequences or tokens, in the order of
            their ids; None where there are none, as in regression.
        unused: Names of the source's tensors that the model has no use for.
        problem_type: What a sequence classifier is for, in the words of transformers'
            `config.json`: `regression`, `single_label_classification` or
            `multi_label_classification`; None where that is not said.
        task: The task group that a checkpoint of clozekit was trained with.
        task_arguments: What that task was told of its data.
        data: The data group that it was trained with.
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

    def part(self, name: str) -> dict[str, Tensor]:
        """Gives the weights of a part, such as `encoder`, by the names that they have in it."""
        prefix = f"{name}."
        return {
            full_name.removeprefix(prefix): tensor
            for full_name, tensor in self.weights.items()
            if full_name.startswith(prefix)
        }

    def load_into(self, model: nn.Module) -> list[str]:
        """Copies the encoder and the heads of pretraining that both have, in place.

        Args:
            model: A model of `clozekit.models`, of the same sizes.

        Returns:
            The parts of the model that should come from here, but are not here; they stay as they
            were initialised.
        """
        wanted = {name for name in model.state_dict() if name.partition(".")[0] in PRETRAINED_PARTS}
        taken = {name: tensor for name, tensor in self.weights.items() if name in wanted}
        model.load_state_dict(taken, strict=False)
        return sorted({_part(name) for name in wanted - taken.keys()})


def _part(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "encoder" else first
