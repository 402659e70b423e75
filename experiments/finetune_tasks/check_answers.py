"""Judges real predictions by clozekit's metrics of answers and by torchmetrics' own.

    python experiments/finetune_tasks/check_answers.py --checkpoint runs/qa

The questions are the first 500 of the validation set. torchmetrics' SQuAD was written after the
official script, apart from clozekit's.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from torchmetrics.text import SQuAD

NUMBER = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("data/tasks"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "questions.json", Path(folder) / "evaluation"
        golds = write_questions(given.data / "qa" / "validation.json.gz", file)
        command = ["evaluate", f"checkpoint={given.checkpoint}", f"input={file}", f"out={out}"]
        subprocess.run([sys.executable, "-m", "clozekit", *command], check=True)
        ours = json.loads((out / "metrics.json").read_text())["metrics"]
        predictions = json.loads((out / "squad_predictions.json").read_text())
    theirs = SQuAD()
    theirs.update(
        [{"id": name, "prediction_text": predictions[name]} for name in golds],
        [{"id": name, "answers": answers} for name, answers in golds.items()],
    )
    for name, value in theirs.compute().items():
        print(f"{name}: clozekit {ours[name]:.6f}, torchmetrics {float(value):.6f}")


def write_questions(source: Path, file: Path) -> dict[str, dict[str, list[Any]]]:
    """Writes the first questions in SQuAD's form, and gives their answers."""
    golds: dict[str, dict[str, list[Any]]] = {}
    articles = json.loads(gzip.decompress(source.read_bytes()))["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = paragraph["qas"][: NUMBER - len(golds)]
            for question in paragraph["qas"]:
                answers = question["answers"]
                golds[question["id"]] = {
                    key: [answer[key] for answer in answers] for key in ("text", "answer_start")
                }
        article["paragraphs"] = [p for p in article["paragraphs"] if p["qas"]]
    articles = [article for article in articles if article["paragraphs"]]
    file.write_text(json.dumps({"version": "1.1", "data": articles}))
    return golds


if __name__ == "__main__":
    main()
