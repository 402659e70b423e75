"""New pieces for an existing tokenizer, learnt from text as BPE learns its merges.

The words of the text are split into the pieces of the existing tokenizer, and the most frequent
pairs of neighbours are merged one after the other. The new pieces are only ever used where the
existing tokenizer would have used the pieces that they consist of:

- WordPiece takes the longest piece, and a text in which no new one fits is split as before.
- BPE applies the new merges after all others.
- Unigram gives a new piece a slightly better score than its parts have together.

So a text without new pieces is encoded as before, and the ids of all other tokens stay the same.
"""

import json
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.corpus.tokenizers.vocabulary import MIN_FREQUENCY, repetitions
from clozekit.corpus.tokenizers.word_cache import Encoder
from clozekit.errors import DataError

# Pieces are written as characters from here on, without those that UTF-8 does not have.
_FIRST, _SURROGATES, _NUM_SURROGATES = 0x100, 0xD800, 0x800
_BETTER = 1e-3


class Piece(NamedTuple):
    """A new piece, made of two others."""

    text: str
    left: str
    right: str


def check_extensible(tokenizer: Tokenizer, name: str) -> None:
    """Checks that pieces can be added to a tokenizer.

    Raises:
        DataError: They cannot.
    """
    kind = json.loads(tokenizer.to_str())["model"]["type"]
    if kind not in ("WordPiece", "BPE", "Unigram"):
        raise DataError(
            f"tokenizer.base={name} is a {kind} tokenizer; only WordPiece, BPE and Unigram can be "
            "extended"
        )


class PieceCounter:
    """Counts the words of sentences, written as the pieces of a tokenizer.

    Args:
        base: The tokenizer.
    """

    def __init__(self, base: Tokenizer) -> None:
        self.encoder = Encoder(base)
        self.excluded = set(base.get_added_tokens_decoder())
        unknown = SpecialTokens.from_tokenizer(base).unk
        if unknown is not None:
            self.excluded.add(unknown)

    def __call__(self, sentences: pa.StringArray, begins_text: NDArray[np.bool_]) -> dict[str, int]:
        """Returns the counts of words of at least two pieces, each piece as one character."""
        words = self.encoder.words(sentences, begins_text)
        occurrences = np.bincount(words.indices, minlength=len(words.distinct)).tolist()
        encodings = self.encoder.tokenizer.encode_batch(words.distinct, add_special_tokens=False)
        counts: Counter[str] = Counter()
        for encoding, count in zip(encodings, occurrences, strict=True):
            of_words = groupby(zip(encoding.word_ids, encoding.ids, strict=True), key=_first)
            for _, pairs in of_words:
                ids = [token_id for _, token_id in pairs]
                if len(ids) > 1 and self.excluded.isdisjoint(ids):
                    counts["".join(map(_character, ids))] += count
        return counts


def extended(base: Tokenizer, counts: Mapping[str, int], add: int) -> Tokenizer:
    """Adds the pieces that are most frequent in a text.

    Args:
        base: The tokenizer. It is not changed.
        counts: The words of the text and their counts, from `PieceCounter`.
        add: The maximum number of new pieces.
    """
    content = json.loads(base.to_str())
    model = content["model"]
    known = base.get_vocab()
    wanted = add
    while True:
        merges = _merges(counts, wanted)
        pieces = _pieces(merges, base, known, model, add)
        missing = add - len({piece.text for piece in pieces})
        if missing <= 0 or len(merges) < wanted:
            break
        wanted += 2 * missing
    next_id = max(known.values()) + 1
    new = dict.fromkeys(piece.text for piece in pieces)
    ids = {text: next_id + number for number, text in enumerate(new)}
    if model["type"] == "Unigram":
        _extend_unigram(model, content["added_tokens"], pieces)
    else:
        # Without their own entries, added tokens would move behind the new pieces.
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        model["vocab"] = {**model["vocab"], **added, **ids}
        if model["type"] == "BPE":
            model["merges"] = [*model["merges"], *([p.left, p.right] for p in pieces)]
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def _first(pair: tuple[Any, int]) -> Any:
    return pair[0]


def _character(token_id: int) -> str:
    code = token_id + _FIRST
    return chr(code if code < _SURROGATES else code + _NUM_SURROGATES)


def _id_of(character: str) -> int:
    code = ord(character)
    return (code if code < _SURROGATES else code - _NUM_SURROGATES) - _FIRST


def _merges(counts: Mapping[str, int], number: int) -> list[tuple[str, str]]:
    """Returns pairs of neighbours to merge, each in characters, the most frequent first."""
    alphabet = {character for word in counts for character in word}
    learner = Tokenizer(BPE())
    learner.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    trainer = BpeTrainer(
        vocab_size=len(alphabet) + number,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=[],
    )
    learner.train_from_iterator(repetitions(sorted(counts.items())), trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges]


def _pieces(
    merges: list[tuple[str, str]],
    base: Tokenizer,
    known: Mapping[str, int],
    model: Mapping[str, Any],
    add: int,
) -> list[Piece]:
    """Returns the new pieces of merges. One may be made in several ways.

    A merge that gives a piece of the existing vocabulary is left out, and those that need it: the
    existing tokenizer does not use that piece here, and goes on not to.
    """
    prefix = model.get("continuing_subword_prefix") or ""
    texts: dict[str, str] = {}

    def text_of(characters: str) -> str | None:
        if len(characters) == 1:
            return base.id_to_token(_id_of(characters))
        return texts.get(characters)

    pieces: list[Piece] = []
    new: set[str] = set()
    for left, right in merges:
        parts = text_of(left), text_of(right)
        if parts[0] is None or parts[1] is None:
            continue
        text = parts[0] + parts[1].removeprefix(prefix)
        if text in known or (text not in new and len(new) == add):
            continue
        texts[left + right] = text
        new.add(text)
        pieces.append(Piece(text, *parts))  # type: ignore[arg-type]
    return pieces


def _extend_unigram(
    model: dict[str, Any], added_tokens: list[dict[str, Any]], pieces: list[Piece]
) -> None:
    """Adds pieces with their scores, in place."""
    vocabulary: list[list[Any]] = model["vocab"]
    scores = dict(map(tuple, vocabulary))
    # A score below all others would change that of unknown characters.
    lowest = min(scores.values())
    by_id = {token["id"]: token["content"] for token in added_tokens}
    between = range(len(vocabulary), max(by_id, default=0) + 1)
    vocabulary += [[by_id.get(i, f"<unused{i}>"), lowest] for i in between]
    for text, left, right in pieces:
        if text not in scores:
            scores[text] = max(lowest, scores[left] + scores[right]) + _BETTER
            vocabulary.append([text, scores[text]])
