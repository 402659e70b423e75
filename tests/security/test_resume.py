"""A run folder or checkpoint of someone else to train from: only the user's classes are built."""

import sys
from pathlib import Path
from typing import Any

import pytest

from clozekit.errors import UserError
from clozekit.train import train
from tests.programs.commands import QUIET, train_config
from tests.programs.texts import write_labelled
from tests.security.strangers import Content, calls, config_of, write_checkpoint

GROUPS = ("task", "data", "optimizer", "schedule", "trainer", "callbacks", "logger")


def hostile(content: Content, marker: Path) -> None:
    for group in GROUPS:
        config_of(content)[group] = calls(marker)["sympify"] | {"x": calls(marker)["touch"]}


def arguments(folder: Path, *more: str) -> list[str]:
    write_labelled(folder / "rows.csv", 40, 0)
    return [
        "name=x",
        f"runs_dir={folder}",
        "task=classification",
        "data=classification",
        f"data.train={folder / 'rows.csv'}",
        "max_steps=1",
        "global_batch_size=4",
        "micro_batch_size=4",
        "data.max_seq_length=16",
        "trainer.num_sanity_val_steps=0",
        *QUIET,
        *more,
    ]


@pytest.mark.parametrize("resume", ["auto", "the file"])
def test_the_configuration_of_the_one_who_resumes_is_built(resume: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "x" / "checkpoints" / "last.ckpt"
    write_checkpoint(path, lambda content: hostile(content, marker))
    chosen = "auto" if resume == "auto" else str(path)
    with pytest.raises(UserError, match=r"resume: .*last\.ckpt was trained with"):
        train(train_config(*arguments(tmp_path, f"resume={chosen}")))
    assert not marker.exists()
    assert "sympy.evil" not in sys.modules


def test_only_weights_are_taken_from_a_pretrained_checkpoint(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "theirs.ckpt"

    def change(content: Content) -> None:
        hostile(content, marker)
        content["callbacks"] = {"os.system": {"command": f"touch {marker}"}}

    write_checkpoint(path, change)
    results: dict[str, Any] = train(
        train_config(*arguments(tmp_path, f"encoder.pretrained={path}"))
    )
    assert "validation/accuracy" in results
    assert not marker.exists()
