"""The results of a run are those of the weights that it saves, whoever changed them last."""

import json

import pytest

from tests.programs.observed_runs import Run

HOOKS = "tests.programs.weight_hooks"


@pytest.mark.parametrize("by_data", ["true", "false"])
def test_weights_that_are_changed_at_the_end_are_validated(by_data: str, run: Run) -> None:
    folder = run(
        f"changed-{by_data}",
        *(f"+callbacks.end._target_={HOOKS}.Scaling", f"+callbacks.end.by_data={by_data}"),
        "max_steps=3",
    )
    results = json.loads((folder / "results.json").read_text())
    run(f"changed-{by_data}", "max_steps=3", "resume=auto")
    again = json.loads((folder / "results.json").read_text())
    assert results == pytest.approx(again)


def test_weights_that_are_validated_are_not_validated_again(run: Run) -> None:
    run("same", "max_steps=3")
    assert len(run.events("same", "validation batch")) == 2
