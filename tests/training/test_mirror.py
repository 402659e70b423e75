"""The copy of a run in a store: whole at any time, and never that of another run."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.errors import ConfigError, DataError
from clozekit.exit_codes import PREEMPTED
from clozekit.files import copy_atomically
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.mirror import read_record, restore
from clozekit.tasks.base import TaskModule
from clozekit.train import train
from tests.harness.shelf import URL, Shelf, shelf
from tests.programs.commands import QUIET, TINY, train_config

COPY = f"{URL}/runs/first"


class Stopper(Callback):
    """Asks a run to end after a step, as SIGTERM does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, TaskModule)
        pl_module.stop_requested = batch.index + 1 == self.step


Run = Callable[..., Path]


@pytest.fixture(scope="module")
def run(corpus: Path) -> Run:
    def run(folder: Path, *overrides: str, name: str = "first") -> Path:
        config = train_config(
            f"name={name}",
            f"runs_dir={folder}",
            f"data.path={corpus}",
            *TINY,
            *QUIET,
            "global_batch_size=8",
            "micro_batch_size=8",
            "max_steps=6",
            "validate_every_n_steps=3",
            "callbacks.checkpoints.every_n_steps=2",
            "trainer.limit_val_batches=1",
            f"callbacks.checkpoints.mirror={COPY}",
            *overrides,
        )
        train(config)
        return folder / name

    return run


