"""Choices of groups, options and files that Hydra itself rejects late or with a traceback."""

from pathlib import Path

import pytest

from clozekit.config.composition.group_choices import check_choices, choices_with
from clozekit.config.composition.messages import shortened
from clozekit.config.composition.options import is_multirun, parse_options
from clozekit.errors import ConfigError
from clozekit.output.display import printable
from tests.programs.in_process import invoke


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("task=null", "task=null: it should be one of classification, embedding, masked_lm"),
        ("data=3", "it should be one of"),
        ("data=[pretraining]", "it should be one of"),
        ("trainer=nan", "it should be one of cpu, ddp"),
        ("data='a\x01b'", "it should be one of"),
        (f"data={'a' * 300}", "it should be one of"),
        ("data=''", "it should be one of"),
        ("hydra=5", "it should be one of command"),
        ("logger=5", "it should be one of csv, tensorboard, wandb"),
        ("compile=true", "it should be compile=off or compile=default"),
        ("logger=csv,wandb", "write logger=[csv,wandb] for all of them"),
        ("max_steps=1,2", "several values need -m"),
        ("max_steps=1,2", "write max_steps=[1,2] for a list, and \"max_steps='1,2'\" for text"),
        ("max_steps=range(1,3)", "several values need -m"),
        ("=3", "'=3' is not an override"),
        ("@x=3", "'@x=3' is not an override"),
    ],
)
def test_what_is_no_choice_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_choices("train", [override], is_multirun=False)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "weights=1,2",
            "weights=1,2: write 'weights=[1,2]' for a list, and \"weights='1,2'\" for text with a "
            "comma",
        ),
        ("checkpoints=a,b", "checkpoints=a,b: write 'checkpoints=[a,b]' for a list, and "),
        (
            "seed=range(1,3)",
            "seed=range(1,3): it should be one value; run this verb once per value",
        ),
        ("seed=choice(1,2)", "seed=choice(1,2): it should be one value; run this verb once per"),
    ],
)
def test_a_verb_that_has_no_sweeps_says_how_a_list_is_written(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_choices("merge", [override], is_multirun=False)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "override", ["data=glue/cola", "logger=[csv]", "debug=null", "name=5", "-m", "task={a: 1}"]
)
def test_other_overrides_are_left_to_hydra(override: str) -> None:
    check_choices("train", [override], is_multirun=False)


def test_a_sweep_has_several_values() -> None:
    check_choices("train", ["data=pretraining,masked_lm", "seed=1,2"], is_multirun=True)
    with pytest.raises(ConfigError, match="it should be one of"):
        check_choices("train", ["data=pretraining,3"], is_multirun=True)


def test_a_key_is_found_in_other_choices_of_its_group() -> None:
    assert choices_with("task.class_weights") == ("task", ["classification"])
    assert choices_with("task.n_best")[1] == ["question_answering", "question_answering_bio"]
    # Inherited from data/labelled; the many data sets are not listed.
    assert choices_with("data.train")[1][0] == "classification"
    assert not any("/" in choice or choice == "squad" for choice in choices_with("data.train")[1])
    assert choices_with("data.nothing") == ("data", [])
    assert choices_with("nothing.x") == ("nothing", [])
    assert choices_with("hydra.sweeper.n_trials") == ("hydra/sweeper", ["clozekit_optuna"])
    assert choices_with("hydra.job.name")[1] == []


def test_options_and_overrides_may_stand_in_any_order() -> None:
    options, arguments = parse_options("train", ["a=1", "--config-dir", "conf", "b=2", "-m"])
    assert arguments == ["--config-dir", "conf", "-m", "a=1", "b=2"]
    assert options.config_dir == "conf" and is_multirun(options)
    assert is_multirun(parse_options("train", ["hydra.mode=MULTIRUN"])[0])
    assert not is_multirun(parse_options("train", ["hydra.mode=RUN"])[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--foo"], "unknown option --foo"),
        (["--config-dir"], "expected one argument"),
        (["--cfg", "x"], "invalid choice: 'x'"),
        (["--experimental-rerun", "x.pickle"], "--experimental-rerun is not supported"),
    ],
)
def test_an_option_that_cannot_be_is_told_in_one_sentence(
    arguments: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_options("train", arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_messages_are_short_and_printable() -> None:
    assert shortened("a" * 3000 + " is no name") == "a" * 100 + "…" + "a" * 20 + " is no name"
    assert printable("\x1b[31mred\u202e\ntwo", keep="\n") == "\\x1b[31mred\\u202e\ntwo"
    assert printable("größer 数据 😀") == "größer 数据 😀"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"a: 1\n  b: 2\n", "mine.yaml, line 2: mapping values are not allowed here"),
        (b"a: 1\na: 2\n", "mine.yaml, line 2: found duplicate key a"),
        (b"a: [1\nb: }\n", "mine.yaml, line 2: "),
        (b"\xff\xfe", "mine.yaml is not UTF-8 text"),
        (b"defaults:\n  - nothere\n", "experiment=nothere does not exist"),
        (b"a: !!python/object/apply:os.getcwd []\n", "mine.yaml, line 1: could not determine"),
        (b"seed: 1\n", "unknown key 'experiment'; begin the file of experiment=… with the line #"),
        (b"task:\n  null: 1\n", "mine.yaml: task: a key is null, which should be in quotation"),
        (b"task: '${x'\n", "mine.yaml: task: no viable alternative at input"),
        (b"# @package _global_\n[1]\n", "In 'experiment/mine': ConfigTypeError raised while com"),
    ],
)
def test_a_broken_file_of_the_users_is_named_with_its_line(
    written: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "mine.yaml").write_bytes(written)
    own = ("-cd", "own", "experiment=mine")
    ended = invoke("train", *own, "name=a", "data.path=data", folder=tmp_path)
    assert ended.code == 2
    (line,) = ended.messages
    assert message in line
