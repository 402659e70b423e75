"""Models in the format of transformers that runs were exported to."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

import clozekit


def check_masked_words(exported: Path, run: Path, class_name: str) -> None:
    """Checks that transformers loads a model, which then predicts the words that the run does."""
    model = AutoModelForMaskedLM.from_pretrained(exported).eval()
    assert type(model).__name__ == class_name
    tokenizer = AutoTokenizer.from_pretrained(exported)
    text = "the [MASK] sails ."
    with torch.inference_mode():
        logits = model(**tokenizer(text, return_tensors="pt")).logits[0, 2]
    (prediction,) = clozekit.load(run).predict([text])
    best = prediction["words"][0][0]
    assert tokenizer.convert_ids_to_tokens(int(logits.argmax())) == best["word"]
    assert float(logits.softmax(-1).max()) == pytest.approx(best["probability"], rel=1e-3)