@pytest.fixture(scope="module")
def ended(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a run that has ended, and that of the store."""
    folder = tmp_path_factory.mktemp("mirrored")
    with shelf(folder / "shelf"):
        return run(folder / "runs"), folder / "shelf"


@pytest.fixture
def store(ended: tuple[Path, Path], tmp_path: Path) -> Iterator[Path]:
    """A copy of the store with the copy of the run that has ended."""
    with shelf(Path(shutil.copytree(ended[1], tmp_path / "shelf"))) as bucket:
        yield bucket / "runs" / "first"


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".run.lock", "curves.png")
    }


def test_a_restored_run_has_every_file(
    ended: tuple[Path, Path], store: Path, tmp_path: Path
) -> None:
    restore(COPY, tmp_path / "runs" / "again")
    assert files_of(tmp_path / "runs" / "again") == files_of(ended[0])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["again"]
    assert {"results.json", "checkpoints/best.ckpt"} <= files_of(ended[0]).keys()


def test_the_store_has_what_the_record_names_and_nothing_else(store: Path) -> None:
    record = read_record(COPY)
    assert record is not None and record.step == 6
    stored = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    assert stored == {"mirror.json", *(file.stored for file in record.files)}
    # `best.ckpt` is a link to the checkpoint of its step.
    checkpoints = [file for file in record.files if file.name.endswith(".ckpt")]
    assert len({file.stored for file in checkpoints}) < len(checkpoints)


def test_files_come_before_the_record_that_names_them(ended: tuple[Path, Path]) -> None:
    with shelf(ended[1]):
        puts = [name.removeprefix("bucket/runs/first/") for name in Shelf.requests("put")]
        removed = [name.removeprefix("bucket/runs/first/") for name in Shelf.requests("rm")]
    assert puts[-1] == "mirror.json"
    assert removed and all(puts.index(name) < len(puts) - 1 for name in removed)


def test_a_run_that_ended_is_restored_and_has_nothing_to_do(
    run: Run, ended: tuple[Path, Path], store: Path, tmp_path: Path
) -> None:
    again = run(tmp_path / "runs", "resume=auto")
    for name in ("metrics.csv", "results.json"):
        assert (again / name).read_bytes() == (ended[0] / name).read_bytes()


def test_a_preempted_run_waits_for_its_copy(run: Run, tmp_path: Path) -> None:
    stopper = f"+callbacks.stopper._target_={Stopper.__module__}.{Stopper.__name__}"
    with shelf(tmp_path / "shelf", seconds=0.1):
        with pytest.raises(SystemExit) as caught:
            run(tmp_path / "runs", stopper, "+callbacks.stopper.step=5")
        assert caught.value.code == PREEMPTED
        record = read_record(COPY)
        assert record is not None and record.step == 5
        shutil.rmtree(tmp_path / "runs")
        restore(COPY, tmp_path / "runs" / "first")
    preempted = tmp_path / "runs" / "first" / "checkpoints" / "preempted.ckpt"
    assert load_checkpoint(preempted).step == 5


def test_a_store_that_cannot_be_written_is_noticed_before_the_first_step(
    run: Run, tmp_path: Path
) -> None:
    with shelf(tmp_path / "shelf", denied="runs"), pytest.raises(DataError) as caught:
        run(tmp_path / "runs")
    assert f"{COPY}/config-" in str(caught.value) and "access is denied" in str(caught.value)
    assert not (tmp_path / "runs" / "first").exists()


def test_checkpoints_that_cannot_be_copied_do_not_end_the_training(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with shelf(tmp_path / "shelf", denied="last-"), pytest.raises(DataError) as caught:
        run(tmp_path / "runs")
    message = str(caught.value)
    assert "callbacks.checkpoints.mirror: step 6 was not copied: " in message
    assert "run the command again with resume=auto to copy it" in message
    assert "warning: callbacks.checkpoints.mirror: step " in capsys.readouterr().err
    folder = tmp_path / "runs" / "first"
    assert (folder / "results.json").is_file()
    assert not (folder / ".mirror").exists()
    with shelf(tmp_path / "shelf") as bucket:
        run(tmp_path / "runs", "resume=auto")
        record = read_record(COPY)
        assert record is not None and record.step == 6
        stored = {path.name for path in (bucket / "runs/first/checkpoints").iterdir()}
        assert stored == {Path(f.stored).name for f in record.files if "checkpoints" in f.name}


def test_a_new_run_does_not_replace_the_copy_of_another(
    run: Run, store: Path, tmp_path: Path
) -> None:
    before = files_of(store)
    with pytest.raises(ConfigError, match="has step 6 of the run with the id"):
        run(tmp_path / "runs", name="other")
    assert not (tmp_path / "runs" / "other").exists()
    assert files_of(store) == before


def test_a_resumed_run_does_not_replace_the_copy_of_another(
    run: Run, ended: tuple[Path, Path], store: Path, tmp_path: Path
) -> None:
    record = json.loads((store / "mirror.json").read_text())
    (store / "mirror.json").write_text(json.dumps(record | {"run_id": "another"}))
    folder = Path(shutil.copytree(ended[0].parent, tmp_path / "runs"))
    with pytest.raises(ConfigError, match="with the id another, but this run has the id"):
        run(folder, "resume=auto")


def test_a_run_goes_back_to_an_older_checkpoint_of_its_own(
    run: Run, ended: tuple[Path, Path], store: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ended[0].parent, tmp_path / "runs"))
    older = next(path for path in (folder / "first" / "checkpoints").glob("step-*.ckpt"))
    run(folder, f"resume={older}")
    record = read_record(COPY)
    assert record is not None and record.step == 6


def test_a_run_from_the_checkpoint_of_another_does_not_replace_its_copy(
    run: Run, ended: tuple[Path, Path], store: Path, tmp_path: Path
) -> None:
    before = files_of(store)
    with pytest.raises(ConfigError, match="of the run with the id"):
        run(tmp_path / "runs", f"resume={ended[0]}", name="other")
    assert files_of(store) == before
    assert not (tmp_path / "runs" / "other").exists()


def test_a_disk_that_is_full_does_not_end_the_training(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []

    def copy(source: Path, target: Path) -> None:
        calls.append(1)
        if 4 < len(calls) < 7:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        copy_atomically(source, target)

    monkeypatch.setattr("clozekit.training.mirror.copy_atomically", copy)
    with shelf(tmp_path / "shelf"):
        run(tmp_path / "runs")
        record = read_record(COPY)
    assert record is not None and record.step == 6
    assert "was not copied: " in (printed := capsys.readouterr().err)
    assert "No space left on device" in printed


def test_a_folder_that_is_behind_its_copy_is_not_continued(
    run: Run, ended: tuple[Path, Path], store: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(ended[0].parent, tmp_path / "runs"))
    for name in ("last.ckpt", "step-6.ckpt", "best.ckpt"):
        (folder / "first" / "checkpoints" / name).unlink(missing_ok=True)
    before = files_of(folder)
    with pytest.raises(ConfigError, match=r"mirror=.* has step 6; move the folder away"):
        run(folder, "resume=auto")
    assert files_of(folder) == before


def test_a_damaged_copy_is_refused_and_leaves_no_folder(store: Path, tmp_path: Path) -> None:
    file = next((store / "checkpoints").glob("last-*.ckpt"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"last-.*\.ckpt is damaged: its SHA-256"):
        restore(COPY, tmp_path / "runs" / "first")
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../../escaped.ckpt"),
        ("name", "/tmp/escaped.ckpt"),
        ("name", "checkpoints/../config.yaml"),
        ("name", "train.py"),
        ("name", "checkpoints/.hidden.ckpt"),
        ("stored", "../other/last-0123456789abcdef.ckpt"),
        ("stored", "s3://bucket/last-0123456789abcdef.ckpt"),
        ("sha256", "0"),
    ],
)
def test_a_hostile_record_is_refused(key: str, value: str, store: Path, tmp_path: Path) -> None:
    record = json.loads((store / "mirror.json").read_text())
    record["files"][0][key] = value
    (store / "mirror.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=rf"mirror\.json is damaged: files\.0\.{key}"):
        restore(COPY, tmp_path / "runs" / "first")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"step": 1}', "\xff"])
def test_a_record_that_is_none_is_refused(content: str, store: Path, tmp_path: Path) -> None:
    (store / "mirror.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=r"mirror\.json is damaged"):
        restore(COPY, tmp_path / "runs" / "first")


def test_a_record_of_a_newer_format_is_refused(store: Path, tmp_path: Path) -> None:
    record = json.loads((store / "mirror.json").read_text())
    (store / "mirror.json").write_text(json.dumps(record | {"format_version": 2}))
    with pytest.raises(DataError, match="has format version 2, but this version of clozekit reads"):
        restore(COPY, tmp_path / "runs" / "first")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("callbacks.checkpoints.mirror=runs/copy", "runs/copy is a local path"),
        ("callbacks.checkpoints.mirror=https://server/copy", "which cannot be written"),
        (f"resume={COPY}", "set resume=auto callbacks.checkpoints.mirror=URL"),
        ("callbacks.checkpoints.dirpath=elsewhere", "it should be "),
    ],
)
def test_other_values_are_refused(override: str, message: str, run: Run, tmp_path: Path) -> None:
    with shelf(tmp_path / "shelf"), pytest.raises((ConfigError, DataError)) as caught:
        run(tmp_path / "runs", override)
    assert message in str(caught.value)
    assert not (tmp_path / "runs" / "first").exists()
