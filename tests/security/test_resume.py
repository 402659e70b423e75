"""A run folder or checkpoint of someone else to train from: only the user's classes are built."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from clozekit.errors import DataError, UserError
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


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("loops", {}, "KeyError: 'fit_loop'"),
        ("optimizer_states", [3], "Error: "),
        ("lr_schedulers", [torch.ones(1)], "AttributeError"),
        ("callbacks", "x", "Error: "),
    ],
)
def test_a_damaged_training_state_is_told_in_one_sentence(
    part: str, value: Any, told: str, tmp_path: Path
) -> None:
    given = f"encoder.pretrained={write_checkpoint(tmp_path / 'theirs.ckpt')}"
    train(train_config(*arguments(tmp_path, given)))
    whole = tmp_path / "x" / "checkpoints" / "last.ckpt"
    content = torch.load(whole, weights_only=True)
    content[part] = value
    damaged = tmp_path / "damaged.ckpt"
    torch.save(content, damaged)
    changed = [each for each in arguments(tmp_path, given, f"resume={damaged}") if each != "name=x"]
    changed = [each.replace("max_steps=1", "max_steps=2") for each in changed]
    with pytest.raises(DataError, match=r"damaged\.ckpt is damaged: .*state cannot be") as caught:
        train(train_config(*changed, "name=y"))
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "y").exists()
