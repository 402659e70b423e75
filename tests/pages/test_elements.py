"""Elements of pages: text is text, whatever is in it."""

from html.parser import HTMLParser

import pytest

from clozekit.output.display import printable
from clozekit.pages.elements import Html, element, isolated, joined, shortened, text
from clozekit.pages.marks import Chip, Mark, chips, marked
from tests.pages.hostile import HOSTILE, PageCheck


class _Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [f"{name}={value}" for name, value in attrs]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_text_is_shown_and_is_no_markup(value: str) -> None:
    expected = printable(value, keep="\n\t")
    parsed = _Text(element("p", value))
    assert (parsed.tags, "".join(parsed.found)) == (["p"], expected)
    attribute = _Text(element("span", title=value))
    assert (attribute.tags, attribute.found) == (["span"], [f"title={expected}"])
    text(value).encode("utf-8")


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_marks_and_tokens_keep_all_of_a_text(value: str) -> None:
    cut = len(value) // 2
    html = marked(value, [Mark(0, cut, value, "gold"), Mark(cut // 2, len(value), "", "predicted")])
    found = PageCheck(html)
    assert found.problems == []
    whole = PageCheck(marked(value, [Mark(0, cut, "", "gold"), Mark(1, len(value), "", "x")]))
    assert whole.shown == printable(value, keep="\n\t")
    assert PageCheck(chips([Chip(value, value, ("masked",))])).problems == []


def test_only_what_was_made_here_is_markup() -> None:
    bold = element("strong", "a")
    assert joined((bold, "<b>")) == "<strong>a</strong>&lt;b&gt;"
    # What is added to markup by other means is text again.
    assert element("p", bold + "") == "<p>&lt;strong&gt;a&lt;/strong&gt;</p>"
    assert isinstance(isolated("a"), Html)


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("script", {}),
        ("img", {}),
        ("p", {"onclick": "a()"}),
        ("p", {"style": "a"}),
        ("a", {"href": "http://example.org"}),
        ("a", {"href": "javascript:a()"}),
        ("a", {"src": "#a"}),
    ],
)
def test_other_elements_attributes_and_links_are_refused(
    tag: str, attributes: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="page"):
        element(tag, "a", **attributes)


def test_marks_overlap_and_those_outside_are_left_out() -> None:
    html = marked("abcdef", [Mark(0, 4, "one", "gold"), Mark(2, 6, "two", "predicted")])
    assert html == (
        '<bdi dir="auto" class="prose"><mark class="gold">ab</mark>'
        '<mark class="gold predicted">cd<small>one</small></mark>'
        '<mark class="predicted">ef<small>two</small></mark></bdi>'
    )
    outside = marked("abc", [Mark(2, 9, "x", "gold"), Mark(-1, 2, "x", "gold"), Mark(1, 1, "", "")])
    assert outside == '<bdi dir="auto" class="prose">abc</bdi>'


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("x" * 1500, 3) == "xxx… (1,497 more characters)"
