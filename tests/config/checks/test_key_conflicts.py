"""A key and keys inside it, of which Hydra silently uses what it reads last."""

import json
import shlex
from itertools import permutations
from pathlib import Path

import pytest

from clozekit.config.checks.key_conflicts import check_key_conflicts
from clozekit.config.composition.inherited import overrides_of_parent
from clozekit.config.composition.overrides import as_overrides
from clozekit.errors import ConfigError
from tests.programs.commands import compose_values
from tests.programs.in_process import invoke

PHASES = "data.phases=[{ratio: 0.5}, {ratio: 0.5}]"


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("data.path=a", "data.path.news.path=b"),
        ("data.path=a", "data.path.news=b"),
        ("data.path={news: a}", "data.path.news.path=b"),
        ("data.path=my data (1)", "data.path.news.weight=2"),
        ("data.path=a", "+data.path.news.path=b"),
        ("data.phases=null", "data.phases.0.ratio=0.5"),
        ("data.first_phase=null", "data.first_phase.ratio=0.5"),
        ("task.class_weights=balanced", "task.class_weights.a=2"),
        ("callbacks.probes=null", "callbacks.probes.train=a.csv"),
        ("logger.wandb=null", "logger.wandb.project=x"),
        ("logger={wandb: null}", "logger.wandb.project=x"),
        ("encoder.rope=3", "encoder.rope.theta=4"),
    ],
)
def test_one_value_and_keys_inside_it_are_refused(outer: str, inner: str) -> None:
    for given in permutations((outer, inner)):
        with pytest.raises(ConfigError) as caught:
            check_key_conflicts(as_overrides("train", given))
        message = str(caught.value)
        assert all(each.lstrip("+").partition("=")[0] in message for each in given), message
        assert "\n" not in message


def test_in_a_sweep_each_choice_counts() -> None:
    given = ["data.path=a,b", "data.path.news.path=c"]
    with pytest.raises(ConfigError, match="exclude each other"):
        check_key_conflicts(as_overrides("train", given, is_multirun=True))


@pytest.mark.parametrize(
    "given",
    [
        ("data.path={news: {path: a}}", "data.path.news.weight=2"),
        ("data.path.news.weight=2", "data.path={news: {path: a}}"),
        ("data.path.news.path=a", "data.path.mails.path=b"),
        ("task=classification", "task.class_weights=balanced"),
        ("logger=[csv]", "logger.csv.flush_logs_every_n_steps=1"),
        ("max_steps=1", "max_steps=2"),
        ("data.path=a", "data.path=b"),
        (PHASES, "data.phases.0.ratio=0.2"),
        ("~logger.wandb", "+logger.wandb.project=x"),
        ("optimizer.lr=1", "optimizer.lr_min=2"),
    ],
)
def test_what_can_be_given_together(given: tuple[str, ...]) -> None:
    check_key_conflicts(as_overrides("train", given))


def test_a_list_replaces_only_what_is_before_it() -> None:
    given = (PHASES, "data.phases.0.ratio=0.2", "data.phases.1.ratio=0.8")
    phases = compose_values("train", "name=a", "max_steps=9", "data.path=a", *given)["data"]
    assert [phase["ratio"] for phase in phases["phases"]] == [0.2, 0.8]
    with pytest.raises(ConfigError, match=r"give the list first"):
        check_key_conflicts(as_overrides("train", given[::-1]))


@pytest.mark.parametrize(
    "size",
    [
        "encoder.hidden_size=64",
        "encoder.initializer_range=0.1",
        "encoder={norm_position: pre}",
        "+encoder.local_attention=32",
        "encoder=mini",
        "encoder=default",
    ],
)
def test_sizes_of_a_pretrained_encoder_are_its_own(size: str) -> None:
    for given in permutations((size, "encoder.pretrained=runs/first")):
        with pytest.raises(ConfigError, match=r"has no effect with encoder.pretrained=runs/first"):
            check_key_conflicts(as_overrides("train", given))


@pytest.mark.parametrize(
    "given",
    [
        ("encoder.hidden_size=64", "encoder.pretrained=null"),
        ("encoder.hidden_dropout_prob=0", "encoder.pretrained=runs/first"),
        ("encoder.classifier_pooling=mean", "encoder.pretrained=runs/first"),
        ("encoder=tiny", "encoder.pretrained=null"),
        ("encoder=modern_base", "encoder.pretrained=runs/first"),  # it sets the dropout
        ("encoder=mine", "encoder.pretrained=runs/first"),
        ("encoder._target_=mine.Encoder", "encoder.depth=3", "encoder.pretrained=runs/first"),
    ],
)
def test_what_a_pretrained_encoder_may_be_given(given: tuple[str, ...]) -> None:
    check_key_conflicts(as_overrides("train", given))


def test_the_command_says_so_in_one_sentence(tmp_path: Path) -> None:
    given = ("name=a", "max_steps=1", "data.path=a", "data.path.news.path=b")
    ended = invoke("train", *given, folder=tmp_path)
    assert ended.code == 2
    assert ended.messages == [
        "clozekit train: data.path=a and data.path.news.path=b exclude each other: data.path is "
        "one value, or it has keys inside it; give one of the two"
    ]


def test_a_given_key_inside_a_value_of_the_parent_counts(tmp_path: Path) -> None:
    command = ("clozekit", "train", "data.first_phase=null", "data.cache={limit: 1GB}", "seed=3")
    (tmp_path / "run.json").write_text(json.dumps({"command": shlex.join(command)}))
    given = [f"from_run={tmp_path}", "data.first_phase.ratio=0.5", "data.cache.limit=2GB"]
    assert overrides_of_parent(given) == ["data.cache={limit: 1GB}", "seed=3"]
