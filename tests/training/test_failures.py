"""How a run ends that is interrupted where nothing can be saved: as any other after Ctrl-C."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer

from clozekit.exit_codes import INTERRUPTED
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, train_config


class CtrlC(Callback):
    """Is interrupted before the first step, when Lightning's signal handlers are in place."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def sigint() -> Iterator[None]:
    # Lightning ignores it once it has ended a run, also one of an earlier test.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint")
def test_ctrl_c_before_the_first_step_has_its_own_exit_code(corpus: Path, tmp_path: Path) -> None:
    config = train_config(
        *("name=run", f"runs_dir={tmp_path}", f"data.path={corpus}", *TINY, *QUIET),
        *("max_steps=1", "global_batch_size=4", "micro_batch_size=4"),
        f"+callbacks.ctrl_c._target_={CtrlC.__module__}.CtrlC",
    )
    with pytest.raises(SystemExit) as ended:
        train(config)
    assert ended.value.code == INTERRUPTED
