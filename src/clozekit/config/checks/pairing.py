"""Which of clozekit's tasks can be trained on which of its data."""

TASKS = {
    "clozekit.tasks.pretraining.PretrainingModule": "pretraining",
    "clozekit.tasks.masked_lm.MaskedLMModule": "masked_lm",
    "clozekit.tasks.classification.ClassificationModule": "classification",
    "clozekit.tasks.regression.RegressionModule": "regression",
    "clozekit.tasks.tagging.TaggingModule": "tagging",
    "clozekit.tasks.question_answering.QuestionAnsweringModule": "question_answering",
    "clozekit.tasks.question_answering_bio.QuestionAnsweringBIOModule": "question_answering_bio",
    "clozekit.tasks.multiple_choice.MultipleChoiceModule": "multiple_choice",
    "clozekit.tasks.embedding.EmbeddingModule": "embedding",
}
"""The choice of the group `task` for each class."""

DATA = {
    "clozekit.data.pretraining.pair_datamodule.PretrainingDataModule": "pretraining",
    "clozekit.data.pretraining.masked_lm_datamodule.MaskedLMDataModule": "masked_lm",
    "clozekit.data.labelled.classification.ClassificationDataModule": "classification",
    "clozekit.data.labelled.regression.RegressionDataModule": "regression",
    "clozekit.data.labelled.tagging.TaggingDataModule": "tagging",
    "clozekit.data.labelled.question_answering.QuestionAnsweringDataModule": "question_answering",
    "clozekit.data.labelled.question_answering_bio.QuestionAnsweringBIODataModule": (
        "question_answering_bio"
    ),
    "clozekit.data.labelled.multiple_choice.MultipleChoiceDataModule": "multiple_choice",
    "clozekit.data.labelled.embedding.EmbeddingDataModule": "embedding",
}
"""The choice of the group `data` for each class. Dataset configurations use these classes too."""

DATA_OF: dict[str, tuple[str, ...]] = {
    **{task: (task,) for task in TASKS.values()},
    "masked_lm": ("masked_lm", "pretraining"),
}
"""The choices of the group `data` that each task can be trained on."""


def mismatch(task_target: str, data_target: str) -> str | None:
    """Checks whether a task can be trained on data.

    Args:
        task_target: The task's class.
        data_target: The DataModule's class.

    Returns:
        An error message, or None if the two fit or a class is not clozekit's.
    """
    task, data = TASKS.get(task_target), DATA.get(data_target)
    if task is None or data is None or data in DATA_OF[task]:
        return None
    if (task, data) == ("pretraining", "masked_lm"):
        return (
            "task=pretraining predicts next sentences, but data=masked_lm has no sentence pairs; "
            "use task=masked_lm or data=pretraining"
        )
    tasks = [name for name, fitting in DATA_OF.items() if data in fitting]
    return (
        f"task={task} does not work with data={data}; use {_either('data', DATA_OF[task])} for "
        f"this task, or {_either('task', tasks)} for this data"
    )


def _either(group: str, choices: tuple[str, ...] | list[str]) -> str:
    return " or ".join(f"{group}={choice}" for choice in choices)
