"""Summaries of runs: how they are found, grouped by setting, and ordered."""

import json
import math
import shutil
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.errors import ConfigError
from clozekit.sweeps.job import Status
from clozekit.sweeps.read_runs import FoundRun, Outcome, read_runs
from clozekit.sweeps.summary import summarize, swept_keys
from clozekit.sweeps.table import report_text
from tests.sweeps.made_runs import LOSS, make_record, make_run


def test_a_plain_folder_of_runs_is_compared_by_what_their_commands_say(tmp_path: Path) -> None:
    make_run(tmp_path / "first", "micro_batch_size=8", results={LOSS: 2.0})
    how = ("trainer=ddp_cpu", "logger.wandb=null")
    make_run(tmp_path / "second", "schedule=warmup_cosine", "seed=1", *how, results={LOSS: 1.0})
    shutil.copytree(tmp_path / "second", tmp_path / "older" / "third")
    (tmp_path / "notes").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    runs = read_runs(tmp_path)
    assert [run.name for run in runs] == ["first", "older/third", "second"]
    assert swept_keys(runs) == ["schedule", "seed"]
    (best, other) = summarize(runs).settings
    assert (best.values, other.values) == (("warmup_cosine",), (None,))
    assert [run.name for run in best.runs] == ["older/third", "second"]


BUDGETS = {"budget": None, "max_steps": 10, "seed": 0}


def test_what_was_swept_is_the_setting_where_the_run_replaced_it(tmp_path: Path) -> None:
    names = ("budget-8s__seed-0", "budget-8s__seed-1", "budget-4s__seed-0", "budget-4s__seed-1")
    make_record(tmp_path, dict.fromkeys(names, Status.FINISHED))
    for number, name in enumerate(names, 10):
        config = BUDGETS | {"seed": int(name[-1])}
        make_run(tmp_path / name, results={LOSS: float(number)}, config=config)
    settings = summarize(read_runs(tmp_path)).settings
    assert [(setting.values, setting.mean(LOSS)) for setting in settings] == [
        (("8s",), 10.5),
        (("4s",), 12.5),
    ]


def test_what_was_given_is_the_setting_where_the_run_replaced_it(tmp_path: Path) -> None:
    for budget in ("8s", "4s"):
        make_run(tmp_path / budget, f"budget={budget}", results={LOSS: 1.0}, config=BUDGETS)
    settings = summarize(read_runs(tmp_path)).settings
    assert sorted(setting.values for setting in settings) == [("4s",), ("8s",)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("true", True),
        ("null", None),
        ("'a b'", "a b"),
        ("[a,'b c']", '["a", "b c"]'),
    ],
)
def test_a_swept_value_looks_as_in_a_configuration(text: str, value: object) -> None:
    run = FoundRun("a", Path("a"), Outcome.FINISHED, own={"key": text}, config={"key": 1})
    assert run.value("key") == value


def test_where_commands_say_nothing_configurations_do(tmp_path: Path) -> None:
    for seed in (0, 1):
        config = {"seed": seed, "name": f"a{seed}", "data": {"seed": seed}, "encoder": {"size": 4}}
        make_run(tmp_path / f"a{seed}", results={LOSS: 1.0}, config=config)
    assert swept_keys(read_runs(tmp_path)) == ["seed"], "what repeats it is no key of its own"


def test_runs_say_whether_small_or_large_is_best(tmp_path: Path) -> None:
    for seed, loss in enumerate((1.0, 2.0)):
        results = {LOSS: loss}
        make_run(tmp_path / f"{seed}", f"seed={seed}", results=results, monitor=(LOSS, "max"))
    best = summarize(read_runs(tmp_path)).best()
    assert best is not None and best.metrics[LOSS] == 2.0


def test_a_metric_that_is_no_number_comes_last(tmp_path: Path) -> None:
    for lr, loss in (("0.1", math.nan), ("0.01", 2.0)):
        make_run(tmp_path / lr, f"optimizer.lr={lr}", results={LOSS: loss})
    assert [setting.values for setting in summarize(read_runs(tmp_path)).settings] == [
        (0.01,),
        (0.1,),
    ]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([0.1, 1.0, 10.0]), st.integers(0, 5)),
        st.none() | st.floats(-1e6, 1e6),
        min_size=1,
    )
)
def test_a_setting_is_the_runs_that_differ_in_their_seed_alone(
    runs: dict[tuple[float, int], float | None],
) -> None:
    found = [
        FoundRun(
            name=f"{lr} {seed}",
            folder=Path(f"{lr} {seed}"),
            outcome=Outcome.UNFINISHED if loss is None else Outcome.FINISHED,
            own={"optimizer.lr": str(lr), "seed": str(seed)},
            metrics={} if loss is None else {LOSS: loss},
            monitor=(LOSS, "min"),
        )
        for (lr, seed), loss in runs.items()
    ]
    summary = summarize(found)
    assert sorted(run.name for run in summary.runs) == sorted(run.name for run in found)
    means = []
    for setting in summary.settings:
        (lr,) = setting.values
        losses = [loss for (of, _), loss in runs.items() if of == lr and loss is not None]
        mean, deviation = setting.mean(LOSS), setting.deviation(LOSS)
        if losses:
            assert mean == pytest.approx(statistics.mean(losses))
            means.append(mean)
        if len(losses) > 1:
            assert deviation == pytest.approx(statistics.stdev(losses))
        else:
            assert deviation is None
    assert means == sorted(means), "best first"
    assert all(setting.mean(LOSS) is None for setting in summary.settings[len(means) :])


