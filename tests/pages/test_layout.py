"""Whole pages and charts."""

import base64
import hashlib
import re

import pytest

from clozekit.pages.charts import heat_table, histogram, probabilities, share_bar
from clozekit.pages.elements import joined
from clozekit.pages.layout import card, facts, named, notes, page, table
from clozekit.pages.marks import NUM_COLOURS, colour
from clozekit.pages.style import STYLE
from tests.pages.hostile import HOSTILE, MARKUP, check


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_every_part_of_a_page_takes_any_text(value: str) -> None:
    content = joined(
        (
            facts({value: value}),
            notes([value]),
            table((value, value), [(value, value)], numbers=(1,)),
            card(value, named(value, value), hint=value, is_wrong=True),
            histogram([(value, 3), (value, 0)], value),
            probabilities({value: 0.5, f"{value}2": 0.25}, 1),
            heat_table([value, "b"], [[1, 0], [2, 3]]),
        )
    )
    made = page(value, value, [(value, content), (value, content)])
    found = check(made)
    if value in MARKUP:
        assert found.shown.count(value) > 10
    made.encode("utf-8")


def test_the_policy_allows_the_style_sheet_of_the_page_and_nothing_else() -> None:
    made = page("a", "b", [("c", facts({"d": "e"}))])
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', made)
    (style,) = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert made.count("<style>") == 1 and " style=" not in made


def test_every_class_of_a_mark_is_in_the_style_sheet() -> None:
    for number in range(2 * NUM_COLOURS):
        assert f".{colour(number)}{{" in STYLE
    for kind in ("special", "second", "masked", "replaced", "kept", "answer", "target"):
        assert f".chip.{kind}{{" in STYLE
    for kind in ("gold", "predicted", "mistaken", "doubtful"):
        assert f"mark.{kind}" in STYLE


def test_charts_have_a_bar_for_each_count() -> None:
    chart = histogram([("1", 2), ("2", 0), ("3", 4)], "tokens")
    assert chart.count("<rect") == 3 and "<title>3: 4</title>" in chart
    assert 'aria-label="tokens"' in chart
    assert 'height="0.0"' in chart
    assert histogram([], "nothing").count("<rect") == 0
    assert 'width="60.0"' in share_bar(1.7) and 'width="0.0"' in share_bar(-1)


def test_a_confusion_matrix_is_coloured_by_the_share_of_its_row() -> None:
    made = heat_table(["a", "b"], [[3, 1], [0, 0]])
    assert 'class="number right-7" title="75.0%">3<' in made
    assert 'class="number heat-2" title="25.0%">1<' in made
    assert made.count("·") == 2


def test_the_most_probable_come_first_and_the_rest_is_counted() -> None:
    made = probabilities({"a": 0.1, "b": 0.6, "c": 0.3}, 2)
    assert made.index("0.600") < made.index("0.300")
    assert "0.100" not in made and "and 1 more" in made
