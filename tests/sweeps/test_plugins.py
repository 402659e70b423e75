"""What Hydra imports at the start of every application is light, and changes none of them."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "lightning", "optuna", "submitit", "pydantic", "numpy", "clozekit"}


def test_finding_the_plugins_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; names = Plugins.instance()"
        ".class_name_to_class; print(*names); print(*sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    found, imported = (set(line.split()) for line in finished.stdout.splitlines())
    assert {
        "hydra_plugins.clozekit_launcher.ProcessesLauncher",
        "hydra_plugins.clozekit_launcher.SubmititLauncher",
        "hydra_plugins.clozekit_optuna.OptunaSweeper",
    } <= found
    assert not imported & HEAVY
    assert finished.stderr == ""


APP = """
import hydra


@hydra.main(version_base="1.3", config_path=None)
def app(config):
    pass


app()
"""
"""An application of someone else's in the same environment."""


def test_another_application_sees_the_choices_that_it_would_see_without_clozekit() -> None:
    code = (
        "from hydra.core.plugins import Plugins; Plugins.instance();"
        "from hydra.core.config_store import ConfigStore; hydra = ConfigStore.instance().repo"
        "['hydra']; print(*sorted([*hydra['sweeper'], *hydra['launcher']]));"
        "print(ConfigStore.instance().repo.keys() - {'hydra', '_dummy_empty_config_.yaml'})"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "basic.yaml basic.yaml\nset()\n"


@pytest.mark.parametrize(
    "choice",
    [
        "hydra/sweeper=optuna",
        "hydra/sweeper=clozekit_optuna",
        "hydra/launcher=processes",
        "hydra/launcher=submitit",
    ],
)
def test_another_application_has_no_choice_of_clozekits(choice: str, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(APP)
    finished = subprocess.run(
        [sys.executable, app, choice, "--cfg", "hydra"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    group, _, name = choice.partition("=")
    assert finished.returncode == 1
    assert f"Could not find '{group}/{name}'" in finished.stderr
    assert "\tbasic\n" in finished.stderr and "clozekit" not in finished.stderr.partition("'")[0]
