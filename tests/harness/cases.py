"""The configurations to kill and their data, small enough for many runs."""

import csv
import random
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from clozekit.config.composition.location import conf_dir
from clozekit.config.train import TrainConfig
from tests.programs.task_files import FILES, OVERRIDES, group_of, write_task

MAX_STEPS = 14
GLOBAL_BATCH = 8
STEPS_BETWEEN_CHECKPOINTS = 4
STEPS_BETWEEN_VALIDATIONS = 6
STEPS_OF_AN_ITERATOR = 5
NUM_ROWS = 50
NUM_QUESTIONS = 12
"""Fewer than rows of other tasks: most paragraphs become several windows."""

SEED = 0
SAVED_STEPS = (4, 6, 8, 12)
"""The steps after which `last.ckpt` is saved."""

TOPICS = {
    "farm": "horse cow sheep barn field plough",
    "sea": "ship sailor harbour wave anchor captain",
    "kitchen": "cook oven bread knife soup table",
}


@dataclass(frozen=True)
class Case:
    """A configuration: the task and the split of the global batch.

    Attributes:
        task: The task.
        workers: The number of data workers per training process.
        persistent: Whether workers live for the whole run. If not, Lightning's epochs are
            shortened, and workers are restarted with each epoch.
        ranks: The number of training processes.
        accumulation: The number of micro-batches per step on each training process.
    """

    task: str
    workers: int
    persistent: bool
    ranks: int
    accumulation: int

    @property
    def name(self) -> str:
        kind = "" if self.persistent or not self.workers else "brief"
        return f"{self.task}-{self.workers}{kind}workers-{self.ranks}ranks-{self.accumulation}micro"

    def config(self, data: Path, runs_dir: Path, *more: str) -> TrainConfig:
        """Composes the configuration in the same way as the command."""
        return train_config(*self.overrides(data, runs_dir), *more)

    def overrides(self, data: Path, runs_dir: Path) -> list[str]:
        """Returns the arguments of the command."""
        overrides = [
            "name=run",
            f"runs_dir={runs_dir}",
            "encoder.hidden_size=32",
            "encoder.num_hidden_layers=1",
            "encoder.num_attention_heads=2",
            "encoder.intermediate_size=64",
            "encoder.max_position_embeddings=32",
            "data.max_seq_length=32",
            f"data.num_workers={self.workers}",
            f"max_steps={MAX_STEPS}",
            f"global_batch_size={GLOBAL_BATCH}",
            f"micro_batch_size={GLOBAL_BATCH // (self.ranks * self.accumulation)}",
            f"validate_every_n_steps={STEPS_BETWEEN_VALIDATIONS}",
            f"callbacks.checkpoints.every_n_steps={STEPS_BETWEEN_CHECKPOINTS}",
            "callbacks.progress=null",
            "logger.wandb=null",
            "optimizer.lr=1e-3",
            "trainer.log_every_n_steps=1",
            *_task_overrides(self.task, data),
        ]
        if not self.persistent:
            overrides.append(f"trainer.limit_train_batches={STEPS_OF_AN_ITERATOR}")
        if self.ranks > 1:
            overrides += ["trainer=ddp_cpu", f"trainer.devices={self.ranks}"]
        return overrides

    def row(self) -> dict[str, Any]:
        return asdict(self)


TASKS = ("pretraining", "masked_lm", *FILES)


def all_cases() -> list[Case]:
    """All tasks x {0, 2 workers} x {1, 2 ranks} x {accumulation 1, 2}."""
    factors = product(TASKS, (0, 2), (1, 2), (1, 2))
    return [
        Case(task, workers, True, ranks, accumulation)
        for task, workers, ranks, accumulation in factors
    ]


def train_config(*overrides: str) -> TrainConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", overrides=list(overrides))
    return TrainConfig.model_validate(
        OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    )


def _task_overrides(task: str, data: Path) -> list[str]:
    if task == "pretraining":
        return [f"data.path={data / 'corpus'}"]
    if task == "masked_lm":
        return ["task=masked_lm", "data=masked_lm", f"data.path={data / 'corpus'}"]
    name = group_of(task)
    return [
        f"task={name}",
        f"data={name}",
        *OVERRIDES.get(task, ()),
        f"data.train={_labelled_file(task, data)}",
        f"data.tokenizer={data / 'corpus' / 'tokenizer.json'}",
        "data.validation_fraction=0.2",
        "encoder.hidden_dropout_prob=0.1",
    ]


def write_data(data: Path) -> None:
    """Writes a corpus and labelled files; an epoch of each is about five steps."""
    draw = random.Random(0)
    data.mkdir(parents=True, exist_ok=True)
    documents = [
        "\n".join(_sentence(topic, draw) for _ in range(draw.randint(4, 7)))
        for topic in draw.choices(list(TOPICS), k=30)
    ]
    (data / "corpus.txt").write_text("\n\n".join(documents))
    of_the_sea = random.Random(1)
    more = ["\n".join(_sentence("sea", of_the_sea) for _ in range(5)) for _ in range(12)]
    (data / "sea.txt").write_text("\n\n".join(more))
    with (data / "labelled.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        rows.writerows((_sentence(t, draw), t) for t in draw.choices(list(TOPICS), k=NUM_ROWS))
    for task in FILES:
        number = NUM_QUESTIONS if task.startswith("question_answering") else NUM_ROWS
        write_task(data, task, number, SEED)


def _labelled_file(task: str, data: Path) -> Path:
    # This file is older than the others: the fixtures of format 2 were made from it.
    return data / ("labelled.csv" if task == "classification" else f"{task}-{SEED}{FILES[task][0]}")


def prepare_overrides(data: Path) -> list[str]:
    return [
        f"source.path={data / 'corpus.txt'}",
        f"out={data / 'corpus'}",
        "tokenizer.vocab_size=120",
        "validation_fraction=0.2",
        "shard_tokens=500",
        "workers=1",
    ]


def _sentence(topic: str, draw: random.Random) -> str:
    return " ".join(["the", *draw.choices(TOPICS[topic].split(), k=draw.randint(3, 9)), "."])
