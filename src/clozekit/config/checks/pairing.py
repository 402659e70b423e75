"""Which of clozekit's tasks can be trained on which of its data."""

from clozekit.config.registry import OWN_TASKS

NAMES = {own.task: own.name for own in OWN_TASKS}
"""The choice of the group `task` for each class."""

_DATA = {own.data: own.name for own in OWN_TASKS}
"""The choice of the group `data` for each class. Dataset configurations use these classes too."""

_DATA_OF = {own.name: (own.name, *own.other_data) for own in OWN_TASKS}
"""The choices of the group `data` that each task can be trained on."""


def mismatch(task_target: str, data_target: str) -> str | None:
    """Checks whether a task can be trained on data.

    Args:
        task_target: The task's class.
        data_target: The DataModule's class.

    Returns:
        An error message, or None if the two fit or a class is not clozekit's.
    """
    task, data = NAMES.get(task_target), _DATA.get(data_target)
    if task is None or data is None or data in _DATA_OF[task]:
        return None
    if (task, data) == ("pretraining", "masked_lm"):
        return (
            "task=pretraining predicts next sentences, but data=masked_lm has no sentence pairs; "
            "use task=masked_lm or data=pretraining"
        )
    tasks = [name for name, fitting in _DATA_OF.items() if data in fitting]
    return (
        f"task={task} does not work with data={data}; use {_either('data', _DATA_OF[task])} for "
        f"this task, or {_either('task', tasks)} for this data"
    )


def _either(group: str, choices: tuple[str, ...] | list[str]) -> str:
    return " or ".join(f"{group}={choice}" for choice in choices)
