"""The decisions of an Optuna pruner, which can be made again after a kill with the same result."""

from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

DECISION = "pruning"
"""The trial attribute with the last decision: the step, whether to prune, and what the pruner
remembers of the trial."""


class TrialPruner:
    """Decides whether trials go on, with one of Optuna's pruners.

    A pruner writes to the trial while it decides; successive halving would not prune a trial if it
    were asked a second time. So it decides on a copy of the study in memory. The decision and what
    the pruner wrote are then stored together, and a decision that is stored is never made again. A
    new pruner makes each decision, so a decision depends on the stored trials alone.

    Args:
        study: The Optuna study.
        make_pruner: Makes the pruner.
    """

    def __init__(self, study: optuna.Study, make_pruner: Callable[[], BasePruner]) -> None:
        self._study = study
        self._make_pruner = make_pruner

    def prunes(self, trial: FrozenTrial, step: int, value: float, is_last: bool) -> bool:
        """Reports the value of a validation and decides whether the trial ends there.

        Args:
            trial: The trial.
            step: The number of steps done.
            value: The metric.
            is_last: Whether this is the last step of the run, which is never pruned.
        """
        storage, trial_id = self._study._storage, trial._trial_id
        stored = trial.user_attrs.get(DECISION, {})
        if stored.get("step", -1) >= step:
            # A run that is resumed from an earlier step repeats validations.
            return bool(stored["prune"]) and stored["step"] == step
        if step not in trial.intermediate_values:
            storage.set_trial_intermediate_value(trial_id, step, value)
        prune, memory = (False, stored.get("memory", {})) if is_last else self._decide(trial.number)
        decision = {"step": step, "prune": prune, "memory": memory}
        storage.set_trial_user_attr(trial_id, DECISION, decision)
        return prune

    def _decide(self, number: int) -> tuple[bool, dict[str, Any]]:
        copy = optuna.create_study(
            study_name=self._study.study_name, direction=self._study.direction
        )
        for trial in self._study.get_trials():
            memory = trial.user_attrs.get(DECISION, {}).get("memory", {})
            trial.system_attrs = {**trial.system_attrs, **memory}
            copy.add_trial(trial)
        asked = copy.get_trials()[number]
        prune = bool(self._make_pruner().prune(copy, asked))  # some return a bool of numpy
        written = copy.get_trials(deepcopy=False)[number].system_attrs
        before = self._study.get_trials(deepcopy=False)[number].system_attrs
        return prune, {key: value for key, value in written.items() if key not in before}
