"""A pretrained model whose vocabulary is extended to that of a larger tokenizer.

The tokenizer must have all tokens of the model's with the same ids, as `tokenizer=extend` makes it.
The rows of a new piece are the mean of the rows of the pieces that the model's own tokenizer splits
it into.
"""

from dataclasses import replace

import torch
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.interop.pretrained import Pretrained

ROWS_OF_TOKENS = ("encoder.embeddings.token_embeddings.weight", "masked_lm_head.bias")
"""The weights with a row for each token. The decoder's weight is that of the embeddings."""


def new_ids(old: Tokenizer, new: Tokenizer) -> list[int]:
    """Returns the ids that `new` has in addition to those of `old`, ascending."""
    return sorted(set(new.get_vocab().values()) - set(old.get_vocab().values()))


def with_new_pieces(pretrained: Pretrained, tokenizer: Tokenizer) -> Pretrained:
    """Returns a pretrained model with rows for the new pieces of a tokenizer.

    Args:
        pretrained: The model.
        tokenizer: A tokenizer that has all tokens of the model's own with the same ids.
    """
    assert pretrained.tokenizer is not None and pretrained.encoder.vocab_size is not None
    parts = {
        new: old_pieces(pretrained.tokenizer, tokenizer, new)
        for new in new_ids(pretrained.tokenizer, tokenizer)
    }
    size = max(pretrained.encoder.vocab_size, max(parts) + 1)
    weights = dict(pretrained.weights)
    for name in ROWS_OF_TOKENS:
        if name in weights:
            weights[name] = _with_rows(weights[name], parts, size)
    encoder = pretrained.encoder.model_copy(update={"vocab_size": size})
    return replace(pretrained, weights=weights, encoder=encoder, tokenizer=tokenizer)


def old_pieces(old: Tokenizer, new: Tokenizer, token_id: int) -> list[int]:
    """Returns the ids of the pieces that a tokenizer splits a new piece into.

    Args:
        old: The tokenizer that does not have the piece.
        new: The tokenizer that has it.
        token_id: The id of the piece in `new`.
    """
    piece = new.id_to_token(token_id)
    assert piece is not None
    if token_id in new.get_added_tokens_decoder():
        ids: list[int] = old.encode(piece, add_special_tokens=False).ids
    else:
        prefix = getattr(old.model, "continuing_subword_prefix", None) or ""
        if prefix and piece.startswith(prefix):
            ids = _split_continuation(old, piece.removeprefix(prefix), prefix)
        else:
            ids = [token.id for token in old.model.tokenize(piece)]
    if ids:
        return ids
    unknown = SpecialTokens.from_tokenizer(old).unk
    return sorted(old.get_vocab().values()) if unknown is None else [unknown]


def _split_continuation(tokenizer: Tokenizer, text: str, prefix: str) -> list[int]:
    """Splits what continues a word, always taking the longest piece; [] if that fails."""
    ids: list[int] = []
    while text:
        for end in range(len(text), 0, -1):
            found = tokenizer.token_to_id(prefix + text[:end])
            if found is not None:
                ids.append(found)
                text = text[end:]
                break
        else:
            return []
    return ids


def _with_rows(weight: Tensor, parts: dict[int, list[int]], size: int) -> Tensor:
    """Returns a weight with `size` rows; those of new tokens are means of old rows."""
    larger = weight.new_zeros((size, *weight.shape[1:]))
    larger[: len(weight)] = weight
    for token_id, ids in parts.items():
        larger[token_id] = weight[torch.tensor(ids)].mean(dim=0)
    return larger
