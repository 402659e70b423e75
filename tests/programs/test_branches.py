"""Runs that begin at a checkpoint of another run, by `from_run`."""

import json
from pathlib import Path

import pytest

from clozekit.errors import ConfigError, DataError
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.observed_runs import assert_equal_weights

STEPS = 8
WSD = ("schedule=wsd", "schedule.decay_ratio=0.25", "schedule.warmup_ratio=0.25")


class Runs:
    """Runs of a small encoder with a checkpoint of every second step."""

    def __init__(self, corpus: Path, folder: Path) -> None:
        self.corpus = corpus
        self.folder = folder

    def __call__(self, name: str, *overrides: str) -> Path:
        settings = {
            "max_steps": str(STEPS),
            "global_batch_size": "8",
            "micro_batch_size": "4",
            "validate_every_n_steps": "2",
            "trainer.limit_val_batches": "1",
            "trainer.log_every_n_steps": "1",
            "callbacks.checkpoints.save_top_k": "-1",
            "optimizer.lr": "1e-3",
        }
        given = {override.split("=")[0] for override in overrides}
        config = train_config(
            f"name={name}",
            f"data.path={self.corpus}",
            f"runs_dir={self.folder}",
            *TINY,
            *QUIET,
            *(f"{key}={value}" for key, value in settings.items() if key not in given),
            *([] if any(o.startswith("schedule=") for o in overrides) else WSD),
            *overrides,
        )
        train(config)
        return self.folder / name


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(corpus, tmp_path_factory.mktemp("branches"))


@pytest.fixture(scope="module")
def stable(runs: Runs) -> Path:
    return runs("stable")


@pytest.fixture(scope="module")
def cooled(runs: Runs, stable: Path) -> Path:
    return runs("cooled", f"from_run={stable}", "from_step=4", "max_steps=7")


def rates(run: Path) -> list[float]:
    rows = read_rows(run / "metrics.csv")
    return [float(r["train/learning_rate"]) / 1e-3 for r in rows if r["train/learning_rate"]]


def test_the_same_schedule_and_length_continue_the_run(runs: Runs, stable: Path) -> None:
    same = runs("same", f"from_run={stable}", "from_step=4")
    assert_equal_weights(same, stable)
    assert read_rows(same / "metrics.csv") == read_rows(stable / "metrics.csv")
    assert (same / "results.json").read_text() == (stable / "results.json").read_text()


