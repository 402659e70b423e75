"""Makes the table of a family's names from those of its modules."""

from collections.abc import Mapping

from clozekit.config.encoder import EncoderConfig
from clozekit.interop.families.family import Names

LIKE_BERT = {
    "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output": ("attention.output.dense",),
    "attention_norm": ("attention.output.LayerNorm",),
    "feed_forward.intermediate": ("intermediate.dense",),
    "feed_forward.output": ("output.dense",),
    "feed_forward_norm": ("output.LayerNorm",),
}
"""The modules of a block, in the families whose code in transformers is a copy of BERT's."""

HEADS_OF_TASKS = {
    # These two have the same name in transformers; a model has at most one of them.
    "token_classification_head.classifier": "classifier",
    "multiple_choice_head.classifier": "classifier",
    "question_answering_head.outputs": "qa_outputs",
}
"""The last layers of heads, in all families but ModernBERT."""


def embeddings_like_bert(prefix: str) -> dict[str, str]:
    """Returns the names of the embeddings, in the families that have BERT's."""
    return {
        f"{kind}_embeddings": f"{prefix}.embeddings.{theirs}_embeddings"
        for kind, theirs in (
            ("token", "word"),
            ("position", "position"),
            ("token_type", "token_type"),
        )
    }


def table(
    encoder: EncoderConfig,
    embeddings: Mapping[str, str],
    around_blocks: Mapping[str, str],
    in_block: Mapping[str, tuple[str, ...]],
    block: str,
) -> Names:
    """Returns the names in transformers of each tensor.

    Args:
        encoder: The encoder's configuration.
        embeddings: The names of the embeddings, such as `token_embeddings`.
        around_blocks: The names of linear layers and LayerNorms outside the blocks.
        in_block: The names of those of a block, without the block's own; several are of modules
            whose weights are concatenated.
        block: The name of the list of blocks.
    """
    modules: dict[str, tuple[str, ...]] = {o: (theirs,) for o, theirs in around_blocks.items()}
    for layer in range(encoder.num_hidden_layers):
        for ours, parts in in_block.items():
            theirs = tuple(f"{block}.{layer}.{part}" for part in parts)
            modules[f"encoder.blocks.{layer}.{ours}"] = theirs
    named: Names = {
        f"encoder.embeddings.{ours}.weight": (f"{theirs}.weight",)
        for ours, theirs in embeddings.items()
    }
    for kind in ("weight", "bias"):
        for ours, parts in modules.items():
            named[f"{ours}.{kind}"] = tuple(f"{part}.{kind}" for part in parts)
    return named
