"""What Hydra imports at every start is light."""

import subprocess
import sys

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