def test_another_length_decays_from_the_step_on(stable: Path, cooled: Path) -> None:
    assert rates(stable)[:4] == rates(cooled)[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert rates(cooled)[4:] == pytest.approx([1, 1 - (1 / 3) ** 0.5, 1 - (2 / 3) ** 0.5])


def test_the_history_continues_that_of_the_parent(stable: Path, cooled: Path) -> None:
    ours, theirs = (read_rows(run / "metrics.csv") for run in (cooled, stable))
    assert [row for row in ours if int(row["step"]) <= 4] == [
        row for row in theirs if int(row["step"]) <= 4
    ]
    assert [row["step"] for row in ours if row["train/loss"]] == list("1234567")
    record = json.loads((cooled / "run.json").read_text())
    of_stable = json.loads((stable / "run.json").read_text())
    assert record["parent"] == {
        "run": str(stable),
        "id": of_stable["id"],
        "step": 4,
        "decay_from": 4,
    }
    assert record["id"] != of_stable["id"]


@pytest.mark.parametrize("killed_at", [4, 6])
def test_a_cooled_run_that_was_cut_is_continued_exactly(
    killed_at: int, runs: Runs, stable: Path, cooled: Path
) -> None:
    name, command = f"cut{killed_at}", (f"from_run={stable}", "from_step=4", "max_steps=7")
    run = runs(name, *command)
    for path in (run / "checkpoints").glob("*.ckpt"):
        if load_checkpoint(path).step > killed_at:
            path.unlink()
    if killed_at == 4:  # only the copy of the parent's checkpoint, under its name
        (run / "checkpoints" / "step-4.ckpt").unlink(missing_ok=True)
        (run / "checkpoints" / "last.ckpt").write_bytes(
            (stable / "checkpoints" / "step-4.ckpt").read_bytes()
        )
    (run / "results.json").unlink()
    runs(name, *command, "resume=auto")
    assert_equal_weights(run, cooled)
    assert read_rows(run / "metrics.csv") == read_rows(cooled / "metrics.csv")
    assert json.loads((run / "run.json").read_text())["parent"]["step"] == 4


def test_resume_auto_begins_from_the_parent_where_there_is_nothing(
    runs: Runs, stable: Path, cooled: Path
) -> None:
    run = runs("auto", f"from_run={stable}", "from_step=4", "max_steps=7", "resume=auto")
    assert_equal_weights(run, cooled)


@pytest.mark.parametrize("decay", [(), ("schedule.decay_steps=3",)])
def test_a_run_from_a_cooled_run_continues_its_decay(
    runs: Runs, stable: Path, decay: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its schedule was restarted, so it is not the one that both runs are given."""
    name = f"cooling{len(decay)}"
    given = (f"from_run={stable}", "from_step=2", "max_steps=7", *decay)
    begun = runs(name, *given)
    assert f"the decay begins at step {4 if decay else 2}" in capsys.readouterr().out
    runs(f"{name}-plan", *given, "plan=true")
    assert f"the decay begins at step {4 if decay else 2}" in capsys.readouterr().out
    same = runs(f"{name}-same", f"from_run={begun}", "from_step=4", "max_steps=7", *decay)
    assert "the decay begins" not in capsys.readouterr().out
    assert_equal_weights(same, begun)
    assert rates(same) == rates(begun)
    third = runs(f"{name}-third", f"from_run={same}", "from_step=6", "max_steps=7", *decay)
    assert rates(third) == rates(begun)
    # What was killed, and what a sweep finds again, has the same schedule.
    resumed = runs(f"{name}-third", f"from_run={same}", "max_steps=7", "resume=auto", *decay)
    assert rates(resumed) == rates(begun)
    other = runs(f"{name}-other", f"from_run={begun}", "from_step=6", "max_steps=10", *decay)
    assert rates(other)[6:8] == pytest.approx([1, 1 if decay else 1 - 0.25**0.5])


def test_a_length_in_another_unit_is_the_same_length(runs: Runs) -> None:
    by_epochs = runs("epochs", "max_steps=null", "max_epochs=0.1")
    steps = len(rates(by_epochs))
    assert steps > 4
    by_steps = runs("steps", f"from_run={by_epochs}", "from_step=4", f"max_steps={steps}")
    assert_equal_weights(by_steps, by_epochs)
    assert rates(by_steps) == rates(by_epochs)


def test_the_stored_configuration_gives_the_same_run(runs: Runs, stable: Path) -> None:
    first = runs("first", f"from_run={stable}", "from_step=4", "max_steps=7", "schedule=wsd")
    config = load_checkpoint(first / "checkpoints" / "last.ckpt").config
    schedule = [
        f"schedule.{key}={'null' if value is None else value}"
        for key, value in config["schedule"].items()
    ]
    again = runs("again", f"from_run={stable}", "from_step=4", "max_steps=7", *schedule)
    assert_equal_weights(first, again)


def test_a_shorter_decay_and_the_last_step(runs: Runs, stable: Path) -> None:
    run = runs("longer", f"from_run={stable}", "max_steps=12", "schedule.decay_steps=2")
    assert rates(run)[8:] == pytest.approx([1, 1, 1, 1 - 0.5**0.5])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["from_step=5"], r"from_step=5: .* has checkpoints of steps 2, 4, 6, 8; "),
        (["from_step=4", "optimizer.lr=0.01"], r"optimizer\.lr=0\.001, but .* 0\.01; a run that"),
        (["from_step=4", "seed=1"], r"from_run: .* seed=0, but the configuration has 1; a run"),
        (["from_step=4", "trainer.gradient_clip_val=3"], r"trainer\.gradient_clip_val=.*; a run"),
        (["from_step=4", "encoder.hidden_size=64"], r"encoder\.hidden_size=32, but"),
        (["from_step=4", "global_batch_size=16"], r"global_batch_size=8, but"),
        (["from_step=4", "task=masked_lm", "data=masked_lm"], r"_target_=.*Pretraining"),
        (["from_step=4", "max_steps=4"], "ends at step 4, but begins at step 4 of"),
        (["from_step=4", "max_steps=6", "schedule.decay_steps=3"], "more than the 2 steps from"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    overrides: list[str], message: str, runs: Runs, stable: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        runs("refused", f"from_run={stable}", *overrides)
    assert not (runs.folder / "refused").exists()


def test_a_place_without_a_run_is_refused(runs: Runs, stable: Path, tmp_path: Path) -> None:
    for place in (tmp_path, stable / "checkpoints" / "last.ckpt", "s3://bucket/run"):
        with pytest.raises(ConfigError, match=r"from_run=.* should be the folder of a run"):
            runs("refused", f"from_run='{place}'")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(DataError, match="has no complete checkpoint to continue from"):
        runs("refused", f"from_run={tmp_path}")


def test_another_step_of_a_begun_run_is_refused(runs: Runs, stable: Path, cooled: Path) -> None:
    with pytest.raises(ConfigError, match=r"from_step=6, but the run .*cooled began at step 4"):
        runs("cooled", f"from_run={stable}", "from_step=6", "max_steps=7", "resume=auto")


def test_a_run_does_not_begin_from_itself(runs: Runs, stable: Path) -> None:
    with pytest.raises(ConfigError, match="is the run itself"):
        runs("stable", f"from_run={stable}", "resume=auto")


def test_going_back_to_an_earlier_phase_is_told(runs: Runs) -> None:
    phases = "data.phases=[{ratio: 0.25}, {ratio: 0.25}, {ratio: 0.5}]"
    parent = runs("phased", phases)
    with pytest.warns(
        UserWarning,
        match=r"shares of the whole length: .*phased ended step 8 in phase 3 of 8 steps, but step "
        r"9 of 20 is in phase 2 again",
    ):
        runs("longer-phases", phases, f"from_run={parent}", "max_steps=20")
