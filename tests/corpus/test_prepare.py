import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from clozekit.config.prepare import PrepareConfig, WordPieceConfig
from clozekit.corpus import pipeline
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard
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
from tests.kinds_of_tokenizers import plain_tokenizer

DOCUMENTS = make_documents(120)


@pytest.fixture
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 3_000)


def splits_of(corpus: Corpus) -> dict[str, str]:
    """The split of every document, by id."""
    return {
        identity: split
        for split in corpus.manifest.splits
        for path in corpus.shards(split)
        for identity in Shard.open(path).ids
    }


def test_text_comes_back_out_of_the_shards(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", DOCUMENTS)
    corpus = prepare(config(tmp_path / "out", jsonl(path)))
    documents = decoded(corpus)
    assert documents.keys() == {f"doc-{index}" for index in range(120)}
    for index, sentences in enumerate(DOCUMENTS):
        assert documents[f"doc-{index}"] == [sentence.lower() for sentence in sentences]
    assert sorted(path.name for path in corpus.folder.iterdir()) == [
        "manifest.json",
        "tokenizer.json",
        "train-00000.arrow",
        "validation-00000.arrow",
    ]


@pytest.mark.usefixtures("small_partitions")
def test_the_manifest_counts_what_the_shards_hold(tmp_path: Path) -> None:
    texts = [*DOCUMENTS, [" "], DOCUMENTS[3], DOCUMENTS[4], ["\U0001f600 rare."]]
    path = write_csv(tmp_path / "a.csv", texts)
    out, changes = tmp_path / "out", {"shard_tokens": 200}
    manifest = prepare(config(out, {"format": "csv", "path": str(path)}, **changes)).manifest
    assert (manifest.empty_documents, manifest.duplicate_documents) == (1, 2)
    unknown = 0
    for split in ("train", "validation"):
        record = manifest.splits[split]
        shards = [Shard.open(out / shard.file) for shard in record.shards]
        assert [shard.documents for shard in record.shards] == [s.num_documents for s in shards]
        assert [shard.sentences for shard in record.shards] == [s.num_sentences for s in shards]
        assert [shard.tokens for shard in record.shards] == [s.num_tokens for s in shards]
        assert record.tokens == sum(shard.num_tokens for shard in shards)
        assert len(shards) > 1
        assert min(shard.num_documents for shard in shards) >= 2
        unknown += sum(int((shard.tokens == 1).sum()) for shard in shards)
    assert manifest.splits["train"].documents + manifest.splits["validation"].documents == 121
    counted = [manifest.splits[split].unknown_tokens for split in ("train", "validation")]
    assert unknown == sum(counted)
    assert manifest.vocab_size == 300
    assert (
        manifest.configuration
        == config(out, {"format": "csv", "path": str(path)}, **changes).identity()
    )


@pytest.mark.usefixtures("small_partitions")
def test_bytes_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    path = write_text(tmp_path / "large.txt", DOCUMENTS * 2 + make_documents(60, seed=1))
    results = []
    for workers in (1, 2, 3):
        out = tmp_path / f"out{workers}"
        prepare_text(out, path, workers=workers, shard_tokens=1_000)
        results.append(content_of(out))
    assert len(results[0]) > 4
    assert results[0] == results[1] == results[2]


def test_documents_with_ids_fall_the_same_way_in_any_format_and_company(tmp_path: Path) -> None:
    first = prepare(config(tmp_path / "a", jsonl(write_jsonl(tmp_path / "a.jsonl", DOCUMENTS))))
    more = write_csv(tmp_path / "moved" / "b.csv", DOCUMENTS + make_documents(200, seed=5))
    source = {"format": "csv", "path": str(more), "id_column": "id"}
    second = prepare(config(tmp_path / "b", source))
    assert len(splits_of(second)) == 320
    assert splits_of(first).items() <= splits_of(second).items()
    assert 10 < list(splits_of(first).values()).count("validation") < 40


def test_documents_without_ids_fall_as_their_text_does(tmp_path: Path) -> None:
    first = prepare_text(tmp_path / "a", write_text(tmp_path / "a.txt", DOCUMENTS))
    moved = write_text(tmp_path / "b.txt.gz", DOCUMENTS[::-1])
    second = prepare_text(tmp_path / "b", moved)
    assert splits_of(first) == splits_of(second)


def test_the_vocabulary_is_of_the_training_documents_alone(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", DOCUMENTS)
    corpus = prepare(config(tmp_path / "out", jsonl(path)))
    splits = splits_of(corpus)
    training = [s for i, doc in enumerate(DOCUMENTS) if splits[f"doc-{i}"] == "train" for s in doc]
    everything = [sentence for document in DOCUMENTS for sentence in document]
    expected = train_wordpiece(training, WordPieceConfig(vocab_size=300))
    saved = Tokenizer.from_file(str(corpus.tokenizer_file))
    assert saved.to_str() == expected.to_str()
    assert train_wordpiece(everything, WordPieceConfig(vocab_size=300)).to_str() != saved.to_str()


def test_a_tokenizer_without_a_mask_is_refused_before_the_corpus_is_read(tmp_path: Path) -> None:
    text = tmp_path / "a.txt"
    text.write_text("A word.\n\nAnother word.\n")
    content = plain_tokenizer("roberta").to_str().replace('"<mask>"', '"<hidden>"')
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"tokenizer\.json has no mask token, which masked words"):
        prepare_text(tmp_path / "b", text, tokenizer={"path": str(tmp_path / "tokenizer.json")})


def test_an_existing_tokenizer_is_taken(tmp_path: Path) -> None:
    first = prepare_text(tmp_path / "a", write_text(tmp_path / "a.txt", DOCUMENTS))
    existing = {"path": str(first.tokenizer_file)}
    second = prepare_text(tmp_path / "b", tmp_path / "a.txt", tokenizer=existing)
    assert second.hash == first.hash
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(33, 127))]
    vocabulary += [f"##{chr(code)}" for code in range(97, 123)] + [f"[x{i}]" for i in range(2**16)]
    path = write_bytes(tmp_path / "vocab.txt", "\n".join(vocabulary).encode())
    large = prepare_text(tmp_path / "c", tmp_path / "a.txt", tokenizer={"path": str(path)})
    assert Shard.open(large.shards("train")[0]).tokens.dtype == "uint32"
    assert large.manifest.vocab_size == len(vocabulary)


