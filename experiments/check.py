"""Checks that the tables in the pages of experiments are those of their JSON files.

python -m experiments.check
"""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
WRITERS = {
    "demo": "experiments.demo.tables",
    "embeddings": "experiments.embeddings.run",
    "encoders": "experiments.encoders.run",
    "finetune_tasks": "experiments.finetune_tasks.tables",
    "forecasts": "experiments.forecasts.tables",
    "gpu": "experiments.gpu.tables",
    "lost_rank": "experiments.lost_rank.tables",
    "recipes": "experiments.recipes.run",
    "resume_exactness": "experiments.resume_exactness.reporting",
    "technical_english": "experiments.technical_english.pages",
    "throughput": "experiments.throughput.tables",
}
"""By folder, the module whose `page` puts the results into the text of README.md."""

WITHOUT_JSON = (
    *("chinese_entities", "labelled_memory", "near_duplicates", "prepare_growth", "slurm"),
)
"""Folders without JSON: their README.md is the record itself, or they have not been run."""


def main() -> None:
    wrong = [*differing_pages(FOLDER), *differing_sentences(FOLDER.parent)]
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(bool(wrong))


def differing_pages(folder: Path) -> Iterator[str]:
    """Yields a line for each page in a folder that is not what its results say."""
    pages = {folder / name / "README.md": module for name, module in WRITERS.items()}
    pages[folder / "README.md"] = "experiments.summary"
    pages[folder.parent / "README.md"] = WRITERS["demo"]
    for path, module in pages.items():
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        page: Callable[[str], str] = import_module(module).page
        if page(text) != text:
            yield f"{path} is not what the results say; {module} writes it"


def differing_sentences(root: Path) -> Iterator[str]:
    """Yields a line for each sentence with figures that the repository's README.md lacks."""
    text = " ".join((root / "README.md").read_text(encoding="utf-8").split())
    for module, name in (
        ("experiments.throughput.tables", "speeds_in_words"),
        ("experiments.resume_exactness.reporting", "trials_in_words"),
    ):
        sentence: str = getattr(import_module(module), name)()
        if sentence not in text:
            yield f"{root / 'README.md'} does not say: {sentence}"


if __name__ == "__main__":
    main()
