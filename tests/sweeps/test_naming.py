"""A job's name is its folder, and the value of an override."""

import string

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from clozekit.sweeps.naming import ALONE, LONGEST, job_name

SAFE = set(string.ascii_letters + string.digits + "._+-")

keys = st.from_regex(r"[+~]?[a-zA-Z_][a-zA-Z0-9_]{0,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True)
plain_values = st.from_regex(r"[a-z0-9.+_-]{1,6}", fullmatch=True)
values = st.one_of(plain_values, st.text(max_size=150))
overrides = st.frozensets(st.builds("{}={}".format, keys, values), max_size=4)


def test_a_name_tells_the_overrides() -> None:
    assert job_name(["seed=0", "optimizer.lr=0.001"]) == "optimizer.lr-0.001__seed-0"
    assert job_name(["schedule=warmup_linear", "max_steps=9"]) == (
        "max_steps-9__schedule-warmup_linear"
    )


def test_the_order_does_not_matter() -> None:
    assert job_name(["b=1", "a=2"]) == job_name(["a=2", "b=1"])


def test_a_job_without_overrides_of_its_own_has_a_name() -> None:
    assert job_name([]) == ALONE


@given(overrides, overrides)
@example(frozenset({"a=b_c-d"}), frozenset({"a=b", "c=d"}))
@example(frozenset({"a=b__c-d"}), frozenset({"a=b", "c=d"}))
@example(frozenset({"a=b_", "c=d"}), frozenset({"a=b", "_c=d"}))
@example(frozenset({"a=x/y"}), frozenset({"a=x-y"}))
@example(frozenset({"a=True"}), frozenset({"a=true"}))
@example(frozenset({"a=" + "1" * 200}), frozenset({"a=" + "1" * 201}))
@example(frozenset(), frozenset({f"{ALONE}="}))
@example(frozenset({"optimizer.lr=1"}), frozenset({"schedule.lr=1"}))
def test_different_overrides_have_different_names(
    one: frozenset[str], other: frozenset[str]
) -> None:
    # Some file systems take a capital for the small letter.
    assert (job_name(one).lower() == job_name(other).lower()) == (one == other)


@given(overrides)
def test_a_name_is_one_part_of_a_path(chosen: frozenset[str]) -> None:
    name = job_name(chosen)
    assert 0 < len(name) <= LONGEST
    assert set(name) <= SAFE
    assert name[0] not in ".-"


@given(overrides)
@example(frozenset({"a=1e+5", "b=-3"}))
@example(frozenset({"x=.5", "y=null"}))
def test_a_name_is_the_value_of_an_override_as_it_stands(chosen: frozenset[str]) -> None:
    name = job_name(chosen)
    for value in (name, f"sweep/{name}"):
        (parsed,) = OverridesParser.create().parse_overrides([f"name={value}"])
        assert parsed.value() == value


@pytest.mark.parametrize("longest", ["a" * 300, "é" * 300])
def test_a_long_name_is_cut(longest: str) -> None:
    assert len(job_name([f"key={longest}"])) <= LONGEST
