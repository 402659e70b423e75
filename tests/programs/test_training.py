"""Training in this process: the same twice, in half precision, and stopped where it has to be."""

import math
import re
from pathlib import Path

import pytest
import torch
import wandb

from clozekit.config.composition.build import build
from clozekit.errors import DivergenceError
from clozekit.exit_codes import FAILED
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.tasks.divergence import NonFiniteLossError
from clozekit.train import train
from tests.programs import saboteur
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.in_process import invoke

LARGE_RATE = "optimizer.lr=1e30"


def settings(corpus: Path, folder: Path, *more: str) -> list[str]:
    return [
        f"data.path={corpus}",
        f"runs_dir={folder}",
        *TINY,
        *QUIET,
        "max_steps=6",
        "global_batch_size=8",
        "micro_batch_size=4",
        "validate_every_n_steps=3",
        "optimizer.lr=1e-3",
        "trainer.log_every_n_steps=1",
        *more,
    ]


@pytest.fixture(scope="module")
def twin(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder; dropout is on."""
    folder = tmp_path_factory.mktemp("twin")
    train(train_config("name=twin", *settings(corpus, folder)))
    return folder / "twin"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_same_configuration_gives_the_same_run_bit_for_bit(
    num_workers: int, twin: Path, corpus: Path, tmp_path: Path
) -> None:
    torch.manual_seed(num_workers + 1)  # what went before in the process must not matter
    train(train_config("name=twin", *settings(corpus, tmp_path), f"data.num_workers={num_workers}"))
    assert read_rows(tmp_path / "twin" / "metrics.csv") == read_rows(twin / "metrics.csv")
    expected = load_checkpoint(twin / "checkpoints" / "last.ckpt")
    again = load_checkpoint(tmp_path / "twin" / "checkpoints" / "last.ckpt")
    assert again.step == expected.step == 6
    assert again.state_dict.keys() == expected.state_dict.keys()
    for name, weight in expected.state_dict.items():
        assert torch.equal(again.state_dict[name], weight), name


def test_a_callback_that_is_turned_off_is_not_replaced_by_lightnings(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = settings(corpus, tmp_path / "runs", "callbacks.checkpoints=null", "max_steps=1")
    train(train_config("name=quiet", *overrides))
    printed = capsys.readouterr().out
    assert "Epoch" not in printed
    attention = "on padded sequences, because the device is cpu"
    assert attention in " ".join(printed.split())
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    checkpoints = tmp_path / "runs" / "quiet" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["last.ckpt"]


def test_another_seed_gives_another_run(twin: Path, corpus: Path, tmp_path: Path) -> None:
    train(train_config("name=twin", *settings(corpus, tmp_path), "seed=1"))
    assert read_rows(tmp_path / "twin" / "metrics.csv") != read_rows(twin / "metrics.csv")


def test_bfloat16_learns_what_float32_does(twin: Path, corpus: Path, tmp_path: Path) -> None:
    train(train_config("name=half", *settings(corpus, tmp_path), "trainer.precision=bf16-mixed"))
    rows = read_rows(tmp_path / "half" / "metrics.csv")
    expected = read_rows(twin / "metrics.csv")
    for row, other in zip(rows, expected, strict=True):
        for name in ("train/loss", "validation/loss"):
            if other[name]:
                assert float(row[name]) == pytest.approx(float(other[name]), rel=0.02)
    assert [row["train/loss"] for row in rows] != [row["train/loss"] for row in expected]
    weights = load_checkpoint(tmp_path / "half" / "checkpoints" / "last.ckpt").state_dict
    assert {weight.dtype for name, weight in weights.items() if name.startswith("model.")} == {
        torch.float32
    }


def test_a_loss_that_is_no_number_stops_the_run(corpus: Path, tmp_path: Path) -> None:
    config = train_config(
        "name=spoilt",
        *[override for override in settings(corpus, tmp_path) if "wandb" not in override],
        f"+callbacks.saboteur._target_={saboteur.__name__}.Saboteur",
        "+callbacks.saboteur.step=4",
    )
    with pytest.raises(NonFiniteLossError) as caught:
        train(config)
    message = str(caught.value)
    assert "the loss is not finite at step 5;" in message
    assert len(re.findall(r"\b0:0:\d+\b", message)) == 8
    assert wandb.run is None
    rows = read_rows(tmp_path / "spoilt" / "metrics.csv")
    assert [int(row["step"]) for row in rows if row["train/loss"]] == [1, 2, 3, 4]
    assert list((tmp_path / "spoilt" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert not (tmp_path / "spoilt" / "results.json").exists()


def test_a_learning_rate_out_of_all_bounds_is_noticed(corpus: Path, tmp_path: Path) -> None:
    config = train_config("name=wild", *settings(corpus, tmp_path, LARGE_RATE))
    with pytest.raises(NonFiniteLossError, match="the loss is not finite at step 2;"):
        train(config)


def test_the_command_tells_of_a_divergence_in_one_sentence(corpus: Path, tmp_path: Path) -> None:
    ended = invoke("train", "name=wild", *settings(corpus, tmp_path, LARGE_RATE), folder=tmp_path)
    assert ended.code == FAILED
    (line,) = ended.messages
    assert line.startswith("clozekit train: the loss is not finite at step 2; the samples in the")
    assert "Traceback" not in ended.err
    # It is the number that the step would have had in the history.
    rows = read_rows(tmp_path / "wild" / "metrics.csv")
    assert [int(row["step"]) for row in rows if row["train/loss"]] == [1]


def test_the_first_process_tells_of_a_divergence_for_all(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(_: object) -> None:
        raise DivergenceError("the loss is not finite at step 2")

    monkeypatch.setattr("clozekit.train.train", diverge)
    for rank, messages in ((0, ["clozekit train: the loss is not finite at step 2"]), (1, [])):
        monkeypatch.setenv("RANK", str(rank))
        ended = invoke("train", "name=wild", *settings(corpus, tmp_path), folder=tmp_path)
        assert (ended.code, ended.messages) == (FAILED, messages)
        assert "Traceback" not in ended.err


def test_epochs_become_steps(corpus: Path, tmp_path: Path) -> None:
    config = train_config(
        "name=epochs", *settings(corpus, tmp_path), "max_steps=null", "max_epochs=0.1"
    )
    train(config)
    checkpoint = load_checkpoint(tmp_path / "epochs" / "checkpoints" / "last.ckpt")
    content = torch.load(checkpoint.path, weights_only=True)
    position = content["PretrainingDataModule"]["position"]
    assert position["step"] == checkpoint.step
    assert position["offset"] == 8 * checkpoint.step
    num_samples = build("data", config.data.arguments()).sources["train"].num_samples(0, 0)
    assert checkpoint.step == math.ceil(0.1 * num_samples / 8)
