"""A browser shows hostile text of every kind of page, runs nothing of it, and requests nothing."""

from html import unescape
from pathlib import Path

import pytest

from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.inspect import InspectConfig
from clozekit.config.predict import PredictConfig
from clozekit.evaluate import evaluate
from clozekit.inspect import inspect
from clozekit.predict import predict
from tests.pages.browser import browser, opened
from tests.pages.hostile import MARKUP, URL, check
from tests.programs.commands import compose_values
from tests.programs.hostile_rows import overrides_of, train_on

pytestmark = pytest.mark.skipif(
    browser() is None, reason="needs a browser: chromium, chromium-headless-shell or google-chrome"
)
TITLE = "executed"


@pytest.fixture(scope="module")
def pages(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page of each verb."""
    folder = tmp_path_factory.mktemp("pages")
    tokenizer = corpus / "tokenizer.json"
    run, rows = train_on(folder, "classification", tokenizer), folder / "classification.jsonl"
    given = (*overrides_of("classification", rows, tokenizer), f"out={folder / 'inspect.html'}")
    inspect(InspectConfig.model_validate(compose_values("inspect", *given, "examples=24")))
    evaluate(
        EvaluateConfig(
            checkpoint=str(run), input=str(rows), out=folder / "out", format="html", device="cpu"
        )
    )
    (folder / "out" / "evaluation.html").rename(folder / "evaluate.html")
    page = folder / "predict.html"
    predict(PredictConfig(checkpoint=str(run), input=str(rows), output=page, device="cpu"))
    return folder


@pytest.mark.parametrize("verb", ["inspect", "evaluate", "predict"])
def test_hostile_text_is_shown_and_not_run(verb: str, pages: Path, tmp_path: Path) -> None:
    page = pages / f"{verb}.html"
    found = opened(page, tmp_path)
    assert found.requests == []
    assert "<title>executed" not in found.document
    assert "<script" not in found.document and "<img" not in found.document
    # The document is what was written: no element was added, moved or left out.
    after = check(found.document)
    before = check(page.read_text(encoding="utf-8"))
    assert after.tags == before.tags
    assert after.shown.split() == before.shown.split()
    for text in MARKUP:
        assert text in unescape(found.document)


def test_the_browser_would_notice(tmp_path: Path) -> None:
    page = tmp_path / "careless.html"
    page.write_text(f"<title>a</title>{MARKUP[0]}{MARKUP[1]}")
    found = opened(page, tmp_path)
    assert f"<title>{TITLE}</title>" in found.document
    assert URL in found.requests
