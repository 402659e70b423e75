"""Checks that the parts of a tokenizer fit together, so that it cannot fail when it is used.

The library reads a `tokenizer.json` whose post-processor names tokens that do not exist, and fails
only when a text is encoded, in the worst case with an exception that is no `Exception`.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tokenizers import Tokenizer

from clozekit.corpus.manifest import MOST_TOKENS
from clozekit.errors import DataError, first_line

_RARE_TEXT = "\U00013000 \ua66e"
"""A hieroglyph and a letter of one manuscript, which hardly any vocabulary has."""

_LONGEST_PROBE = 20
_MOST_GROWTH = 100_000
"""Far more than of any published tokenizer, and a probe is still encoded in a few seconds."""


def post_processors(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Returns the post-processors as in `tokenizer.json`."""
    processor: Any = tokenizer.post_processor
    if processor is None:
        return []
    state: dict[str, Any] = json.loads(processor.__getstate__())
    return state["processors"] if state["type"] == "Sequence" else [state]


def parts_of(part: Any) -> Iterator[dict[str, Any]]:
    """Yields a normalizer, pre-tokenizer or decoder, and those that it consists of."""
    if not isinstance(part, dict):
        return
    yield part
    for key in ("normalizers", "pretokenizers", "decoders"):
        for inner in part.get(key, ()):
            yield from parts_of(inner)


def check_parts(tokenizer: Tokenizer, name: str) -> None:
    """Checks the ids of the vocabulary, those that the post-processor has, and the normalizer.

    Args:
        tokenizer: The tokenizer.
        name: The tokenizer's name for error messages.

    Raises:
        DataError: Two tokens have the same id, an id is too large, or the post-processor has
            another id than the vocabulary or a token that it does not list, or the normalizer
            multiplies a text.
    """
    _check_growth(tokenizer, name)
    if not _has_plain_ids(tokenizer):
        _check_ids(tokenizer.get_vocab(), name)
    for processor in post_processors(tokenizer):
        for token, number in _tokens_of(processor, name):
            known = tokenizer.token_to_id(token)
            if known != number:
                problem = "does not have it" if known is None else f"gives it the id {known}"
                raise DataError(
                    f"{name}: the post-processor gives the token {token!r} the id {number}, but "
                    f"the vocabulary {problem}; both should be the same"
                )


def check_encodes(tokenizer: Tokenizer, name: str) -> None:
    """Checks that a text is encoded, alone and in a pair, whether its words are known or not.

    Args:
        tokenizer: The tokenizer, without truncation and padding.
        name: The tokenizer's name for error messages.

    Raises:
        DataError: It is not.
    """
    last = tokenizer.get_vocab_size(with_added_tokens=False) - 1
    known = tokenizer.id_to_token(max(last, 0)) or "a"
    for text in (known[:_LONGEST_PROBE], _RARE_TEXT):
        with refusing(f"{name} cannot encode {text!r}"):
            tokenizer.encode(text)
            tokenizer.encode(text, text)


@contextmanager
def refusing(problem: str) -> Iterator[None]:
    """Refuses a tokenizer with which the library fails.

    Args:
        problem: The beginning of the message.

    Raises:
        DataError: The library failed.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # A panic of the library is no `Exception`.
        raise DataError(f"{problem}: {first_line(error)}") from None


def _check_growth(tokenizer: Tokenizer, name: str) -> None:
    """Checks that the normalizer does not multiply a text, which could fill the memory."""
    normalizer: Any = tokenizer.normalizer
    growth = 1
    for part in () if normalizer is None else parts_of(json.loads(normalizer.__getstate__())):
        if part["type"] == "Replace":
            # An expression may be found between two characters.
            growth *= max(1, len(part["content"]) + ("Regex" in part["pattern"]))
        if growth > _MOST_GROWTH:
            raise DataError(
                f"{name}: the replacements of its normalizer can make a text more than "
                f"{_MOST_GROWTH:,} times as long, which is not allowed"
            )


def _has_plain_ids(tokenizer: Tokenizer) -> bool:
    """Whether the ids of the model are 0, 1, … and those of other tokens follow.

    It is true for most tokenizers, and several times as fast as to compare all ids.
    """
    model, size = tokenizer.model, tokenizer.get_vocab_size(with_added_tokens=False)
    # As many tokens as ids cannot share any if each id has one.
    if size > MOST_TOKENS or any(model.id_to_token(i) is None for i in range(size)):
        return False
    added = tokenizer.get_added_tokens_decoder()
    if len({token.content for token in added.values()}) < len(added):
        return False
    return all(
        number < MOST_TOKENS if number >= size else model.id_to_token(number) == token.content
        for number, token in added.items()
    )


def _check_ids(vocabulary: dict[str, int], name: str) -> None:
    token, largest = max(vocabulary.items(), key=lambda item: item[1], default=("", 0))
    if largest >= MOST_TOKENS:
        raise DataError(
            f"{name}: the token {token!r} has the id {largest}; ids should be less than "
            f"{MOST_TOKENS:,}"
        )
    number, uses = max(Counter(vocabulary.values()).items(), key=lambda item: item[1])
    if uses > 1:
        first, second = sorted(token for token, i in vocabulary.items() if i == number)[:2]
        raise DataError(
            f"{name}: the tokens {first!r} and {second!r} have the same id {number}; each token "
            "should have its own"
        )


def _tokens_of(processor: dict[str, Any], name: str) -> Iterator[tuple[str, int]]:
    """Yields the tokens of a post-processor and their ids."""
    if processor["type"] in ("BertProcessing", "RobertaProcessing"):
        yield from (processor["cls"], processor["sep"])
    elif processor["type"] == "TemplateProcessing":
        table = processor["special_tokens"]
        for piece in (*processor["single"], *processor["pair"]):
            key = piece["SpecialToken"]["id"] if "SpecialToken" in piece else None
            if key is not None and key not in table:
                raise DataError(
                    f"{name}: the template of the post-processor has {key!r}, which its "
                    f"special_tokens do not list; they list {', '.join(map(repr, sorted(table)))}"
                )
        for key, entry in table.items():
            if not entry["ids"] or len(entry["ids"]) != len(entry["tokens"]):
                raise DataError(
                    f"{name}: {key!r} in the special_tokens of the post-processor has the tokens "
                    f"{entry['tokens']} with the ids {entry['ids']}; it should have at least one "
                    "token, and an id for each"
                )
            yield from zip(entry["tokens"], entry["ids"], strict=True)
