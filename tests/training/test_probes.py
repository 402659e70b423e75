"""Probes: their accuracy, what they log, and that training does not notice them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from clozekit.config.checks.components import check_components
from clozekit.errors import DataError, UserError
from clozekit.runs.curves import PANELS
from clozekit.training.callbacks import make_callbacks
from clozekit.training.probes import REGULARIZATION, accuracy_of_ridge, untouched
from tests.harness import running
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.observed_runs import Run, weights
from tests.programs.texts import write_csv, write_labelled

NAMES = ("probe/mean_accuracy", "probe/cls_accuracy")


def overrides(folder: Path, every: int = 2) -> list[str]:
    return [
        "callbacks=[checkpoints,preemption,progress,unigram_baseline,probes]",
        f"callbacks.probes.train={folder / 'train.csv'}",
        f"callbacks.probes.validation={folder / 'validation.csv'}",
        f"callbacks.probes.every_n_steps={every}",
    ]


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("probes")
    write_labelled(folder / "train.csv", 60, seed=0)
    write_labelled(folder / "validation.csv", 30, seed=1)
    return Run(corpus, folder)


@pytest.fixture(scope="module")
def plain(run: Run) -> Path:
    return run("plain")


@pytest.fixture(scope="module")
def probed(run: Run) -> Path:
    return run("probed", *overrides(run.folder))


def data(classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(classes, size=200)
    centers = np.random.default_rng(7).normal(size=(classes, 12))
    features = centers[labels] + 1.5 * draw.normal(size=(200, 12))
    return torch.from_numpy(features), torch.from_numpy(labels)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_accuracy_is_that_of_ridge_regression(classes: int) -> None:
    train, validation = data(classes, 0), data(classes, 1)
    scaler = StandardScaler().fit(train[0].numpy())
    oracle = RidgeClassifier(alpha=REGULARIZATION * 200)
    oracle.fit(scaler.transform(train[0].numpy()), train[1].numpy())
    expected = oracle.score(scaler.transform(validation[0].numpy()), validation[1].numpy())
    assert 0.5 < expected < 1.0
    assert accuracy_of_ridge(*train, *validation, classes) == pytest.approx(expected)


def test_features_that_say_nothing_give_the_most_frequent_class() -> None:
    labels = torch.tensor([1, 1, 0])
    constant = torch.ones(3, 4, dtype=torch.float64)
    assert accuracy_of_ridge(constant, labels, constant, labels, 2) == pytest.approx(2 / 3)
    assert accuracy_of_ridge(constant, labels, constant, labels + 2, 2) == 0.0
    assert np.isnan(accuracy_of_ridge(constant * torch.inf, labels, constant, labels, 2))


def test_modes_and_random_states_stay() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout())
    module[0].eval()
    state = torch.random.get_rng_state()
    with untouched(module):
        assert not module.training and not torch.is_grad_enabled()
        torch.rand(3)
    assert [each.training for each in module.modules()] == [True, False, True]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_run_with_probes_equals_one_without(plain: Path, probed: Path) -> None:
    expected, found = weights(plain), weights(probed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    rows = [
        {name: value for name, value in row.items() if name not in NAMES}
        for row in read_rows(probed / "metrics.csv")
        if not row[NAMES[0]]
    ]
    assert rows == read_rows(plain / "metrics.csv")


def test_every_probe_is_in_the_history_with_its_cost(run: Run, probed: Path) -> None:
    with (probed / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row[NAMES[0]]]
    assert [int(row["step"]) for row in rows] == [0, 2, 4, 6]
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in NAMES)
        assert 0 < float(row["train/probe_share"]) < 1
    seconds = [float(row["train/probe_seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    shown = {f"probe/{name}" for name in PANELS["scores"]}
    assert set(NAMES) <= shown


def test_a_resumed_run_has_the_same_probes(run: Run, probed: Path) -> None:
    failing = "+callbacks.failing"
    with pytest.raises(ValueError, match="a mistake in a callback"):
        run(
            "resumed",
            *overrides(run.folder),
            "callbacks.checkpoints.every_n_steps=3",
            f"{failing}._target_=tests.programs.failing.Failing",
            f"{failing}.hook=on_train_batch_start",
            f"{failing}.steps=5",
        )
    assert any(row["step"] == "4" for row in read_rows(run.folder / "resumed" / "metrics.csv"))
    run("resumed", *overrides(run.folder), "resume=auto")
    assert read_rows(run.folder / "resumed" / "metrics.csv") == read_rows(probed / "metrics.csv")
    assert all(
        torch.equal(weights(run.folder / "resumed")[name], tensor)
        for name, tensor in weights(probed).items()
    )


def test_two_processes_have_the_probes_of_the_first(corpus: Path, run: Run) -> None:
    given = (
        *(f"data.path={corpus}", f"runs_dir={run.folder}", *TINY, *QUIET, "trainer=ddp_cpu"),
        *("max_steps=4", "global_batch_size=8", "micro_batch_size=4"),
    )
    for name, more in (
        ("two", overrides(run.folder)),
        ("two_plain", []),
    ):
        codes, _ = running.run(
            train_config(f"name={name}", *given, *more), 2, run.folder / f"{name}.txt"
        )
        assert codes == [0, 0], (run.folder / f"{name}.txt").read_text()
    assert all(
        torch.equal(weights(run.folder / "two")[name], tensor)
        for name, tensor in weights(run.folder / "two_plain").items()
    )
    rows = read_rows(run.folder / "two" / "metrics.csv")
    assert [int(row["step"]) for row in rows if row[NAMES[0]]] == [0, 2, 4]


def test_a_text_that_can_be_learnt_is(run: Run, probed: Path) -> None:
    """The words of a topic are its own, so that even random embeddings tell them apart."""
    rows = [row for row in read_rows(probed / "metrics.csv") if row[NAMES[0]]]
    assert float(rows[0]["probe/mean_accuracy"]) > 0.5


def test_rows_without_labels_and_unknown_labels_are_told(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("text", "label")
    train = [("a b", "x"), ("c", "y"), ("d", "")]
    validation = [("a", "x"), ("b", "z"), ("c", "z"), ("d", ""), ("e", "")]
    files = {
        "train": write_csv(tmp_path / "train.csv", columns, train),
        "validation": write_csv(tmp_path / "validation.csv", columns, validation),
    }
    run("told", *overrides(tmp_path, every=6))
    told = [line for line in capsys.readouterr().out.splitlines() if "callbacks.probes" in line]
    assert told == [
        f"callbacks.probes.train={files['train']}: 1 rows without labels are left out",
        f"callbacks.probes.validation={files['validation']}: 2 rows without labels are left out",
        f"callbacks.probes.validation={files['validation']}: 2 gold labels that the model does "
        "not have count as errors: z (2)",
    ]


MISTAKES: dict[str, tuple[str, str]] = {
    "a missing file": ("callbacks.probes.train=none.csv", "callbacks.probes.train=none.csv does n"),
    "the same file": (
        "callbacks.probes.train={folder}/validation.csv",
        "callbacks.probes.train and callbacks.probes.validation are the same file",
    ),
    "an interval": ("callbacks.probes.every_n_steps=0", "callbacks.probes.every_n_steps=0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_before_torch_is_imported(mistake: str, run: Run) -> None:
    override, message = MISTAKES[mistake]
    given = override.format(folder=run.folder)
    config = train_config(
        "name=a", f"data.path={run.corpus}", "max_steps=1", *overrides(run.folder), given
    )
    with pytest.raises(UserError, match=message):
        check_components(config)


@pytest.mark.parametrize("key", ["text_column", "text_pair_column", "label_column"])
def test_a_column_that_is_missing_is_told_before_the_run_begins(key: str, run: Run) -> None:
    given = (*overrides(run.folder), f"callbacks.probes.{key}=none")
    config = train_config("name=a", f"data.path={run.corpus}", "max_steps=1", *given)
    with pytest.raises(DataError, match=rf"probes\.{key}=none: .*/train\.csv has no such column; "):
        make_callbacks(config)


FILES: dict[str, tuple[list[tuple[str, str]], str]] = {
    "one": ([("a b", "x"), ("c", "x")], "has 1 different labels but needs two or more"),
    "others": ([("a b", "x"), ("c", "y")], "the model has none of its labels"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_cannot_be_used_leaves_no_run(kind: str, run: Run, tmp_path: Path) -> None:
    rows, message = FILES[kind]
    file: Any = write_csv(tmp_path / "rows.csv", ("text", "label"), rows)
    key = "train" if kind == "one" else "validation"
    with pytest.raises(DataError, match=message):
        run(kind, *overrides(run.folder), f"callbacks.probes.{key}={file}")
    assert not (run.folder / kind).exists()
