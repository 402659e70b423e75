"""`dedup` of `clozekit prepare`, as a whole."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus import division, pipeline
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ConfigError
from clozekit.prepare import prepare
from tests.corpus.made_texts import config, content_of, decoded, write_jsonl

WORDS = [f"{first}{second}" for first in "bdklmnprst" for second in ("a", "en", "ist", "o", "ung")]


def document(rng: random.Random, label: str) -> list[str]:
    return [f"{label} {' '.join(rng.choices(WORDS, k=12))}." for _ in range(6)]


def edited(sentences: list[str]) -> list[str]:
    """Another case and punctuation, and one word less."""
    return [sentence.upper().replace(".", " !?") for sentence in sentences[:-1]] + [
        sentences[-1].rpartition(" ")[0]
    ]


@pytest.fixture(scope="module")
def documents() -> list[list[str]]:
    """100 documents, then 5 exact and 12 near copies; the texts of both kinds have escapes."""
    rng = random.Random(0)
    documents = [document(rng, "text") for _ in range(100)]
    documents[0][0] = f"\x1b[31m [bold] {documents[0][0]}"
    return documents + documents[90:95] + [edited(documents[row]) for row in range(12)]


def wanted(folder: Path, documents: list[list[str]], method: str, **changes: Any) -> PrepareConfig:
    path = folder / "a.jsonl"
    if not path.exists():
        write_jsonl(path, documents)
    source = {"format": "jsonl", "path": str(path), "id_column": "id"}
    out = folder / f"{method}{changes.get('workers', '')}"
    return config(out, source, dedup={"method": method}, **changes)


def counts(corpus: Corpus) -> tuple[int, int]:
    manifest = corpus.manifest
    return manifest.duplicate_documents, manifest.near_duplicate_documents


def test_near_duplicates_are_dropped_with_any_number_of_workers(
    tmp_path: Path,
    documents: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = prepare(wanted(tmp_path, documents, "near"))
    written = capsys.readouterr().out
    assert counts(whole) == (5, 12)
    assert decoded(whole).keys() == {f"doc-{row}" for row in range(100)}
    assert "5 duplicate documents, 12 near-duplicates" in " ".join(written.split())
    lines = written.splitlines()
    first = lines.index("doc-105 was dropped, because it is similar to doc-0:")
    assert lines[first + 1].startswith(r"  \x1b[31M [BOLD] TEXT ")
    assert lines[first + 2].startswith(r"  \x1b[31m [bold] text ")
    assert written.count("was dropped, because") == 10
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 5_000)
    monkeypatch.setattr(division, "_GROUPS", 4)
    monkeypatch.setattr(division, "_DOCUMENTS_PER_RANGE", 60)
    one, two = (prepare(wanted(tmp_path, documents, "near", workers=n)) for n in (1, 2))
    assert content_of(one.folder) == content_of(two.folder)
    assert counts(one) == (5, 12)
    assert decoded(one).keys() == decoded(whole).keys()


@pytest.mark.parametrize("stage", ["tokenize", "build_shards"])
def test_an_interrupted_run_goes_on_and_shows_the_same_examples(
    tmp_path: Path,
    documents: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
) -> None:
    whole = prepare(wanted(tmp_path, documents, "near"))
    expected = capsys.readouterr().out.partition("doc-105")[2]
    assert "was dropped" in expected
    interrupted = wanted(tmp_path, documents, "near", workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, stage, interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(interrupted)
    work = Path(interrupted.out) / ".work"
    assert not any(name.name in ("signatures", "bands") for name in work.iterdir())
    if stage == "build_shards":
        assert not list(work.glob("documents/*.arrow"))
    resumed = prepare(interrupted)
    assert capsys.readouterr().out.partition("doc-105")[2] == expected
    assert content_of(resumed.folder) == content_of(whole.folder)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_exact_duplicates_alone_or_none_are_dropped(
    tmp_path: Path, documents: list[list[str]]
) -> None:
    exact, none = (prepare(wanted(tmp_path, documents, method)) for method in ("exact", "none"))
    assert (counts(exact), counts(none)) == ((5, 0), (0, 0))
    assert decoded(exact).keys() == {f"doc-{row}" for row in range(117) if not 100 <= row < 105}
    assert len(decoded(none)) == 117


def test_documents_without_ids_can_be_kept_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join(["One and two.", "Three and four.", "Five."] * 20))
    source = {"format": "text", "path": str(path)}
    corpus = prepare(config(tmp_path / "out", source, dedup={"method": "none"}))
    assert sum(split.documents for split in corpus.manifest.splits.values()) == 60


def test_a_corpus_of_an_earlier_version_has_the_same_configuration(
    tmp_path: Path, documents: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = prepare(wanted(tmp_path, documents, "exact"))
    manifest = json.loads((corpus.folder / "manifest.json").read_text())
    assert not manifest.keys() & {"near_duplicate_documents", "filtered_documents"}
    assert not manifest["configuration"].keys() & {"dedup", "filters"}
    prepare(wanted(tmp_path, documents, "exact", filters={"min_words": None}))
    assert "is already prepared" in capsys.readouterr().out
    changed = wanted(tmp_path, documents, "exact", filters={"min_words": 5})
    with pytest.raises(ConfigError, match=r"filters\.min_words was absent and is now 5; use"):
        prepare(changed)
    near = changed.model_copy(
        update={
            "filters": changed.filters.model_copy(update={"min_words": None}),
            "dedup": wanted(tmp_path, documents, "near").dedup,
        }
    )
    with pytest.raises(ConfigError, match=r"dedup\.method was absent and is now near; dedup\.n"):
        prepare(near)


def test_counts_of_the_manifest_come_back(tmp_path: Path, documents: list[list[str]]) -> None:
    corpus = prepare(wanted(tmp_path, documents, "near", filters={"max_words": 79}))
    assert Corpus.open(corpus.folder).manifest == corpus.manifest
    # The first document is dropped by its length, so that its copy is kept.
    assert corpus.manifest.filtered_documents == {"max_words": 1}
    assert counts(corpus) == (5, 11)
    assert corpus.manifest.configuration["filters"] == {"max_words": 79}
    assert corpus.manifest.configuration["dedup"]["num_buckets"] == 14


def test_too_many_hashes_are_refused() -> None:
    values = {"method": "near", "num_buckets": 128, "hashes_per_bucket": 9}
    with pytest.raises(ValueError, match=r"num_buckets=128 times hashes_per_bucket=9 is 1,152"):
        PrepareConfig.model_validate(
            {"out": "x", "source": {"format": "text", "path": "a"}, "dedup": values}
        )
