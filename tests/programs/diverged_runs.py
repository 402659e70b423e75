"""Runs with steps that diverge, killed and interrupted too; see `test_divergence`."""

from pathlib import Path
from typing import Any

from tests.harness.cases import Case
from tests.harness.comparing import differences, history
from tests.harness.killing import Moment
from tests.programs.forked import ONE, TWO_RANKS, Lab, main, without_onednn
from tests.programs.signaller import Signaller
from tests.programs.spoiler import Comparer, Spoiler

ROLLBACK = "divergence.action=rollback"


def spoiled(*steps: int, factor: float = float("nan"), rank: int = 0) -> list[str]:
    return [
        f"+callbacks.spoiler._target_={Spoiler.__module__}.{Spoiler.__name__}",
        f"+callbacks.spoiler.steps={list(steps)}",
        f"+callbacks.spoiler.factor={factor}",
        f"+callbacks.spoiler.rank={rank}",
    ]


def killed(step: int) -> list[str]:
    return Moment("before backward", step).overrides()


def interrupted(step: int) -> list[str]:
    return [
        f"+callbacks.signaller._target_={Signaller.__module__}.{Signaller.__name__}",
        "+callbacks.signaller.name=SIGTERM",
        f"+callbacks.signaller.step={step}",
    ]


def outcome(lab: Lab, name: str, codes: list[list[int]], reference: str) -> dict[str, Any]:
    folder = lab.folder / name
    ended = set(codes[-1]) == {0}
    return {
        "codes": codes,
        "log": lab.log(name).read_text(),
        "history": history(folder / "run" / "metrics.csv"),
        "differences": differences(folder, lab.folder / reference) if ended else None,
        "checkpoints": _names(folder / "run" / "checkpoints"),
    }


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


# What is in every part of a run, what in its first part alone, and the run that it has to equal.
SCENARIOS: dict[str, tuple[Case, list[str], list[str], str]] = {
    "healthy": (ONE, [], [], "healthy"),
    "stopped": (ONE, [], spoiled(9), "healthy"),
    "rolled back": (ONE, [ROLLBACK, *spoiled(9)], [], "rolled back"),
    "killed before": (ONE, [ROLLBACK, *spoiled(9)], killed(9), "rolled back"),
    "killed after": (ONE, [ROLLBACK, *spoiled(9)], killed(10), "rolled back"),
    "killed later": (ONE, [ROLLBACK, *spoiled(9)], killed(13), "rolled back"),
    "interrupted before": (ONE, [ROLLBACK, *spoiled(9)], interrupted(8), "rolled back"),
    "interrupted at": (ONE, [ROLLBACK, *spoiled(9)], interrupted(9), "rolled back"),
    "interrupted after": (ONE, [ROLLBACK, *spoiled(9)], interrupted(10), "rolled back"),
    "large on a rank": (
        TWO_RANKS,
        [ROLLBACK, "divergence.max_loss=50", *spoiled(5, 9, factor=1e4, rank=1)],
        [],
        "large on a rank",
    ),
    "large on a rank and killed": (
        TWO_RANKS,
        [ROLLBACK, "divergence.max_loss=50", *spoiled(5, 9, factor=1e4, rank=1)],
        killed(11),
        "large on a rank",
    ),
    "large gradient": (
        ONE,
        [ROLLBACK, "divergence.max_grad_norm=100", *spoiled(9, factor=1e4)],
        [],
        "large gradient",
    ),
    "no checkpoint": (ONE, [ROLLBACK, *spoiled(2)], [], "healthy"),
    "too many": (
        ONE,
        [ROLLBACK, "divergence.max_rollbacks=1", *spoiled(5, 9)],
        killed(7),
        "healthy",
    ),
}


def scenarios(lab: Lab) -> dict[str, Any]:
    without_onednn()
    results = {}
    compared = [
        f"+callbacks.comparer._target_={Comparer.__module__}.{Comparer.__name__}",
        "+callbacks.comparer.step=10",
        "+callbacks.comparer.checkpoint=${callbacks.checkpoints.dirpath}/last.ckpt",
    ]
    for name, (case, always, first, reference) in SCENARIOS.items():
        codes = [lab.run(name, case, *always, *first, *compared)]
        if first:
            codes.append(lab.run(name, case, *always, *compared))
        results[name] = outcome(lab, name, codes, reference)
    return results


if __name__ == "__main__":
    main(scenarios)