def test_a_run_in_the_folder_of_a_run_is_one_too(tmp_path: Path) -> None:
    make_run(tmp_path / "first", results={LOSS: 1.0})
    make_run(tmp_path / "first" / "more" / "cooled", results={LOSS: 2.0})
    (tmp_path / "first" / "wandb" / "files").mkdir(parents=True)
    (tmp_path / "first" / "wandb" / "files" / "config.yaml").write_text("a: 1")
    runs = read_runs(tmp_path)
    assert [run.name for run in runs] == ["first", "first/more/cooled"]


def test_the_metric_of_a_study_is_that_of_its_record(tmp_path: Path) -> None:
    make_record(tmp_path, dict.fromkeys(("seed-0", "seed-1"), Status.FINISHED))
    for seed in (0, 1):
        results = {LOSS: 1.0, "validation/f1": float(seed)}
        make_run(tmp_path / f"seed-{seed}", f"seed={seed}", results=results)
    file = tmp_path / "sweep.json"
    record = json.loads(file.read_text()) | {"metric": "validation/f1", "direction": "maximize"}
    file.write_text(json.dumps(record))
    summary = summarize(read_runs(tmp_path))
    assert summary.criterion is not None
    assert (summary.criterion.metric, summary.criterion.mode) == ("validation/f1", "max")


def test_a_seed_that_is_run_twice_counts_once(tmp_path: Path) -> None:
    for name, loss in (("lr-0.1", 1.0), ("lr-0.1__seed-0", 1.0), ("lr-0.1__seed-1", 4.0)):
        own = [part.replace("lr-", "optimizer.lr=").replace("-", "=") for part in name.split("__")]
        make_run(tmp_path / name, *own, results={LOSS: loss})
    (setting,) = summarize(read_runs(tmp_path)).settings
    assert setting.of(LOSS) == [1.0, 4.0]
    assert setting.repeated() == ["lr-0.1__seed-0"]
    text = report_text(summarize(read_runs(tmp_path)), tmp_path)
    assert "lr-0.1__seed-0 has the seed of another run of the same setting" in text


def test_runs_whose_file_changed_between_them_are_not_one_setting(tmp_path: Path) -> None:
    for seed, lr in enumerate((0.1, 0.001)):
        config = {"seed": seed, "name": f"a{seed}", "data": {"seed": seed}, "optimizer": {"lr": lr}}
        own = ("experiment=mine", f"seed={seed}")
        make_run(tmp_path / f"a{seed}", *own, results={LOSS: 1.0 + seed}, config=config)
    summary = summarize(read_runs(tmp_path))
    assert summary.keys == ("optimizer.lr",)
    assert [setting.values for setting in summary.settings] == [(0.1,), (0.001,)]


def test_what_a_file_takes_from_the_seed_is_no_setting_of_its_own(tmp_path: Path) -> None:
    for seed in (1, 12):
        folds = {"train": f"fold-{seed}.csv", "validation": f"a{seed}/{seed}.csv", "seed": seed}
        config = {"seed": seed, "name": f"a{seed}", "data": folds, "optimizer": {"lr": 0.1}}
        make_run(tmp_path / f"a{seed}", f"seed={seed}", results={LOSS: 1.0}, config=config)
    (setting,) = summarize(read_runs(tmp_path)).settings
    assert len(setting.of(LOSS)) == 2
    # Numbers are not text: a rate of 0.1 is none of the seed's.
    config = {"seed": 2, "name": "a2", "data": {"seed": 2}, "optimizer": {"lr": 0.2}}
    config["data"] |= {"train": "fold-2.csv", "validation": "a2/2.csv"}
    make_run(tmp_path / "a2", "seed=2", results={LOSS: 1.0}, config=config)
    assert summarize(read_runs(tmp_path)).keys == ("optimizer.lr",)


@pytest.mark.parametrize(
    ("metric", "mode"),
    [("validation/mse", "min"), ("validation/my_mae", "min"), ("validation/pearson", "max")],
)
def test_the_name_of_a_metric_says_which_value_is_best(
    metric: str, mode: str, tmp_path: Path
) -> None:
    results = {metric: 1.0, "validation/random_pairs": 0.5}
    make_run(tmp_path / "a", results=results, monitor=("validation/spearman", "max"))
    criterion = summarize(read_runs(tmp_path), metric).criterion
    assert criterion is not None and criterion.mode == mode
    with pytest.raises(ConfigError, match=r"random_pairs has no best value; set mode=min or mode"):
        summarize(read_runs(tmp_path), "validation/random_pairs")
