"""The tasks that are compared, and the settings that clozekit and transformers both train with."""

from dataclasses import dataclass
from pathlib import Path

FILES = Path("data/finetune_tasks")
RUNS = Path("runs")
RUN_ROOT = "finetune_tasks"
PRETRAINED, TRANSFORMERS, SCRATCH = "pretrained", "transformers", "scratch"

SETTINGS = (
    "global_batch_size=16",
    "micro_batch_size=16",
    "optimizer.lr=2e-4",
    "trainer.precision=bf16-mixed",
    "logger=csv",
    "callbacks.checkpoints.every_n_steps=100000",
)
"""Of every task; what is not said here is the default of `conf/`, such as dropout and warmup."""

SIZES = (
    "encoder.hidden_size=384",
    "encoder.num_hidden_layers=6",
    "encoder.num_attention_heads=12",
    "encoder.intermediate_size=1536",
)
"""The pretrained encoder's, for one from scratch."""


@dataclass(frozen=True)
class Task:
    """A task on one data set.

    Attributes:
        name: What its files and runs are called.
        title: What it is called in the table.
        group: The file of `conf/task` and of `conf/data`.
        ending: That of its files.
        num_train: Its training rows, of those that there are.
        num_validation: Its validation rows.
        metric: What it is judged by.
        percent: What the metric is multiplied with for the table.
        max_epochs: Passes over the training rows.
        overrides: What else its command says.
    """

    name: str
    title: str
    group: str
    ending: str
    num_train: int
    num_validation: int
    metric: str
    percent: float = 100.0
    max_epochs: int = 2
    overrides: tuple[str, ...] = ()

    def file(self, split: str) -> Path:
        return FILES / self.name / f"{split}{self.ending}"

    def run_name(self, variant: str, seed: int) -> str:
        return f"{RUN_ROOT}/{self.name}/{variant}-{seed}"

    def command(self, variant: str, seed: int | str, model: str | Path) -> list[str]:
        """The overrides of `clozekit train`."""
        start = [f"encoder.pretrained={model}"]
        if variant == SCRATCH:
            start = [f"data.tokenizer={model}/tokenizer.json", *SIZES]
        return [
            f"name={self.run_name(variant, seed)}",
            f"task={self.group}",
            f"data={self.group}",
            *start,
            f"data.train={self.file('train')}",
            f"data.validation={self.file('validation')}",
            *self.overrides,
            f"max_epochs={self.max_epochs}",
            *SETTINGS,
            f"seed={seed}",
        ]


_QA = {
    "ending": ".json",
    "num_train": 400,
    "num_validation": 200,
    "metric": "f1",
    "percent": 1.0,
    "overrides": ("data.max_seq_length=256",),
}

TASKS = (
    Task("sentiment", "sentiment of a sentence", "classification", ".csv", 1200, 500, "accuracy"),
    Task(
        "nli",
        "entailment of a pair",
        "classification",
        ".jsonl",
        800,
        500,
        "accuracy",
        overrides=("data.text_column=premise", "data.text_pair_column=hypothesis"),
    ),
    Task(
        "similarity",
        "similarity of a pair",
        "regression",
        ".jsonl",
        450,
        66,
        "pearson",
        overrides=("data.text_column=sentence1", "data.text_pair_column=sentence2"),
    ),
    Task("pos", "parts of speech", "tagging", ".conll", 1500, 500, "accuracy"),
    Task("entities", "entities in Chinese", "tagging", ".conll", 500, 250, "f1"),
    Task("qa", "answers by their ends", "question_answering", **_QA),
    Task("qa_bio", "answers by tags", "question_answering_bio", **_QA),
    Task(
        "multiple_choice", "one of four choices", "multiple_choice", ".jsonl", 500, 300, "accuracy"
    ),
)


def task_named(name: str) -> Task:
    return next(task for task in TASKS if task.name == name)
