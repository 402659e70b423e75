"""Writes the paper's text as documents, and its tagged sentences, to `data/chinese_entities/`.

    python experiments/chinese_entities/prepare.py [--data data/tasks]

The text has a paragraph a line and no marks between articles: every eight paragraphs are
taken for a document.
"""

import argparse
import gzip
import json
from pathlib import Path

FOLDER = Path("data/chinese_entities")
PARAGRAPHS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/tasks"))
    data = parser.parse_args().data
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = gzip.decompress((data / "corpus/people_daily_zh.txt.gz").read_bytes()).decode()
    lines = text.splitlines()
    with (FOLDER / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for begin in range(0, len(lines), PARAGRAPHS):
            document = {"text": "\n".join(lines[begin : begin + PARAGRAPHS])}
            print(json.dumps(document, ensure_ascii=False), file=file)
    for split in ("train", "validation"):
        tagged = gzip.decompress((data / f"tagging/people_daily_zh_{split}.conll.gz").read_bytes())
        (FOLDER / f"{split}.conll").write_bytes(tagged)


if __name__ == "__main__":
    main()
