"""Text of others in Markdown is shown as it is."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clozekit.interop.card import model_card
from clozekit.interop.markdown import as_code, as_code_block, as_text

HOSTILE = (
    "<script>alert(1)</script>",
    "![a](http://evil.example/x.png)",
    "[text](javascript:alert(1))",
    "```\n<img src=x onerror=alert(1)>\n```",
    "a | b\n|---|---|",
    "x\n\n# Another heading",
    "\x1b]0;title\x07\x1b[2J",
    "`` ` ```",
    "&lt;b&gt; &amp;",
    "*a* _b_ **c** ~~d~~ $e$ <https://evil.example>",
    "\u202egnp.exe",
    "__0__",
    "___a_b___ _",
)
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
TAGS = re.compile(r"<(/?\w+)")


def tags(markdown: str) -> set[str]:
    """The HTML tags that a Markdown text becomes, with HTML in it left as it is."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    return {tag.strip("/") for tag in TAGS.findall(html)}


@given(text=TEXTS)
def test_text_has_no_markup(text: str) -> None:
    assert tags(f"a{as_text(text)}") <= {"p"}
    assert tags(f"| a |\n|---|\n| {as_text(text)} |") <= {
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert "\n" not in as_text(text) and "\x1b" not in as_text(text)


@given(text=TEXTS)
def test_code_is_only_code(text: str) -> None:
    assert tags(as_code(text)) <= {"p", "code"}
    assert "\n" not in as_code(text) and "\x1b" not in as_code(text)
    assert tags(as_code_block(text, "yaml")) == {"pre", "code"}


def test_common_names_stay_readable() -> None:
    assert as_text("validation/f1_macro") == "validation/f1_macro"
    assert as_text("topics-0.1") == "topics-0.1"
    assert as_code("data/mine") == "`data/mine`"
    assert as_code_block("a: 1\nb: 2\n", "yaml") == "```yaml\na: 1\nb: 2\n```"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_model_card_shows_hostile_names_as_they_are(text: str) -> None:
    config = {
        "name": text,
        "global_batch_size": 8,
        "encoder": {"_target_": text},
        "data": {"_target_": "x", "path": text, text: text},
        "task": {"_target_": "x", "class_weights": {text: 1.0}},
    }
    card = model_card(None, "clozekit", 3, config, text, {f"validation/{text}": 1.0}, "1")
    body = card.content.split("---\n", 2)[2]
    allowed = {"h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert tags(body) <= allowed | {"pre", "code"}
    assert body.count("\n# ") == 1, "one heading"
    assert "\x1b" not in card.content and "\u202e" not in card.content
