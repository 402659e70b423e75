"""What a checkpoint may contain, so that it is read again without executing anything."""

import datetime
import functools
import io
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clozekit.errors import ConfigError
from clozekit.runs.plain_state import plain_checkpoint, plain_state

NUMBERS_OF_NUMPY = st.one_of(
    st.floats(allow_nan=False).map(np.float64),
    st.floats(width=32, allow_nan=False).map(np.float32),
    st.integers(-100, 100).map(np.int64),
    st.booleans().map(np.bool_),
)
KEYS = st.one_of(st.text(max_size=5), st.integers(), st.tuples(st.integers(), st.text(max_size=2)))
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
        st.binary(max_size=5),
        NUMBERS_OF_NUMPY,
        st.sets(st.integers(), max_size=3),
        st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=3).map(Counter),
        st.just(torch.bfloat16),
        st.just(torch.device("cpu")),
        st.just(torch.Size([2, 3])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict),
    ),
    max_leaves=8,
)


@given(value=VALUES)
def test_what_is_saved_is_read_again_and_equal(value: Any) -> None:
    file = io.BytesIO()
    torch.save(plain_state(value, "state"), file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == value


def test_weights_keep_their_names_and_their_metadata() -> None:
    weights = torch.nn.Linear(2, 2).state_dict()
    assert plain_state(weights, "state_dict") is weights
    assert hasattr(weights, "_metadata")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"x": {"seen": [1, Path("a")]}}, r"state\['x'\]\['seen'\]\[1\], a pathlib"),
        ({"x": datetime.date(2020, 1, 1)}, r"state\['x'\], a datetime.date"),
        ({"x": np.zeros(2)}, r"state\['x'\], a numpy.ndarray"),
        ({Path("a"): 1}, "a key of state, a pathlib"),
        (np.datetime64("2020-01-01"), "state, a datetime.date"),
    ],
)
def test_another_object_is_refused_by_its_place(value: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=f"^a checkpoint cannot have {told}"):
        plain_state(value, "state")


def test_hyperparameters_that_are_objects_are_left_out() -> None:
    checkpoint = {
        "hyper_parameters": {"extra": np.float64(1.5), "optimizer": functools.partial(dict)},
        "hparams_name": "kwargs",
        "hparams_type": dict,
    }
    assert plain_checkpoint(checkpoint) == {
        "hyper_parameters": {"extra": 1.5},
        "hparams_name": "kwargs",
    }
