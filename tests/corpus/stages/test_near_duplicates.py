import json
import random
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clozekit.config.dedup import NearDedup
from clozekit.config.prepare import PrepareConfig
from clozekit.corpus import division, pipeline
from clozekit.corpus.stages import near_duplicates
from clozekit.corpus.stages.near_duplicates import find_near_duplicates, near_examples
from clozekit.corpus.stages.split import find_duplicates
from clozekit.corpus.texts.minhash import estimated_similarity
from clozekit.corpus.work_folder import Work

DEDUP = {"method": "near", "ngram_size": 2, "num_buckets": 8, "hashes_per_bucket": 4}


def words(rng: random.Random, number: int) -> list[str]:
    return [f"w{rng.randrange(100_000)}" for _ in range(number)]


def signed(folder: Path, documents: list[list[str]], dedup: Mapping[str, Any] = DEDUP) -> Work:
    """The work folder of documents, each a list of words, before near-duplicates are searched."""
    folder.mkdir()
    file = folder / "a.jsonl"
    rows = ({"id": f"{n}", "text": " ".join(document)} for n, document in enumerate(documents))
    file.write_text("\n".join(map(json.dumps, rows)))
    source: dict[str, Any] = {"format": "jsonl", "path": str(file), "id_column": "id"}
    source["sentences"] = "lines"
    config = PrepareConfig.model_validate(
        {"out": str(folder / "out"), "source": source, "dedup": dedup, "workers": 1}
    )
    work = Work.of(config)
    work.folder.mkdir(parents=True)
    pipeline.plan_reading(work)
    pipeline.read_source(work)
    for number in range(work.division().num_ranges):
        find_duplicates(work, number)
    for number in range(len(work.division().groups)):
        near_duplicates.sign_group(work, number)
    return work


def found(work: Work) -> list[int]:
    """The rows of the near-duplicates."""
    rows: set[int] = set()
    assert isinstance(work.config.dedup, NearDedup)
    for number in range(work.config.dedup.num_buckets * work.division().num_ranges):
        find_near_duplicates(work, number)
        task = np.load(work.file("near_duplicates", f"{number:06d}.npy")).tolist()
        assert task == sorted(set(task))
        rows |= set(task)
    return sorted(rows)


def naive(work: Work, exact: set[int]) -> list[int]:
    """The rows that the same rule drops, without indices and ranges."""
    files = sorted((work.folder / "signatures").iterdir())
    signatures = np.concatenate([np.load(file) for file in files])
    dropped = set()
    for band in range(8):
        buckets = defaultdict(list)
        for row, signature in enumerate(signatures):
            if row not in exact:
                buckets[tuple(signature[4 * band : 4 * band + 4])].append(row)
        for bucket in buckets.values():
            first = signatures[bucket[:1]]
            dropped |= {
                row
                for row in bucket[1:]
                if estimated_similarity(signatures[[row]], first)[0] >= (1 / 8) ** (1 / 4)
            }
    return sorted(dropped)


def related(rng: random.Random) -> list[list[str]]:
    """Documents of a few families, of all similarities."""
    families = [words(rng, 40) for _ in range(6)]
    documents = []
    for _ in range(80):
        document = list(rng.choice(families))
        for place in rng.sample(range(40), rng.choice([0, 1, 1, 2, 4, 8])):
            document[place] = f"w{rng.randrange(100_000)}"
        documents.append(document)
    return documents


@pytest.mark.parametrize("seed", [1, 2])
def test_the_rows_are_those_of_a_naive_search_for_any_division_of_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    documents = related(random.Random(seed))
    equal = {row for row, document in enumerate(documents) if document in documents[:row]}
    whole = signed(tmp_path / "whole", documents)
    expected = naive(whole, exact=equal)
    assert 20 < len(expected) < 70
    assert found(whole) == expected
    monkeypatch.setattr(division, "_DOCUMENTS_PER_RANGE", 25)
    monkeypatch.setattr(division, "_GROUPS", 3)
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 1_500)
    monkeypatch.setattr(near_duplicates, "_VALUES_AT_ONCE", 100)
    divided = signed(tmp_path / "divided", documents)
    assert divided.division().num_ranges == 4
    assert 1 < len(divided.division().groups) < len(divided.division().pieces)
    assert found(divided) == expected


@pytest.mark.parametrize("seed", [3, 4])
def test_the_first_of_similar_documents_is_kept_in_any_order(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    documents = []
    for family in range(12):
        original = words(rng, 120)
        documents.append((family, original))
        for _ in range(rng.randrange(4)):
            place = rng.randrange(120)
            documents.append((family, [*original[:place], *words(rng, 1), *original[place + 1 :]]))
    for order in range(2):
        rng.shuffle(documents)
        families = [family for family, _ in documents]
        later = [row for row, family in enumerate(families) if family in families[:row]]
        assert later
        assert (
            found(signed(tmp_path / f"{order}", [document for _, document in documents])) == later
        )


def test_documents_of_one_template_are_kept_and_their_copies_found(tmp_path: Path) -> None:
    # Half of the bigrams are common to all, so many documents share a bucket.
    rng = random.Random(5)
    template = words(rng, 55)
    documents = [[*template, *words(rng, 25)] for _ in range(600)]
    copies = [[*documents[row][:-1], "other"] for row in range(570, 600)]
    dedup = {"method": "near", "ngram_size": 2}
    assert found(signed(tmp_path / "near", documents + copies, dedup)) == list(range(600, 630))


def test_short_documents_and_those_without_words(tmp_path: Path) -> None:
    texts = ["Yes", "yes!", "...", "?", "yes no", "No, yes", "(YES) no"]
    work = signed(tmp_path / "near", [[text] for text in texts])
    assert found(work) == [1, 6]
    assert near_examples(work, 10, 6) == [
        ["1", "0", "yes!", "Yes"],
        ["6", "4", "(YES) …", "yes no"],
    ]
    assert near_examples(work, 1, 100) == [["1", "0", "yes!", "Yes"]]


def test_only_documents_without_words(tmp_path: Path) -> None:
    work = signed(tmp_path / "near", [["..."], ["?"], ["!"]])
    assert found(work) == []
    assert near_examples(work, 10, 6) == []
