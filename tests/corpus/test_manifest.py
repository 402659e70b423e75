import json
import subprocess
import sys
from pathlib import Path

import pytest

from clozekit.corpus.manifest import Corpus
from clozekit.errors import DataError
from tests.corpus.made_texts import make_documents, prepare_text, write_text


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return prepare_text(tmp_path / "out", write_text(tmp_path / "a.txt", make_documents(40)))


def test_a_corpus_knows_its_files(corpus: Corpus) -> None:
    assert corpus.shards("train") == [corpus.folder / "train-00000.arrow"]
    assert corpus.shards("validation") == [corpus.folder / "validation-00000.arrow"]
    assert corpus.tokenizer_file == corpus.folder / "tokenizer.json"
    assert Corpus.open(str(corpus.folder)) == corpus


def test_the_hash_follows_the_bytes(corpus: Corpus, tmp_path: Path) -> None:
    documents = make_documents(40)
    same = prepare_text(tmp_path / "same", write_text(tmp_path / "b.txt", documents))
    assert same.hash == corpus.hash
    documents[7] = ["Another."]
    other = prepare_text(tmp_path / "other", write_text(tmp_path / "c.txt", documents))
    assert other.hash != corpus.hash
    assert len(corpus.hash) == 64


def test_what_is_no_whole_corpus_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"folder .+no does not exist; create it with `clozekit pre"
    ):
        Corpus.open(tmp_path / "no")
    with pytest.raises(DataError, match=r"has no manifest.json, .+ run `clozekit prepare`"):
        Corpus.open(tmp_path)
    manifest = corpus.folder / "manifest.json"
    values = json.loads(manifest.read_text())
    for changed, message in (
        ({**values, "format_version": 2}, r"has format_version 2; .+ reads up to 1"),
        ({**values, "format_version": 2, "new": 1}, r"has format_version 2"),
        ({"name": "x"}, r"is not a valid manifest: format_version: Field required"),
        ({**values, "vocab_size": "many"}, r"is not a valid manifest: vocab_size: "),
    ):
        manifest.write_text(json.dumps(changed))
        with pytest.raises(DataError, match=message):
            Corpus.open(corpus.folder)
    manifest.write_text(json.dumps(values)[:-5])
    with pytest.raises(DataError, match=r"is not a valid manifest: the file: Invalid JSON"):
        Corpus.open(corpus.folder)
    manifest.write_text(json.dumps(values))
    corpus.shards("train")[0].unlink()
    with pytest.raises(
        DataError, match=r"train-00000.arrow does not exist, but .+manifest.json lists it"
    ):
        Corpus.open(corpus.folder)


def test_opening_a_corpus_needs_nothing_heavy() -> None:
    program = (
        "import sys, clozekit.corpus.manifest, clozekit.config.prepare;"
        "print({'torch', 'lightning', 'pyarrow', 'numpy', 'datasets', 'tokenizers'}"
        " & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
