"""What a pretrained model predicts, and how sure it is, in words."""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import yaml
from rich.console import Console

import clozekit
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule

MASKED = (
    "this is one of the [MASK] movies i have ever seen .",
    "the [MASK] was great , but the plot was [MASK] .",
    "i would not [MASK] this film to anyone .",
    "he plays the role of a young [MASK] who falls in [MASK] with her .",
)
PAIRS = (
    ("I watched this film with my family last night.", "We all enjoyed it very much."),
    ("I watched this film with my family last night.", "The war began in 1914."),
    ("The acting is terrible.", "The script is even worse, and the ending makes no sense."),
    ("The acting is terrible.", "He was born in Ohio and moved to New York as a child."),
)
WORDS = 5


def show_predictions(run: Path, console: Console) -> dict[str, list[str]]:
    """Prints words for [MASK] with their probabilities, and what the model says of pairs.

    Returns:
        For each text with [MASK], a line for each mask with the likeliest words.
    """
    model = clozekit.load(run)
    predictions = model.predict(MASKED)
    console.print("\n[bold]Masked words[/bold], the likeliest first", markup=True)
    words = {
        text: list(words_in_words(prediction["words"]))
        for text, prediction in zip(MASKED, predictions, strict=True)
    }
    for text, lines in words.items():
        console.print(f"  {text}", markup=False)
        for line in lines:
            console.print(f"      {line}", markup=False, soft_wrap=True)
    firsts = [each[0]["probability"] for found in predictions for each in found["words"]]
    console.print(f"  {how_sure(firsts)}", markup=False, soft_wrap=True)

    pairs = model.predict(PAIRS)
    key = next((key for key in ("follows", "in_order") if key in pairs[0]), None)
    if key is not None:
        meaning = "B follows A" if key == "follows" else "A and B are in order"
        console.print(
            f"\n[bold]Pairs of sentences[/bold], with the probability that {meaning}", markup=True
        )
        for (text, text_pair), pair in zip(PAIRS, pairs, strict=True):
            console.print(f"  {pair[key]:.2f}  A: {text}  B: {text_pair}", markup=False)
    return words


def words_in_words(masks: list[list[dict[str, Any]]]) -> Iterator[str]:
    """Yields a line for each [MASK]: the likeliest words with their probabilities."""
    for candidates in masks:
        yield ", ".join(f"{c['word']} {c['probability']:.0%}" for c in candidates[:WORDS])


def how_sure(firsts: list[float]) -> str:
    """Says how sure a model is of its first words."""
    average = mean(firsts)
    if average < 0.1:
        what = "it is guessing: many words are about as likely"
    elif average < 0.5:
        what = "it is not sure: other words together are likelier"
    else:
        what = "it is sure of most of them"
    return f"The first word has a probability of {average:.0%} on average: {what}."


def num_validation_pairs(run: Path) -> int:
    """Returns the number of pairs of the validation of a run."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]
    options = {key: value for key, value in config.items() if key != "_target_"}
    source = PretrainingDataModule(**options).sources["validation"]
    return sum(source.num_samples(0, shard) for shard in range(source.num_shards))
