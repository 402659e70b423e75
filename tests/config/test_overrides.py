"""Arguments that are text, as a person writes it, reach the configuration as they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clozekit.config.overrides import as_overrides
from tests.programs.commands import compose_values

TEXTS = (
    "the movie was [MASK] .",
    "[MASK]",
    "Hello, world",
    "Where is it? (In Paris: there.)",
    "it's {so} 'good'",
    'he said "no"',
    '"No", he said',
    "1984",
    "true",
    "a = b",
    "ends in a backslash \\",
    "C:\\temp 'x'\\",
    "two\nlines",
    "größer als 5 €",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_taken_as_it_is(text: str) -> None:
    assert predicted_on(f"text={text}", f"text_pair={text}") == (text, text)


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="$\\")))
def test_no_text_is_refused_or_changed(text: str) -> None:
    """But for blanks at its ends, and what Hydra itself has a use for: `$` and backslashes."""
    given_text, _ = predicted_on(f"text=say {text}")
    assert given_text is not None and given_text.strip() == f"say {text}".strip()


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("text='the movie was [MASK] .'", "the movie was [MASK] ."),
        ('text="[MASK], he said"', "[MASK], he said"),
        ("text=null", None),
        ("text=word", "word"),
    ],
)
def test_what_hydra_reads_already_stays(argument: str, text: str | None) -> None:
    assert as_overrides("predict", [argument]) == [argument]
    assert predicted_on(argument) == (text, None)


def test_other_keys_and_verbs_are_hydras() -> None:
    arguments = ["checkpoint=a b [c]", "top_k=[1", "text", "--help"]
    assert as_overrides("predict", arguments) == arguments
    assert as_overrides("train", ["text=a [b]", "folder"]) == ["text=a [b]", "folder"]


def test_a_reports_folder_needs_no_key() -> None:
    given_arguments = ["--cfg", "runs/my sweep [1]", "metric=validation/loss", "runs/b"]
    overrides = as_overrides("report", given_arguments)
    assert overrides == ["--cfg", "folder='runs/my sweep [1]'", "metric=validation/loss", "runs/b"]
    assert as_overrides("report", ["folder=runs/a"]) == ["folder=runs/a"]


def predicted_on(*arguments: str) -> tuple[str | None, str | None]:
    values = compose_values("predict", "checkpoint=runs/a", *as_overrides("predict", arguments))
    return values["text"], values["text_pair"]


@pytest.mark.parametrize("value", ["null", ""])
def test_no_logger_and_no_callback_are_an_empty_list_to_hydra(value: str) -> None:
    given = [f"logger={value}", f"callbacks={value}", "logger.wandb=null", f"experiment={value}"]
    assert as_overrides("train", given) == ["logger=[]", "callbacks=[]", *given[2:]]
