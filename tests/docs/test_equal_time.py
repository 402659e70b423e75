"""Comparisons at an equal time, whose results may be completed on other machines."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from experiments.equal_time import Arm, Comparison, run_all
from experiments.equal_time_report import HELD_OUT, table
from experiments.recipes import theirs

from clozekit.interop.transformers import load_transformers
from tests.programs.commands import QUIET, TINY

PROGRAM = """
import json, sys
from pathlib import Path

given = dict(each.split("=", 1) for each in sys.argv[2:])
folder = Path("runs") / given["name"]
folder.mkdir(parents=True)
loss = float(given["optimizer.lr"]) + int(given["seed"])
(folder / "results.json").write_text(json.dumps({"validation/mlm_loss": loss}))
with open("started", "a") as file:
    print(given["name"], file=file)
"""


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """Two arms that a stand-in for a training program runs in the current folder."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    arms = tuple(Arm(name, name, (f"x={name}",), (0.2, 0.1), module="program") for name in "ab")
    speeds = {"a": 2.0, "b": 3.0}
    return Comparison("c", Path("corpus"), 1.0, (), arms, tuning_seconds=0.5, speeds=speeds)


def started() -> list[str]:
    file = Path("started")
    names = sorted(file.read_text().split()) if file.exists() else []
    file.unlink(missing_ok=True)
    return names


def test_known_seeds_and_rates_are_not_run_again(compared: Comparison) -> None:
    first = run_all(replace(compared, seeds=(1,)), 2)
    assert first["a"]["learning_rate"] == 0.1
    of_rates = [f"c/{arm}/tuning-lr{rate}" for arm in "ab" for rate in ("0.1", "0.2")]
    assert started() == sorted([*of_rates, "c/a/lr0.1-1", "c/b/lr0.1-1"])

    written: list[dict[str, Any]] = []
    only = replace(compared, seeds=(1, 2), arms=compared.arms[1:])
    known = json.loads(json.dumps(first))
    more = run_all(only, 1, known, lambda results: written.append(json.loads(json.dumps(results))))
    assert started() == ["c/b/lr0.1-2"]
    assert written == [more]
    assert list(more) == ["a", "b"] and more["a"] == first["a"]
    assert list(more["b"]["seeds"]) == ["1", "2"]
    lines = table(more, [HELD_OUT]).splitlines()
    assert lines[0].split(" | ")[3] == "seeds"
    assert lines[3].endswith("| 2 | 1.600 ± 0.707 |")


def test_an_arm_that_has_changed_is_refused(compared: Comparison) -> None:
    known = run_all(replace(compared, seeds=(1,)), 2)
    faster = replace(compared, speeds={"a": 2.5, "b": 3.0})
    with pytest.raises(SystemExit, match="another a: remove it"):
        run_all(faster, 1, known)


def test_the_model_of_transformers_is_trained_and_judged_on_the_same_pairs(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("name=theirs", f"data.path={corpus}", f"runs_dir={tmp_path}", *TINY, *QUIET)
    sizes = ("max_steps=2", "global_batch_size=4", "micro_batch_size=4", "resume=auto")
    monkeypatch.setattr(sys, "argv", ["theirs", "train", *given, *sizes])
    theirs.main()
    results = json.loads((tmp_path / "theirs" / "results.json").read_text())
    # Of a vocabulary of 300, from random weights.
    assert 4 < results["validation/mlm_loss"] < 7
    assert 0 <= results["validation/nsp_accuracy"] <= 1
    load_transformers(tmp_path / "theirs")
