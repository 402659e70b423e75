"""A corpus that is divided into many parts, as a large one is, is the same corpus."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.config.prepare import WordPieceConfig
from clozekit.corpus import division, pipeline
from clozekit.corpus.division import Piece, group_pieces, partition_bytes
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard
from clozekit.corpus.sources import readers
from clozekit.corpus.stages import words
from clozekit.corpus.tokenizers.vocabulary import count_words, train_from_counts
from clozekit.errors import DataError
from clozekit.prepare import prepare
from tests.corpus.made_texts import (
    config,
    content_of,
    decoded,
    make_documents,
    prepare_text,
    train_wordpiece,
    write_bytes,
    write_csv,
    write_jsonl,
    write_text,
)

DOCUMENTS = [*make_documents(120), *make_documents(40), *make_documents(60, seed=1)]


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("undivided")
    return prepare_text(folder / "out", write_text(folder / "a.txt", DOCUMENTS), shard_tokens=700)


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several partitions, groups of several pieces, ranges and buckets."""
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 1_000)
    monkeypatch.setattr(division, "_GROUPS", 9)
    monkeypatch.setattr(division, "_DOCUMENTS_PER_RANGE", 30)
    monkeypatch.setattr(division, "_GROUPS_PER_BUCKET", 2)


@pytest.mark.usefixtures("divided")
def test_a_divided_corpus_has_the_same_documents_and_vocabulary(
    tmp_path: Path, undivided: Corpus
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    corpus = prepare_text(tmp_path / "out", path, shard_tokens=700)
    assert corpus.tokenizer_file.read_bytes() == undivided.tokenizer_file.read_bytes()
    assert decoded(corpus) == decoded(undivided)
    assert corpus.manifest.duplicate_documents == 40
    for split in ("train", "validation"):
        found, expected = (each.manifest.splits[split] for each in (corpus, undivided))
        counts = {"documents", "sentences", "tokens", "unknown_tokens"}
        assert found.model_dump(include=counts) == expected.model_dump(include=counts)
        assert [shard.documents for shard in found.shards] == [
            shard.documents for shard in expected.shards
        ]


@pytest.mark.usefixtures("divided")
def test_its_bytes_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    for workers in (1, 2):
        prepare_text(tmp_path / str(workers), path, workers=workers)
    assert content_of(tmp_path / "1") == content_of(tmp_path / "2")


def test_a_large_file_that_cannot_be_read_from_the_middle_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 3_000)
    for path, file_format in (
        (write_text(tmp_path / "a.txt.gz", DOCUMENTS), "text"),
        (write_jsonl(tmp_path / "a.jsonl.gz", DOCUMENTS), "jsonl"),
        (write_csv(tmp_path / "a.csv", DOCUMENTS), "csv"),
    ):
        contents = {}
        for most in (2, 10**6):
            monkeypatch.setattr(readers, "_PARTITIONS_PER_FILE", most)
            out, source = tmp_path / f"{file_format}-{most}", {"format": file_format}
            workers = 2 if file_format == "csv" else 1
            wanted = config(out, {**source, "path": str(path)}, workers=workers)
            contents[most] = content_of(prepare(wanted).folder)
            told = f"{path} is read by one worker" in capsys.readouterr().err
            assert told == (most == 2 and workers == 2)
        assert contents[2] == contents[10**6]


def test_an_error_in_a_file_that_is_cut_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 3_000)
    path = write_jsonl(tmp_path / "a.jsonl.gz", DOCUMENTS)
    write_bytes(path, gzip.decompress(path.read_bytes()) + b"\n{oops}")
    wanted = config(tmp_path / "out", {"format": "jsonl", "path": str(path)})
    with pytest.raises(DataError, match=r"a.jsonl.gz:221 is not JSON"):
        prepare(wanted)


@pytest.mark.usefixtures("divided")
def test_counts_of_a_very_large_corpus_are_scaled_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    monkeypatch.setattr(words, "MOST_OCCURRENCES", 1_000)
    corpus = prepare_text(tmp_path / "out", path, tokenizer={"vocab_size": 100})
    training = {i for path in corpus.shards("train") for i in Shard.open(path).ids}
    documents = decoded(corpus)
    train = [sentence for identity in training for sentence in documents[identity]]
    wordpiece = WordPieceConfig(vocab_size=100)
    counts = count_words(pa.array(train), wordpiece)
    total = sum(counts.values())
    assert total > 1_000
    scaled = {word: int(count * (1_000 / total)) for word, count in counts.items()}
    expected = train_from_counts({word: n for word, n in scaled.items() if n}, wordpiece)
    assert corpus.tokenizer_file.read_text() == expected.to_str(pretty=True)
    assert expected.to_str() != train_wordpiece(train, wordpiece).to_str()


@given(source_bytes=st.integers(0, 2**50))
def test_a_partition_has_8_to_64_mib(source_bytes: int) -> None:
    size = partition_bytes(source_bytes)
    assert 8 * 2**20 <= size <= 64 * 2**20
    assert size == 64 * 2**20 or source_bytes <= 2_048 * size
    assert size == 8 * 2**20 or source_bytes > 1_024 * size


@given(number=st.integers(1, 5_000), size=st.sampled_from([2**23, 2**26]))
def test_groups_have_all_pieces_in_order(number: int, size: int) -> None:
    pieces = [Piece(str(index), index, 1) for index in range(number)]
    groups = group_pieces(pieces, size)
    assert [piece for group in groups for piece in group] == pieces
    assert max(map(len, groups)) * size <= max(2**30, size)
    assert len(groups) == number if number <= 512 else len(groups) <= number // 2 + 1
