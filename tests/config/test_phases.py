"""The phases of a run: which steps each has, what holds in it, and what is refused."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.config.checks.checking import checked
from clozekit.config.checks.components import check_components
from clozekit.config.data import CorpusDataConfig
from clozekit.config.phases import PhaseSettings, planned
from clozekit.errors import ConfigError
from tests.programs.commands import train_config

SIZES = {"seed": 0, "global_batch_size": 64, "micro_batch_size": 32}
MIXTURE = {"news": {"path": "data/news", "weight": 3}, "mails": {"path": "data/mails"}}
FIRST = {"ratio": 0.9, "max_seq_length": 64, "micro_batch_size": 16}


def corpus_data(**changes: Any) -> CorpusDataConfig:
    return checked("data", CorpusDataConfig, {"path": "data/mine", **SIZES, **changes})


def settings_of(ratio: float) -> PhaseSettings:
    return PhaseSettings("", ratio, 128, 0.15, 64, 32)


@given(
    parts=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    max_steps=st.integers(1, 10**6),
)
def test_every_step_is_in_one_phase(parts: list[int], max_steps: int) -> None:
    ratios = [part / sum(parts) for part in parts]
    phases = planned([settings_of(ratio) for ratio in ratios], max_steps)
    assert [phase.number for phase in phases] == list(range(1, len(parts) + 1))
    assert phases[0].first_step == 0 and sum(phase.num_steps for phase in phases) == max_steps
    for before, after in pairwise(phases):
        assert after.first_step == before.first_step + before.num_steps
    for phase, ratio in zip(phases, ratios, strict=True):
        assert abs(phase.num_steps - ratio * max_steps) <= 1 + 1e-6


def test_ratios_that_are_a_little_more_than_all_steps_end_with_the_last() -> None:
    phases = planned([settings_of(ratio) for ratio in (0.5, 0.5000005, 1e-7)], 10**7)
    assert [phase.num_steps for phase in phases] == [5_000_000, 5_000_000, 0]


def test_a_phase_has_the_values_of_the_data_for_what_it_does_not_set() -> None:
    phases = [
        {"ratio": 0.25, "max_seq_length": 64, "global_batch_size": 16, "micro_batch_size": 8},
        {"ratio": 0.5, "masked_lm_prob": 0.3, "weights": {"mails": 0}},
        {"ratio": 0.25},
    ]
    first, second, third = corpus_data(path=MIXTURE, phases=phases).phase_settings()
    weights = {"mails": 1.0, "news": 3.0}
    assert first == PhaseSettings("phases.0", 0.25, 64, 0.15, 16, 8, weights)
    assert second == PhaseSettings("phases.1", 0.5, 128, 0.3, 64, 32, {"mails": 0.0, "news": 3.0})
    assert third == PhaseSettings("phases.2", 0.25, 128, 0.15, 64, 32, weights)


def test_a_first_phase_is_two_phases() -> None:
    first, last = corpus_data(first_phase=FIRST).phase_settings()
    assert (first.ratio, first.max_seq_length, first.micro_batch_size) == (0.9, 64, 16)
    assert (last.ratio, last.max_seq_length, last.micro_batch_size) == (1 - 0.9, 128, 32)
    assert last.begins_epoch and not first.begins_epoch
    (only,) = corpus_data().phase_settings()
    assert only == PhaseSettings("", 1.0, 128, 0.15, 64, 32)


def test_a_phase_is_described_with_its_steps() -> None:
    phases = [{"ratio": 0.9, "max_seq_length": 64, "masked_lm_prob": 0.3}, {"ratio": 0.1}]
    settings = corpus_data(path=MIXTURE, phases=phases).phase_settings()
    texts = [phase.in_words() for phase in planned(settings, 1000)]
    assert texts == [
        "steps 1 to 900: at most 64 tokens per sample, 64 samples per step in micro-batches of 32, "
        "0.3 of the tokens masked, 25.0% mails, 75.0% news",
        "steps 901 to 1,000: at most 128 tokens per sample, 64 samples per step in micro-batches "
        "of 32, 0.15 of the tokens masked, 25.0% mails, 75.0% news",
    ]
    assert planned(settings, 1)[1].in_words().startswith("no steps: ")


HALF = {"ratio": 0.5}
REFUSED = {
    "no phases": ({"phases": []}, r"data\.phases=\[\]: it should have at least one phase"),
    "one phase that is not in a list": (
        {"phases": {"ratio": 1}},
        "data.phases=.*it should be a list",
    ),
    "ratios of less than 1": (
        {"phases": [HALF, {"ratio": 0.4}]},
        r"data\.phases: the ratios 0\.5 \+ 0\.4 add up to 0\.9, but they should add up to 1",
    ),
    "ratios of more than 1": ({"phases": [HALF, HALF, HALF]}, r"data\.phases: .* add up to 1\.5"),
    "a ratio of zero": ({"phases": [{"ratio": 0}]}, r"data\.phases\.0\.ratio=0: .*greater than 0"),
    "no ratio": ({"phases": [{"max_seq_length": 64}]}, r"data\.phases\.0\.ratio is missing"),
    "an unknown key": (
        {"phases": [HALF, {**HALF, "lr": 1}]},
        r"unknown key 'data\.phases\.1\.lr'",
    ),
    "a text": ({"phases": ["x"]}, r"data\.phases\.0=x: it should be a mapping with keys"),
    "a length above that of validation": (
        {"phases": [HALF, {**HALF, "max_seq_length": 129}]},
        r"data\.phases\.1\.max_seq_length=129 is more than max_seq_length=128, the length of",
    ),
    "masks of everything": (
        {"phases": [{"ratio": 1, "masked_lm_prob": 1}]},
        r"data\.phases\.0\.masked_lm_prob=1: it should be less than 1",
    ),
    "both ways of writing phases": (
        {"phases": [{"ratio": 1}], "first_phase": FIRST},
        r"data\.phases and first_phase are both set",
    ),
    "weights without a mixture": (
        {"phases": [{"ratio": 1, "weights": {"news": 1}}]},
        r"data\.phases\.0\.weights requires a mixture, but path is a single corpus",
    ),
    "the weight of an unknown source": (
        {"path": MIXTURE, "phases": [{"ratio": 1, "weights": {"new": 1}}]},
        r"data\.phases\.0\.weights\.new: path has no source .* its sources are mails, news",
    ),
    "no source with a weight": (
        {"path": MIXTURE, "phases": [{"ratio": 1, "weights": {"news": 0, "mails": 0}}]},
        r"data\.phases\.0\.weights: each source has the weight 0",
    ),
    "a negative weight": (
        {"path": {"a": {"path": "a", "weight": -1}}},
        r"data\.path\.a\.weight=-1: it should be greater than 0",
    ),
    "a weight that is not a number": (
        {"path": {"a": {"path": "a", "weight": float("nan")}}},
        r"data\.path\.a\.weight=nan: it should be a finite number",
    ),
    "an unknown key of a source": (
        {"path": {"a": {"path": "a", "wieght": 1}}},
        r"unknown key 'data\.path\.a\.wieght'",
    ),
    "a source without a path": (
        {"path": {"a": {"weight": 1}}},
        r"data\.path\.a\.path is missing",
    ),
    "a source that is a path": (
        {"path": {"a": "data/a"}},
        r"data\.path: a=data/a: a source should be a mapping with path and weight",
    ),
    "no sources": ({"path": {}}, r"data\.path: it should have at least one source"),
    "a name that no metric can have": (
        {"path": {"a/b": {"path": "a"}}},
        r"data\.path: the source name 'a/b' should have only letters, digits, - and _",
    ),
    "a mixture that could not be parsed": (
        {"path": "{a: {path: x (1)}}"},
        r"data\.path: \{a.* is not a mixture",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        corpus_data(**changes)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("data.phases=[{ratio: 0.5},{ratio: 0.5, max_seq_length: 999}]", "phases.1"),
        ("data.first_phase={ratio: 0.5, max_seq_length: 999, micro_batch_size: 1}", "first_phase"),
    ],
)
def test_a_phase_is_no_longer_than_the_encoder(override: str, key: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.{key}\.max_seq_length=999 is more than encoder"):
        train_config("name=a", "data.path=a", "max_steps=2", override)


def test_the_home_folder_is_expanded_in_a_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    config = train_config(
        "name=a", "data.path={a: {path: '~/a'}, 2024: {path: '~/b'}}", "max_steps=2"
    )
    path = (config.data.model_extra or {})["path"]
    assert path == {"a": {"path": "/home/me/a"}, "2024": {"path": "/home/me/b"}}


PHASES = "data.phases=[{ratio: 0.5}, {ratio: 0.5}]"
FIRST_PHASE = "data.first_phase={ratio: 0.9, max_seq_length: 64, micro_batch_size: 16}"


@pytest.mark.parametrize(
    ("phases", "key"), [(PHASES, "data.phases"), (FIRST_PHASE, "data.first_phase")]
)
def test_phases_that_repeated_steps_would_not_reach_are_refused(
    phases: str, key: str, corpus: Path
) -> None:
    run = ("name=mine", f"data.path={corpus}", "max_steps=9", "logger=csv")
    check_components(train_config(*run, phases))
    check_components(train_config(*run, "trainer.overfit_batches=3", "data.phases=[{ratio: 1}]"))
    with pytest.raises(ConfigError) as caught:
        check_components(train_config(*run, phases, "trainer.overfit_batches=3"))
    assert str(caught.value) == (
        f"trainer.overfit_batches=3 repeats the first steps, so that only the first phase of {key} "
        f"would have an effect; set {key}=null, or trainer.overfit_batches=0"
    )
