"""A machine's own defaults, in the real command."""

from pathlib import Path
from typing import Any

import yaml

from tests.programs.commands import run_clozekit

LOCAL = """# @package _global_
defaults:
  - override /trainer: ddp_cpu

runs_dir: /scratch/runs
micro_batch_size: 8
"""


def composed(folder: Path, *overrides: str) -> Any:
    shown = run_clozekit(
        *("train", "--cfg", "job", "name=mine", *overrides),
        cwd=folder,
        more={"XDG_CONFIG_HOME": str(folder / "my config")},
    )
    assert shown.returncode == 0 and shown.stderr == "", shown.stderr
    return yaml.safe_load(shown.stdout)


def write_local(folder: Path, text: str = LOCAL) -> None:
    (folder / "clozekit" / "local").mkdir(parents=True)
    (folder / "clozekit" / "local" / "default.yaml").write_text(text)


def test_a_machines_defaults_come_after_the_experiments_and_before_the_command_line(
    tmp_path: Path,
) -> None:
    plain = composed(tmp_path, "experiment=glue/cola")
    assert (plain["runs_dir"], plain["micro_batch_size"], plain["trainer"]["devices"]) == (
        *("runs", 32),
        1,
    )
    write_local(tmp_path / "my config")
    own = composed(tmp_path, "experiment=glue/cola")
    assert (own["runs_dir"], own["micro_batch_size"], own["trainer"]["devices"]) == (
        *("/scratch/runs", 8),
        2,
    )
    assert own["max_epochs"] == 3
    given = composed(tmp_path, "micro_batch_size=4", "trainer=cpu")
    assert (given["micro_batch_size"], given["trainer"]["devices"]) == (4, 1)


def test_other_verbs_do_not_read_them(tmp_path: Path) -> None:
    write_local(tmp_path / "my config", "# @package _global_\nnonsense: 1\n")
    shown = run_clozekit(
        *("evaluate", "--cfg", "job", "checkpoint=a"),
        cwd=tmp_path,
        more={"XDG_CONFIG_HOME": str(tmp_path / "my config")},
    )
    assert shown.returncode == 0 and "nonsense" not in shown.stdout
