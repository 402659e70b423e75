"""Rows with the same texts: in a split, in two splits, and with different labels."""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from clozekit.data.labelled.encoded_rows import Example

MOST_ROWS = 20_000
"""The most rows of a split that are compared."""


class Duplicates:
    """Compares the rows of splits by hashes of their texts."""

    def __init__(self) -> None:
        self._labels: dict[str, dict[bytes, set[bytes]]] = {}
        self._number: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def add(self, split: str, examples: Sequence[Example]) -> None:
        """Adds the first rows of a split."""
        found: dict[bytes, set[bytes]] = {}
        number = 0
        for example in islice(iter(examples), MOST_ROWS):
            texts, labels = _hash(example.inputs()), _hash(example.labels_by_field())
            found.setdefault(texts, set()).add(labels)
            number += 1
        self._labels[split] = found
        self._number[split] = number
        self._total[split] = len(examples)

    def facts(self, split: str) -> dict[str, str]:
        """Describes the duplicates of a split, and those that it shares with the training rows."""
        found = self._labels[split]
        duplicates = self._number[split] - len(found)
        different = sum(len(labels) > 1 for labels in found.values())
        shown = f"{duplicates:,} rows with the texts of another row"
        if different:
            shown += f"; {different:,} texts have different labels"
        facts = {"duplicates": shown + self._limit(split)}
        if split != "train" and "train" in self._labels:
            shared = len(found.keys() & self._labels["train"].keys())
            facts["also in train"] = f"{shared:,} texts{self._limit('train')}"
        return facts

    def _limit(self, split: str) -> str:
        number, total = self._number[split], self._total[split]
        return f" (of the first {number:,} of {total:,} rows of {split})" if number < total else ""


def _hash(values: Mapping[str, Any]) -> bytes:
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=12).digest()
