"""Arguments that are text, as a person writes it, reach the configuration as they are."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import ValidationError

from clozekit.config.composition.overrides import FREE_TEXT, as_overrides, parsed
from clozekit.config.predict import PredictConfig
from clozekit.config.tasks import ClassificationTaskConfig
from clozekit.verbs import validated
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


FILE_NAMES = (
    "données.csv",
    "数据.csv",
    "data (1).csv",
    "data[1].csv",
    "[x].csv",
    "[x]",
    "{x}",
    "{x: y}",
    "a=b.csv",
    "~/x.csv",
    "a,b.csv",
    "-a.csv",
    "it's.csv",
    '"x" y.csv',
    "C:\\temp\\x.csv",
    "cost$5.csv",
    "a:b",
    "a#b&c;d<e>f!^`",
    "😀 😀.csv",
    " a.csv",
    "2024",
    "1e5",
    "true",
    "nan",
    "choice(1,2)",
)


@pytest.mark.parametrize("name", FILE_NAMES)
@pytest.mark.parametrize("key", ["data.train", "data.tokenizer", "runs_dir", "++resume"])
def test_a_file_name_is_taken_as_it_is(name: str, key: str) -> None:
    labelled = ("name=a", "task=classification", "data=classification", "data.train=x")
    overrides = as_overrides("train", [*labelled, f"{key}={name}"])
    found: Any = compose_values("train", *overrides, "callbacks=[]", "logger=[]")
    for part in key.lstrip("+").split("."):
        found = found[part]
    assert found == name


REQUIRED = {"predict": ("text=a",), "merge": ("checkpoints=[a,b]",)}


@pytest.mark.parametrize(
    ("verb", "keys"),
    [
        ("prepare", ["out", "source.path"]),
        ("evaluate", ["checkpoint", "input", "out"]),
        ("predict", ["checkpoint", "input", "output"]),
        ("export", ["checkpoint", "out"]),
        ("merge", ["out"]),
        ("report", ["folder"]),
    ],
)
def test_paths_of_other_verbs_are_too(verb: str, keys: list[str]) -> None:
    given = dict.fromkeys(keys, "~/a,b (1)=[é].csv")
    overrides = as_overrides(verb, [f"{key}={name}" for key, name in given.items()])
    values: Any = compose_values(verb, *overrides, *REQUIRED.get(verb, ()))
    for key, name in given.items():
        group, _, last = key.rpartition(".")
        assert (values[group] if group else values)[last] == name


def test_null_stays_null_and_a_name_may_be_a_number() -> None:
    assert as_overrides("train", ["resume=null", "name=2024", "name=тест"]) == [
        "resume=null",
        "name='2024'",
        "name='тест'",
    ]


def test_in_a_sweep_a_comma_separates_values() -> None:
    def swept(*given: str) -> list[str]:
        return as_overrides("train", given, is_multirun=True)

    assert swept("data.train=a.csv,b.csv") == ["data.train=a.csv,b.csv"]
    assert swept("data.train=é (1).csv,b.csv") == ["data.train='é (1).csv',b.csv"]
    assert swept("data.train='a,b.csv',c") == ["data.train='a,b.csv',c"]
    assert swept("data.train='a,é.csv',ü") == ["data.train='a,é.csv','ü'"]
    assert swept("seed=range(1,3)") == ["seed=range(1,3)"]


def test_a_text_to_predict_on_has_no_interpolations() -> None:
    for text in ("pay ${amount}", "\\${x}", "$ {x}"):
        assert predicted_on(f"text={text}") == (text, None)


def test_other_keys_and_verbs_are_hydras() -> None:
    arguments = ["checkpoint=a", "top_k=5", "text", "--help", "~text", "data_options={a: b}"]
    assert as_overrides("predict", arguments) == arguments
    assert as_overrides("train", ["max_steps=1", "folder"]) == ["max_steps=1", "folder"]
    # What Hydra cannot parse is text, so that the key's own check tells what it should be.
    assert as_overrides("predict", ["top_k=[1", "a b=1"]) == ["top_k='[1'", "a b=1"]


def test_a_reports_folder_needs_no_key(tmp_path: Path) -> None:
    given_arguments = ["--cfg", "runs/my sweep [1]", "metric=validation/loss", "runs/b"]
    overrides = as_overrides("report", given_arguments)
    assert overrides == ["--cfg", "folder='runs/my sweep [1]'", "metric=validation/loss", "runs/b"]
    assert as_overrides("report", ["folder=runs/a"]) == ["folder=runs/a"]
    (tmp_path / "a=b").mkdir()
    assert as_overrides("report", [f"{tmp_path}/a=b"]) == [f"folder='{tmp_path}/a=b'"]


def predicted_on(*arguments: str) -> tuple[str | None, str | None]:
    values = compose_values("predict", "checkpoint=runs/a", *as_overrides("predict", arguments))
    return values["text"], values["text_pair"]


@pytest.mark.parametrize("value", ["null", ""])
def test_no_logger_and_no_callback_are_an_empty_list_to_hydra(value: str) -> None:
    given = [f"logger={value}", f"callbacks={value}", "logger.wandb=null", f"experiment={value}"]
    assert as_overrides("train", given) == ["logger=[]", "callbacks=[]", *given[2:]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["data.path={news: {path: data/news, weight: 3}, mails: {path: s3://b/mails}}"],
        [
            "data.path.news.path=data/news",
            "data.path.news.weight=3",
            "data.path.mails.path=s3://b/mails",
        ],
        [
            "data.path={news: {path: data/news}}",
            "data.path.news.weight=3",
            "data.path.mails.path=s3://b/mails",
        ],
    ],
)
def test_the_sources_of_a_mixture_can_be_given_one_by_one(arguments: list[str]) -> None:
    values = compose_values("train", "name=a", *as_overrides("train", arguments))
    expected = {"news": {"path": "data/news", "weight": 3}, "mails": {"path": "s3://b/mails"}}
    assert values["data"]["path"] == expected


def test_the_path_of_a_source_is_text() -> None:
    arguments = ["data.path.a.path=2024", "data.path.b.path=data (1)", "data.path.1.path=x"]
    values = compose_values("train", "name=a", *as_overrides("train", arguments))
    paths = {name: source["path"] for name, source in values["data"]["path"].items()}
    assert paths == {"a": "2024", "b": "data (1)", "1": "x"}


def test_a_text_of_three_question_marks_is_a_text() -> None:
    composed = OmegaConf.create({"checkpoint": "a", "text": "???", "text_pair": None})
    config = validated(composed, PredictConfig, FREE_TEXT)
    assert (config.text, config.text_pair) == ("???", None)


@pytest.mark.parametrize(
    ("given_text", "weights"),
    [
        ("{2.10: 5.0}", {"2.10": 5.0}),
        ("{2.10:5,2.1:1e2,3: 4}", {"2.10": 5, "2.1": 100.0, "3": 4}),
        ('{"2.10": 5.0}', {"2.10": 5.0}),
        ("{'it\\'s': 5.0, \"a,b: c\":2}", {"it's": 5.0, "a,b: c": 2}),
        ("{no: 5.0, null: 2.0, true: 3}", {"no": 5.0, "null": 2.0, "true": 3}),
        ("{1_000: 1, 1e3: 2, nan: 3, True: 4}", {"1_000": 1, "1e3": 2, "nan": 3, "True": 4}),
        ("{größer als: 2, a\\,b: 3}", {"größer als": 2, "a,b": 3}),
        ("{a: 2, 'b c': 3}", {"a": 2, "b c": 3}),
        ("{a b: 2}", {"a b": 2}),
        ("balanced", "balanced"),
        ("[1.0,2.0]", [1.0, 2.0]),
    ],
)
def test_classes_have_their_names_as_written(given_text: str, weights: Any) -> None:
    labelled = ("name=a", "task=classification", "data=classification", "data.train=x")
    overrides = as_overrides("train", [*labelled, f"task.class_weights={given_text}"])
    values: Any = compose_values("train", *overrides, "callbacks=[]", "logger=[]")
    assert ClassificationTaskConfig(
        class_weights=values["task"]["class_weights"]
    ).class_weights == (weights)


@pytest.mark.parametrize(
    ("given_text", "told"),
    [
        ("{2.10: x}", "2.10=x: a weight should be a non-negative number"),
        ("{2.10: -1}", "2.10=-1: a weight should be"),
        ("{1: nan}", "1=nan: a weight should be"),
        ("{1: 2, 1: 3}", "the class '1' is given twice"),
        ('{"a": 2, "a": 3}', "the class 'a' is given twice"),
        ('{"a" 2}', "should be null, balanced, weights by class"),
        ("{1: {2: 3}}", "1={2: 3}: a weight should be"),
    ],
)
def test_what_is_no_weight_of_a_class_is_told(given_text: str, told: str) -> None:
    (override,) = as_overrides("train", [f"task.class_weights={given_text}"])
    found = parsed(override)
    assert found is not None
    value: Any = found.value()
    with pytest.raises(ValidationError, match=told):
        ClassificationTaskConfig(class_weights=getattr(value, "text", value))


def test_a_sweep_of_weights_has_each_mapping_quoted() -> None:
    given = ["task.class_weights={2.10: 5},{a: 1},balanced"]
    assert as_overrides("train", given, is_multirun=True) == [
        "task.class_weights='{\"2.10\": 5}',{a: 1},balanced"
    ]
    plain = ["task.class_weights={sea: 2.0, a: ${seed}}"]
    assert as_overrides("train", plain) == plain
