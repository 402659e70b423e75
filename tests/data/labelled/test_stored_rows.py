"""Rows in Arrow columns are those that were encoded, in every task."""

import dataclasses
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clozekit.data.files.rows import Rows
from clozekit.data.labelled import examples as examples_module
from clozekit.data.labelled import row_file
from clozekit.data.labelled.examples import StoredExamples
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.row_store import RowStore
from clozekit.data.labelled.stored_rows import StoredRows
from clozekit.data.order import Position
from clozekit.data.step import EvaluationBatch, StepBatch
from clozekit.data.stream import BatchShape, EvaluationStream, Phase, TrainingStream
from tests.data.labelled.labelled_rows import TASKS, make_features

NUM_ROWS = 37

tasks = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(autouse=True, params=["memory", "file"])
def small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes several chunks of a few rows, in memory or in a file that two processes encode."""
    for name in ("row_file", "examples", "encoded_columns", "encoding"):
        monkeypatch.setattr(f"clozekit.data.labelled.{name}.CHUNK_ROWS", 8)
    monkeypatch.setattr("clozekit.data.labelled.encoding._ROWS_AT_ONCE", 3)
    monkeypatch.setattr("clozekit.data.labelled.encoding.num_cores", lambda: 2)
    if request.param == "file":
        monkeypatch.setattr("clozekit.data.labelled.row_file.MOST_BYTES_IN_MEMORY", 0)
        monkeypatch.setattr("clozekit.data.labelled.row_file._READ_BEFORE_RELEASE", 5)


def drawn_rows(task: str) -> Rows:
    draw = random.Random(0)
    rows = [TASKS[task][1](draw, 30) for _ in range(NUM_ROWS)]
    return Rows("rows", list(rows[0]), lambda: iter(rows))


def both(task: str) -> tuple[Features[Any], Any, StoredRows[Any]]:
    """The rows encoded in one piece, and stored."""
    features = make_features(task)
    rows = drawn_rows(task)
    examples = [features.example(row, i, True) for i, (_, row) in enumerate(rows)]
    features.learn_labels(examples, {})
    store = RowStore(features)
    stored, num_unlabelled = store.read(rows, check=False)
    assert num_unlabelled == 0
    kept = store.encode(stored)
    assert isinstance(kept, StoredRows)
    return features, features.encode(examples, is_labelled=True), kept


def assert_equal(a: Any, b: Any) -> None:
    """Compares values of any depth, with their types."""
    assert type(a) is type(b) or isinstance(a, list | tuple)
    if isinstance(a, StepBatch | EvaluationBatch) or dataclasses.is_dataclass(a):
        assert vars(a).keys() == vars(b).keys()
        for name in vars(a):
            assert_equal(getattr(a, name), getattr(b, name))
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and torch.equal(a, b)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    else:
        assert a == b


@tasks
def test_stored_rows_are_the_rows_that_were_encoded(task: str) -> None:
    _, plain, stored = both(task)
    assert_equal(list(stored.examples), plain.examples)
    assert_equal(stored.whole(), plain)
    for name in ("owners", "lengths", "num_targets"):
        array = getattr(stored, name)
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, getattr(plain, name))
    assert stored.num_truncated == plain.num_truncated
    assert stored.splits_examples == plain.splits_examples


@tasks
def test_batches_of_stored_rows_are_the_same(task: str) -> None:
    """Also with a row twice, as at the end of an epoch, and after a copy to another process."""
    _, plain, stored = both(task)
    sources = [LabelledSource(rows, is_training=True) for rows in (plain, stored)]
    streams = [
        iter(TrainingStream([Phase(source, BatchShape(7, 3))], 5, Position())) for source in sources
    ]
    for _ in range(20):
        assert_equal(*map(next, streams))
    copied = pickle.loads(pickle.dumps(stored))
    sources = [LabelledSource(rows, is_training=False) for rows in (plain, copied)]
    evaluations = [list(EvaluationStream(source, 6, 0, 1)) for source in sources]
    assert_equal(*evaluations)


@tasks
def test_a_split_of_stored_rows_is_encoded_like_rows_of_its_own(task: str) -> None:
    features, plain, stored = both(task)
    examples = stored.examples
    assert isinstance(examples, StoredExamples)
    is_chosen = np.arange(NUM_ROWS) % 3 == 1
    store = RowStore(features)
    every, _ = store.read(drawn_rows(task), check=True)
    split = store.encode(examples_module.subset(every, is_chosen))
    assert isinstance(split, StoredRows)
    own = features.encode([plain.examples[i] for i in np.flatnonzero(is_chosen)], is_labelled=True)
    assert_equal(split.whole(), own)
    assert split.num_truncated == own.num_truncated
    sources = [LabelledSource(rows, is_training=False) for rows in (own, split)]
    assert_equal(*[list(EvaluationStream(source, 6, 0, 1)) for source in sources])


@tasks
def test_strata_and_groups_are_those_of_the_examples(task: str) -> None:
    features, plain, stored = both(task)
    examples = stored.examples
    strata, codes = features.strata(plain.examples), examples_module.strata_of(examples, features)
    assert len(set(zip(strata, codes.tolist(), strict=True))) == len(set(strata))
    assert len(set(codes.tolist())) == len(set(strata))
    groups = examples_module.groups_of(examples, features)
    expected = examples_module.groups_of(plain.examples, features)
    assert (groups is None) == (expected is None)
    if groups is not None and expected is not None:
        np.testing.assert_array_equal(groups, expected)


def test_a_temporary_file_has_no_name(tmp_path: Path) -> None:
    batch = examples_module.pa.record_batch({"a": [1, 2]})
    file = row_file.spooled([batch], tmp_path)
    assert file.is_large == (row_file.MOST_BYTES_IN_MEMORY == 0)
    assert list(tmp_path.iterdir()) == []
    assert file.chunk(0).equals(batch)
    assert pickle.loads(pickle.dumps(file)).chunk(0).equals(batch)
