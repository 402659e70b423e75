"""The pages of `evaluate` and `predict` for every task, with rows that are hostile."""

import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.predict import PredictConfig
from clozekit.errors import ConfigError
from clozekit.evaluate import evaluate
from clozekit.inference import prediction_page
from clozekit.output.display import printable
from clozekit.predict import predict
from clozekit.train import train
from tests.pages.hostile import MARKUP, PageCheck, check
from tests.programs.commands import QUIET, TINY, train_config
from tests.programs.hostile_rows import NUMBER, ROWS, train_on

SHORT = "<b onclick=a()>b</b>"
"""Fewer tokens than the model's longest sequence."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module", params=ROWS)
def run(request: pytest.FixtureRequest, runs: Path, corpus: Path) -> Path:
    """A run of one step on hostile rows of a task."""
    return made(runs, request.param, corpus)


@pytest.fixture(scope="module")
def classified(runs: Path, corpus: Path) -> Path:
    return made(runs, "classification", corpus)


def made(runs: Path, task: str, corpus: Path) -> Path:
    """The run of a task, which is trained once."""
    run = runs / task
    return run if run.exists() else train_on(runs, task, corpus / "tokenizer.json")


@pytest.fixture(scope="module")
def pretrained(runs: Path, corpus: Path) -> Path:
    """A run of pretraining of one step."""
    given = (f"data.path={corpus}", *TINY, *QUIET, "max_steps=1", "global_batch_size=8")
    train(train_config("name=pretrained", f"runs_dir={runs}", *given, "micro_batch_size=8"))
    return runs / "pretrained"


def rows_of(run: Path) -> Path:
    return run.parent / f"{run.name}.jsonl"


def evaluated(run: Path, out: Path, **more: Any) -> PageCheck:
    given = {"checkpoint": str(run), "input": str(rows_of(run)), "out": str(out)}
    evaluate(EvaluateConfig.model_validate({**given, "format": "html", "device": "cpu", **more}))
    return check((out / "evaluation.html").read_text(encoding="utf-8"))


def predicted(checkpoint: Path, output: Path, **more: Any) -> PageCheck:
    given = {"checkpoint": str(checkpoint), "output": str(output), "device": "cpu"}
    predict(PredictConfig.model_validate({**given, **more}))
    return check(output.read_text(encoding="utf-8"))


def test_an_evaluation_is_shown_with_its_errors(run: Path, tmp_path: Path) -> None:
    found = evaluated(run, tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for name, value in metrics["metrics"].items():
        assert f"{name}{value:.4f}" in found.shown
    shown = found.shown
    if run.name in ("regression", "embedding"):
        assert f"The largest errors first ({NUMBER})" in shown
    else:
        assert "Errors, the most confident first" in shown
    has_confusion = run.name in ("classification", "tagging")
    assert ("Confusion by class" in shown) == has_confusion
    assert MARKUP[0] in shown, "a text, a label or an id"
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().count("\n")
    assert lines == NUMBER, "all rows are in the other files"


def test_predictions_are_shown_in_their_texts(run: Path, tmp_path: Path) -> None:
    more = {"task_options": {"no_answer_threshold": 1e9}} if "question" in run.name else {}
    found = predicted(run, tmp_path / "page.html", input=str(rows_of(run)), **more)
    assert f"{NUMBER} rows, predicted by" in found.shown
    for number in range(NUMBER):
        assert printable(f"{number} {MARKUP[number % 8]}") in found.shown
    if "question" in run.name:
        assert "mark" in found.tags
    elif run.name == "embedding":
        assert "(32 values)" in found.shown
    elif run.name not in ("regression", "tagging"):
        assert "svg" in found.tags, "probabilities have bars"


def test_a_page_has_the_first_rows_and_says_so(
    classified: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = classified
    monkeypatch.setattr(prediction_page, "MOST_ROWS", 5)
    found = predicted(run, tmp_path / "page.html", input=str(rows_of(run)))
    assert "the first 5 rows" in found.shown
    assert f"4 {MARKUP[4]}" in found.shown and f"5 {MARKUP[5]}" not in found.shown
    assert "wrote the first 5 predictions" in capsys.readouterr().out


def test_a_text_has_a_page_too(classified: Path, tmp_path: Path) -> None:
    given = {"text": MARKUP[0], "format": "html"}
    found = predicted(classified, tmp_path / "page", **given)
    assert found.shown.count(MARKUP[0]) > 2 and "1 row, predicted by" in found.shown


def test_a_pretrained_models_words_are_shown(pretrained: Path, tmp_path: Path) -> None:
    texts = [{"text": f"the old [MASK] {SHORT}"}, {"text": "the [MASK] .", "text_pair": "b"}]
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in texts))
    found = predicted(pretrained, tmp_path / "page.html", input=str(rows))
    assert f"the old [MASK] {SHORT}" in found.shown and "follows" in found.shown


def test_what_exists_is_not_overwritten(classified: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    with pytest.raises(ConfigError, match="already exists"):
        predict(PredictConfig(checkpoint=str(classified), text="a", output=page))
    assert page.read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"format": "html"}, r"format=html requires output, such as output=page\.html"),
        ({"format": "pdf", "output": "a"}, "format"),
    ],
)
def test_a_page_needs_a_file(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PredictConfig.model_validate({"checkpoint": "a", "text": "b", **given})


def test_a_page_is_no_file_of_vectors(runs: Path, corpus: Path, tmp_path: Path) -> None:
    config = PredictConfig(
        checkpoint=str(made(runs, "embedding", corpus)),
        text="a",
        output=tmp_path / "a.npy",
        format="html",
    )
    with pytest.raises(ConfigError, match=r"a page ends with \.html"):
        predict(config)
