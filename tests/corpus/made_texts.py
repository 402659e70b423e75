"""Generated documents, written in every format, and corpora made of them."""

import csv
import gzip
import io
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from clozekit.config.prepare import PrepareConfig, WordPieceConfig
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard
from clozekit.corpus.tokenizers.vocabulary import count_words, train_from_counts
from clozekit.prepare import prepare

SYLLABLES = [consonant + vowel for consonant in "bdklmn" for vowel in "aeio"]


def train_wordpiece(texts: Iterable[str], config: WordPieceConfig) -> Tokenizer:
    """Trains a WordPiece tokenizer on texts, as `prepare` does on the training documents."""
    plain = pa.array([" ".join(text.split()) for text in texts], pa.string())
    return train_from_counts(count_words(plain, config), config)


def make_documents(number: int, seed: int = 0) -> list[list[str]]:
    """Documents of one to six sentences of invented words."""
    rng = random.Random(seed)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(200)]
    return [
        [
            " ".join(rng.choices(words, k=rng.randint(2, 12))).capitalize() + f" {index}."
            for _ in range(rng.randint(1, 6))
        ]
        for index in range(number)
    ]


def write_text(path: Path, documents: list[list[str]]) -> Path:
    text = "\n\n".join("\n".join(sentences) for sentences in documents)
    return write_bytes(path, text.encode())


def write_jsonl(path: Path, documents: list[list[str]], text_column: str = "text") -> Path:
    rows = [
        json.dumps({"id": f"doc-{index}", text_column: "\n".join(sentences)})
        for index, sentences in enumerate(documents)
    ]
    return write_bytes(path, "\n".join(rows).encode())


def write_csv(path: Path, documents: list[list[str]]) -> Path:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["id", "text"])
    for index, sentences in enumerate(documents):
        writer.writerow([f"doc-{index}", "\n".join(sentences)])
    return write_bytes(path, file.getvalue().encode())


def write_parquet(path: Path, documents: list[list[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"doc-{index}" for index in range(len(documents))]
    texts = ["\n".join(sentences) for sentences in documents]
    pq.write_table(pa.table({"id": ids, "text": texts}), path, row_group_size=16)
    return path


def write_bytes(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def config(out: Path | str, source: dict[str, Any], **changes: Any) -> PrepareConfig:
    values = {
        "out": str(out),
        "source": {"sentences": "lines", **source},
        "tokenizer": {"vocab_size": 300},
        "validation_fraction": 0.2,
        "workers": 1,
    }
    return PrepareConfig.model_validate(values | changes)


def prepare_text(out: Path, path: Path | str, **changes: Any) -> Corpus:
    return prepare(config(out, {"format": "text", "path": str(path)}, **changes))


def decoded(corpus: Corpus) -> dict[str, list[str]]:
    """The sentences of every document of both splits, by id."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(corpus.tokenizer_file))
    documents: dict[str, list[str]] = {}
    for path in corpus.shards("train") + corpus.shards("validation"):
        shard = Shard.open(path)
        sentences = [
            tokenizer.decode(shard.tokens[first:last].tolist())
            for first, last in zip(
                shard.sentence_offsets[:-1], shard.sentence_offsets[1:], strict=True
            )
        ]
        for index, identity in enumerate(shard.ids):
            first, last = shard.document_offsets[index : index + 2]
            documents[identity] = sentences[first:last]
    return documents


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