def test_documents_that_the_tokenizer_leaves_nothing_of_are_empty(tmp_path: Path) -> None:
    # Accents without a letter are stripped by the normaliser.
    path = write_text(tmp_path / "a.txt", [*DOCUMENTS, ["\u0301"], ["\u0301", "Word."]])
    manifest = prepare_text(tmp_path / "out", path).manifest
    assert manifest.empty_documents == 1
    kept = sum(record.sentences for record in manifest.splits.values())
    assert kept == sum(map(len, DOCUMENTS)) + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^source.path=.+a.txt .+between documents\) does not contain any text$"),
        (b" \n\n \n", r"does not contain any text"),
        (b"One.\n\nTwo.\n\nTwo.\n\nThree.", r"has only 3 distinct documents with text"),
        (b"One.\n\n\xff", r"^.+a.txt:3 is not UTF-8"),
    ],
)
def test_a_bad_source_is_told_and_leaves_the_folder_free(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = write_bytes(tmp_path / "a.txt", content)
    with pytest.raises(DataError, match=message):
        prepare_text(tmp_path / "out", path)
    assert list((tmp_path / "out").iterdir()) == []
    write_text(path, DOCUMENTS)
    prepare_text(tmp_path / "out", path, validation_fraction=0.3)


@pytest.mark.usefixtures("small_partitions")
def test_an_error_of_another_process_arrives_as_its_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", DOCUMENTS)
    path.write_bytes(path.read_bytes() + b"\n{oops}\n")
    with pytest.raises(DataError, match=r"^[^\n]+a.jsonl:121 is not JSON: [^\n]+$") as raised:
        prepare(config(tmp_path / "out", jsonl(path), workers=2))
    assert raised.value.__cause__ is None
    written = capfd.readouterr()
    assert "Traceback" not in written.err
    assert written.out == ""


@pytest.mark.usefixtures("small_partitions")
def test_the_output_is_plain_and_short_without_a_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    prepare_text(tmp_path / "out", path, workers=2)
    written = capfd.readouterr()
    stages = [line.split(":")[0] for line in written.err.splitlines()]
    assert stages == [
        "read",
        "find duplicates",
        "split",
        "count words",
        "add counts",
        "tokenize",
        "write shards",
    ]
    assert "300 tokens in the vocabulary" in " ".join(written.out.split())
    assert "[UNK]" in written.out


def jsonl(path: Path) -> dict[str, Any]:
    return {"format": "jsonl", "path": str(path), "id_column": "id"}


def test_the_configuration_file_and_the_schema_say_the_same() -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    conf = str(Path(__file__).parents[2] / "conf")
    for source in ("text", "jsonl", "csv", "parquet", "hub", "movie_reviews"):
        for tokenizer in ("wordpiece", "existing"):
            overrides = [f"source={source}", f"tokenizer={tokenizer}", "out=x"]
            overrides += ["source.path=y"] if source != "movie_reviews" else []
            overrides += ["tokenizer.path=z"] if tokenizer == "existing" else []
            with initialize_config_dir(conf, version_base=None):
                composed = compose("prepare", overrides)
            values: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
            values.pop("hydra", None)
            composed_config = PrepareConfig.model_validate(values)
            # Nothing is left out of the files, and their values are the schema's own.
            minimal = {"out": "x", "source": {"format": source}, "tokenizer": {}}
            if source != "movie_reviews":
                minimal["source"]["path"] = "y"
            if tokenizer == "existing":
                minimal["tokenizer"]["path"] = "z"
            assert composed_config == PrepareConfig.model_validate(minimal)
            assert json.loads(composed_config.model_dump_json()).keys() == values.keys()
            assert composed_config.source.model_dump().keys() == values["source"].keys()
            assert composed_config.tokenizer.model_dump().keys() == values["tokenizer"].keys()


def test_a_file_of_one_document_a_line_says_what_makes_a_document(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"the document number {i} .\n" for i in range(50)))
    with pytest.raises(DataError, match=r"only 1 distinct .*only a blank line .*source=jsonl"):
        prepare_text(tmp_path / "out", path)


def test_documents_of_one_sentence_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_text(tmp_path / "a.txt", [[f"the document number {i} ."] for i in range(50)])
    prepare_text(tmp_path / "out", path)
    told = capsys.readouterr().out
    assert "documents have only one sentence, and give no sentence pairs" in told
    assert "source.sentences=split" in told and "task=masked_lm" in told
