"""The tokens of a tokenizer as a person reads them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.corpus.tokenizers.special_tokens import SpecialTokens


class Vocabulary:
    """Shows token ids.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        special = SpecialTokens.from_tokenizer(tokenizer)
        self.mask, self.unknown = special.mask, special.unk
        self.special = frozenset(special.ids) - {self.unknown}
        self._shown: dict[int, str] = {}

    def shown(self, token_id: int) -> str:
        """Returns a token's text; a space at its start is shown as `·`."""
        if token_id not in self._shown:
            token = self.tokenizer.id_to_token(token_id)
            text = str(token_id) if token is None else token
            if token is not None and self._is_byte_level:
                decoded = self.tokenizer.decode([token_id], skip_special_tokens=False)
                # A part of a character cannot be shown.
                if decoded and "\ufffd" not in decoded:
                    text = decoded.replace(" ", "·")
            self._shown[token_id] = text
        return self._shown[token_id]

    def text(self, ids: Sequence[int]) -> str:
        """Returns the text of token ids."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    def num_unknown(self, ids: NDArray[np.integer[Any]]) -> int:
        """Counts unknown tokens."""
        return 0 if self.unknown is None else int(np.count_nonzero(ids == self.unknown))

    def unknown_words(self, texts: Sequence[str]) -> list[str]:
        """Returns the parts of texts that become the unknown token."""
        if self.unknown is None or not texts:
            return []
        encodings = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            text[begin:end]
            for text, encoding in zip(texts, encodings, strict=True)
            for token_id, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True)
            if token_id == self.unknown
        ]

    @cached_property
    def _is_byte_level(self) -> bool:
        """Whether tokens are written in the alphabet that stands for bytes."""
        return any("Ġ" in token for token in self.tokenizer.get_vocab())
