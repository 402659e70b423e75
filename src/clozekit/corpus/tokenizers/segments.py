"""Whether the second of two texts has a segment id of its own.

clozekit gives it the id 1, whatever the tokenizer does. The exception is a model whose folder says
that its tokenizer gives no segment ids: transformers gives it zeros, in training too. So that this
is known where only the tokenizer is, it has a mark in its post-processor, as roles have theirs.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from clozekit.corpus.tokenizers.special_tokens import post_processor_of, role_names
from clozekit.corpus.tokenizers.tokenizer_check import post_processors
from clozekit.documents import read_json_object
from clozekit.errors import DataError

_MARK = "no_token_type_ids"


def names_segments(folder: Path) -> bool:
    """Whether the tokenizer of a folder gives segment ids; false only where a list omits them.

    Raises:
        DataError: `model_input_names` is not a list of texts.
    """
    file = folder / "tokenizer_config.json"
    names = read_json_object(file).get("model_input_names")
    if names is None:
        return True
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: model_input_names={names!r}; it should be a list of names")
    return "token_type_ids" in names


def has_segments(tokenizer: Tokenizer) -> bool:
    """Whether the second text has a segment id of its own."""
    return not any(_MARK in each.get("special_tokens", ()) for each in post_processors(tokenizer))


def with_segments(tokenizer: Tokenizer) -> Tokenizer:
    """Returns the tokenizer with a post-processor that gives the ids that clozekit gives."""
    if not has_segments(tokenizer) or set(tokenizer.encode("a", "a").type_ids) == {0, 1}:
        return tokenizer
    return _with_type_ids(tokenizer, 1)


def without_segments(tokenizer: Tokenizer) -> Tokenizer:
    """Returns the tokenizer with a post-processor that gives both texts the segment id 0."""
    return _with_type_ids(tokenizer, 0) if has_segments(tokenizer) else tokenizer


def _with_type_ids(tokenizer: Tokenizer, of_second: int) -> Tokenizer:
    content = json.loads(tokenizer.to_str())
    names = role_names(tokenizer)
    processor = post_processor_of(tokenizer, names, adds_tokens=True)
    template: dict[str, Any] = processor
    if processor["type"] == "Sequence":
        template = processor["processors"][-1]
    pieces = [next(iter(piece.values())) for piece in template["pair"]]
    second = next(i for i, piece in enumerate(pieces) if piece["id"] == "B")
    template["pair"] = [
        {kind: {**value, "type_id": of_second * int(i >= second)} for kind, value in piece.items()}
        for i, piece in enumerate(template["pair"])
    ]
    if not of_second:
        entry = {
            "id": _MARK,
            "ids": [tokenizer.token_to_id(names["cls"])],
            "tokens": [names["cls"]],
        }
        template["special_tokens"][_MARK] = entry
    content["post_processor"] = processor
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
