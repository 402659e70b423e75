"""Runs that are sent SIGTERM or SIGINT, and what became of them; see `test_signals`."""

from dataclasses import replace
from typing import Any

from tests.harness.comparing import differences
from tests.harness.running import torchrun_variables
from tests.programs.forked import ONE, TWO_RANKS, Lab, main, without_onednn
from tests.programs.signaller import Signaller

SCENARIOS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SIGTERM at a step": (ONE, {"name": "SIGTERM", "step": 6}),
    "SIGTERM in an accumulation window": (ONE, {"name": "SIGTERM", "step": 6, "micro_step": 1}),
    "SIGTERM in a validation": (ONE, {"name": "SIGTERM", "step": 6, "in_validation": True}),
    "SIGTERM at a step that is validated": (ONE, {"name": "SIGTERM", "step": 5}),
    "SIGTERM at the last step": (ONE, {"name": "SIGTERM", "step": 13}),
    "SIGTERM to workers too": (
        replace(ONE, workers=2),
        {"name": "SIGTERM", "step": 6, "to": "group"},
    ),
    "SIGINT to workers too": (
        replace(ONE, workers=2),
        {"name": "SIGINT", "step": 6, "to": "group"},
    ),
    "SIGTERM to rank 0": (TWO_RANKS, {"name": "SIGTERM", "step": 6}),
    "SIGTERM to rank 1": (TWO_RANKS, {"name": "SIGTERM", "step": 6, "rank": 1}),
    "SIGINT to all ranks": (TWO_RANKS, {"name": "SIGINT", "step": 6, "to": "group"}),
    "SIGTERM to a rank under Slurm": (TWO_RANKS, {"name": "SIGTERM", "step": 6, "rank": 1}),
    "SIGINT twice": (ONE, {"name": "SIGINT", "step": 6, "times": 2}),
    "SIGINT twice to all ranks": (
        TWO_RANKS,
        {"name": "SIGINT", "step": 6, "times": 2, "to": "group"},
    ),
}


def slurm_variables(rank: int, ranks: int, port: int) -> dict[str, str]:
    """What srun tells a task of its place among the others."""
    return {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "pretraining",
        "SLURM_NTASKS": str(ranks),
        "SLURM_NTASKS_PER_NODE": str(ranks),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def scenarios(lab: Lab) -> dict[str, Any]:
    without_onednn()
    results = {}
    for case in {case for case, _ in SCENARIOS.values()}:
        assert set(lab.run(case.name, case)) == {0}, lab.log(case.name).read_text()
    for number, (scenario, (case, signal)) in enumerate(SCENARIOS.items()):
        name = f"{number}"
        under_slurm = scenario.endswith("Slurm")
        variables = slurm_variables if under_slurm else torchrun_variables
        target = f"{Signaller.__module__}.{Signaller.__name__}"
        arguments = {"_target_": target, **signal}
        overrides = [f"+callbacks.signaller.{key}={value}" for key, value in arguments.items()]
        codes = lab.run(name, case, *overrides, variables=variables)
        checkpoints = lab.folder / name / "run" / "checkpoints"
        left = sorted(path.name for path in checkpoints.iterdir())
        # The signaller is silent in the resumed run: its step is done, or the run has begun anew.
        resumed = lab.run(name, case, variables=variables)
        results[scenario] = {
            "codes": codes,
            "checkpoints": left,
            "log": lab.log(name).read_text(),
            "resumed": resumed,
            "differences": differences(lab.folder / name, lab.folder / case.name),
        }
    return results


if __name__ == "__main__":
    main(scenarios)
