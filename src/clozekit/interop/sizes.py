"""Compares an encoder's configuration with its weights, before anything is allocated."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError

_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.")


def check_sizes(encoder: EncoderConfig, weights: Mapping[str, Tensor], source: Path) -> None:
    """Checks every size in the configuration of clozekit's encoder against its weights.

    Args:
        encoder: The configuration.
        weights: The weights, by the names of `clozekit.models`.
        source: The file, for messages.

    Raises:
        DataError: A size differs.
    """
    hidden = encoder.hidden_size
    size = encoder.embedding_size or hidden
    embeddings = "encoder.embeddings"
    inner = encoder.intermediate_size * (2 if encoder.gated_feed_forward else 1)
    expected = {
        f"{embeddings}.token_embeddings.weight": (encoder.vocab_size, size),
        "encoder.blocks.0.feed_forward.intermediate.weight": (inner, hidden),
    }
    if encoder.position_embedding_type == "absolute":
        positions = (encoder.max_position_embeddings, size)
        expected[f"{embeddings}.position_embeddings.weight"] = positions
    if encoder.type_vocab_size:
        segments = (encoder.type_vocab_size, size)
        expected[f"{embeddings}.token_type_embeddings.weight"] = segments
    if encoder.embedding_size is not None:
        expected[f"{embeddings}.projection.weight"] = (hidden, size)
    blocks = count_blocks(weights, _BLOCK)
    if blocks != encoder.num_hidden_layers:
        raise DataError(
            f"{source}: num_hidden_layers={encoder.num_hidden_layers}, but the weights have "
            f"{blocks} blocks"
        )
    for name, shape in expected.items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != shape:
            raise DataError(
                f"{source}: its configuration implies the shape {list(shape)} for {name}, but "
                + ("it is missing" if found is None else f"its weights have {list(found)}")
            )


def count_blocks(names: Iterable[str], block: re.Pattern[str]) -> int:
    """Counts the numbers that a pattern finds in the names of tensors."""
    return len({found[1] for name in names if (found := block.match(name))})
