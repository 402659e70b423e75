"""A run that `wandb agent` starts: the guide's sweep, and the command line as the agent builds it.

There is no server. A stand-in does what the agent does with a command of the server, by the same
functions of wandb, and the run logs offline.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from clozekit.training.wandb import offline_records
from tests.programs.commands import TINY, run_clozekit, train_config

GUIDE = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
SWEEP: dict[str, Any] = yaml.safe_load(
    re.findall(r"```yaml\n# sweep.yaml\n(.*?)```", GUIDE, re.DOTALL)[0]
)
RUN_ID = "k3x8b2qd"


def command_line(values: dict[str, Any], sweep: dict[str, Any] = SWEEP) -> list[str]:
    """Builds the command line of a run as `Agent._command_run` of wandb does."""
    command = {"args": {name: {"value": value} for name, value in values.items()}}
    macros = create_sweep_command_args(command)
    macros |= {"program": [sweep["program"]], "env": ["/usr/bin/env"], "interpreter": ["python"]}
    line: list[str] = []
    for part in create_sweep_command(list(sweep["command"])):
        is_macro = part.startswith("${") and part.endswith("}")
        line += macros.get(part[2:-1], []) if is_macro else [part]
    return line


def drawn(sweep: dict[str, Any]) -> dict[str, Any]:
    """Draws a value for every parameter of a sweep."""
    return {
        name: given.get("value", given.get("values", [given.get("max")])[-1])
        for name, given in sweep["parameters"].items()
    }


def test_values_reach_the_configuration_with_their_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", RUN_ID)
    values = {
        "optimizer.lr": 3.2e-05,
        "seed": 3,
        "activation_checkpointing": True,
        "encoder.norm_bias": False,
        "validate_every_n_steps": "null",
        "optimizer.betas": [0.9, 0.95],
        "schedule": "warmup_cosine",
        "max_steps": 10,
        "data.path": "a corpus/of mine",
    }
    program, verb, *arguments = command_line(values)
    assert (program, verb) == ("clozekit", "train")
    config = train_config(*arguments)
    assert config.name == f"agents/{RUN_ID}"
    assert config.optimizer.lr == 3.2e-05 and config.seed == 3
    assert config.activation_checkpointing is True and config.encoder.norm_bias is False
    assert config.validate_every_n_steps is None and config.schedule.decay == "cosine"
    extra = config.optimizer.model_extra or {}
    assert extra["betas"] == [0.9, 0.95]
    assert (config.data.model_extra or {})["path"] == "a corpus/of mine"


@pytest.mark.slow
def test_the_guides_sweep_runs_offline_as_the_agents_run(corpus: Path, tmp_path: Path) -> None:
    values = drawn(SWEEP) | {"data.path": str(corpus), "max_steps": 2}
    line = command_line(values)
    folder = tmp_path / "wandb" / "sweep-abc"
    folder.mkdir(parents=True)
    params = folder / f"config-{RUN_ID}.yaml"
    params.write_text(yaml.safe_dump({n: {"value": value} for n, value in values.items()}))
    environment = {
        "WANDB_SWEEP_ID": "abc",
        "WANDB_RUN_ID": RUN_ID,
        "WANDB_SWEEP_PARAM_PATH": str(params),
        "WANDB_PROJECT": "mine",
        "WANDB_MODE": "offline",
    }
    small = (*TINY, "global_batch_size=8", "micro_batch_size=8", "callbacks.progress=null")
    finished = run_clozekit(*line[1:], *small, cwd=tmp_path, more=environment)
    assert finished.returncode == 0, finished.stderr
    assert "Ignoring" not in finished.stdout + finished.stderr
    run = tmp_path / "runs" / "agents" / RUN_ID
    assert json.loads((run / "results.json").read_text())["step"] == 2
    records = list(offline_records(run / "wandb", RUN_ID))
    (begun,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (begun.run_id, begun.sweep_id, begun.project) == (RUN_ID, "abc", "mine")
    logged: dict[str, Any] = {}
    for record in records:
        for update in [*record.config.update, *record.run.config.update]:
            logged[update.key or ".".join(update.nested_key)] = json.loads(update.value_json)
    assert logged["optimizer"]["lr"] == values["optimizer.lr"] == logged["optimizer.lr"]
    assert logged["max_steps"] == 2
    metric = SWEEP["metric"]["name"]
    history = [item for r in records for item in r.history.item]
    assert metric in {item.key or "/".join(item.nested_key) for item in history}
