"""Whether a folder contains a job that was run before, although its run replaced some keys."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from clozekit.config.schedule import restarted
from clozekit.errors import ConfigError
from clozekit.files import write_json
from clozekit.sweeps.job import Job
from tests.programs.commands import train_config

BUDGET = {"budget": {"budget": "8s", "max_steps": 40}}
PARENT = {"parent": {"run": "runs/a", "id": None, "step": 20, "has_new_schedule": True}}


@pytest.fixture
def job(tmp_path: Path) -> Any:
    def make(*overrides: str) -> Job:
        fixed = ("name=mine/x", f"runs_dir={tmp_path}", "data.path=corpus")
        return Job("x", (), (), train_config(*fixed, *overrides))

    return make


def write(job: Job, facts: dict[str, Any], **changes: Any) -> None:
    """Leaves what a run of this job does that replaced some keys."""
    config = job.config.model_copy(update=changes)
    job.folder.mkdir(parents=True)
    values = config.model_dump(mode="json", by_alias=True)
    (job.folder / "config.yaml").write_text(yaml.safe_dump(values))
    write_json(job.folder / "run.json", {"id": "a", "resumed": [], **facts})


def test_a_run_with_a_budget_is_that_of_the_same_budget(job: Any) -> None:
    write(job("budget=8s"), BUDGET, budget=None, max_steps=40)
    job("budget=8s").check_folder()
    job("max_steps=40").check_folder()
    with pytest.raises(ConfigError, match="was run with budget=8s, but the sweep has 4s"):
        job("budget=4s").check_folder()


@pytest.mark.parametrize("length", ["max_steps=40", "max_epochs=2", "budget=8s"])
def test_a_run_that_began_at_another_is_that_of_the_same_command(length: str, job: Any) -> None:
    asked = ("from_run=runs/a", length)
    config = job(*asked).config
    changes = {"budget": None, "max_steps": 40} if length.startswith("budget") else {}
    schedule = restarted(config.schedule, 20, 40)
    write(job(*asked), {**PARENT, **BUDGET}, from_step=20, schedule=schedule, **changes)
    job(*asked).check_folder()
    job(*asked, "from_step=20").check_folder()
    with pytest.raises(ConfigError, match="was run with from_step=20, but the sweep has 10"):
        job(*asked, "from_step=10").check_folder()
    with pytest.raises(ConfigError, match=r"was run with schedule\.decay=linear, but the sweep"):
        job(*asked, "schedule.decay=cosine").check_folder()
