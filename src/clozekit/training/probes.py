"""Linear probes while training: what a linear classifier can read from the encoder's vectors."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from clozekit.data.batch import Batch
from clozekit.data.files.rows import read_file
from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.labelled_datamodule import describe_unknown
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.row_store import RowStore
from clozekit.data.module import StreamDataModule
from clozekit.data.step import StepBatch
from clozekit.errors import ConfigError, DataError
from clozekit.models.pooling import first_tokens, means
from clozekit.output.display import say
from clozekit.tasks.base import TaskModule

REGULARIZATION = 0.01
"""The L2 penalty per row, for standardized features."""

LARGEST_SHARE = 0.02
"""The share of the training time from which a message says how to make probes cheaper."""

TOKENS_ON_CPU = 4096
"""The maximum number of padded tokens in a forward pass on the CPU, whose caches are small."""


@dataclass(frozen=True)
class ProbeSplit:
    """The rows of a split.

    Attributes:
        batches: The rows in batches of similar length.
        labels: `[rows]`, int64. The class of each row, in the order of the batches.
    """

    batches: list[Batch]
    labels: Tensor


class Probes(Callback):
    """Trains a linear classifier on the encoder's vectors every n steps, and logs its accuracy.

    The classifier is a ridge regression to the classes, solved exactly. One reads the mean of a
    text's vectors, another one the vector of [CLS]. Training is not changed by it: no random number
    is drawn, and no weight is touched. In training on several processes, the first one computes it.

    Args:
        train: A file with texts and classes, as of `data=classification`, to train the classifier.
        validation: Another one, for its accuracy.
        text_column: The column with the text.
        text_pair_column: The column with the second text, if any.
        label_column: The column with the class.
        every_n_steps: The number of steps between two probes. There is also one before the first
            step.
        batch_size: The maximum number of texts per forward pass.
    """

    def __init__(
        self,
        train: str,
        validation: str,
        text_column: str = "text",
        text_pair_column: str | None = None,
        label_column: str = "label",
        every_n_steps: int = 1000,
        batch_size: int = 64,
    ) -> None:
        self.files = {"train": train, "validation": validation}
        self.columns = {
            "text_column": text_column,
            "text_pair_column": text_pair_column,
            "label_column": label_column,
        }
        self.every_n_steps = every_n_steps
        self.batch_size = batch_size
        self.seconds = 0.0
        self._splits: dict[str, ProbeSplit] = {}
        self._num_classes = 0
        self._began = 0.0
        self._number = 0
        self._has_warned = False

    def check_columns(self, key: str) -> None:
        """Checks that the files have the columns, before other processes are started.

        Args:
            key: The key of the callback, for messages.

        Raises:
            DataError: A file has not, or cannot be read.
        """
        for file in self.files.values():
            present = read_file(file).columns
            for name, column in self.columns.items():
                # Without any columns, the error of the first row says more.
                if column is not None and present and column not in present:
                    raise DataError(
                        f"{key}.{name}={column}: {file} has no such column; it has "
                        f"{', '.join(present)}"
                    )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Reads the files, on every process, so that all of them end if a file cannot be used.

        Raises:
            ConfigError: The encoder has no segments for pairs of texts.
            DataError: A file cannot be used.
        """
        if stage != "fit" or self._splits:
            return
        assert isinstance(pl_module, TaskModule)
        if self.columns["text_pair_column"] and pl_module.encoder.config.type_vocab_size == 1:
            raise ConfigError(
                f"callbacks.probes.text_pair_column={self.columns['text_pair_column']} needs two "
                "segment ids, but encoder.type_vocab_size=1"
            )
        datamodule = cast(StreamDataModule, trainer.datamodule)  # type: ignore[attr-defined]
        features = ClassificationFeatures(
            datamodule.tokenizer, max_seq_length=datamodule.max_seq_length, **self.columns
        )
        # Lightning moves the module to its device after this hook.
        is_on_cpu = trainer.strategy.root_device.type == "cpu"
        self._splits = {
            split: self._read(
                split, features, TOKENS_ON_CPU if is_on_cpu else None, trainer.is_global_zero
            )
            for split in ("train", "validation")
        }
        self._num_classes = len(features.label_names or ())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock, and probes the weights before the first step."""
        self._began = time.perf_counter()
        if trainer.global_step == 0:
            self._probe(trainer, pl_module, 0)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: StepBatch[Any],
        batch_idx: int,
    ) -> None:
        """Probes the weights every n steps, before a checkpoint of the step is saved."""
        if (batch.index + 1) % self.every_n_steps == 0:
            self._probe(trainer, pl_module, batch.index + 1)

    def _read(
        self,
        split: str,
        features: ClassificationFeatures,
        max_tokens: int | None,
        is_first_process: bool,
    ) -> ProbeSplit:
        file = self.files[split]
        rows = features.read_rows(file)
        is_validation = split == "validation"
        examples, num_unlabelled = RowStore(features, None).read(rows, check=is_validation)
        notes = [f"{num_unlabelled:,} rows without labels are left out"] if num_unlabelled else []
        if is_validation:
            unknown = features.count_unknown(file, examples)
            notes += [describe_unknown(unknown)] if unknown else []
        else:
            features.learn_labels(examples, rows.class_names)
            names = features.label_names or []
            if len(names) < 2:
                raise DataError(
                    f"callbacks.probes.train={file} has {len(names)} different labels but needs "
                    "two or more"
                )
        for note in notes if is_first_process else ():
            say(f"callbacks.probes.{split}={file}: {note}")
        encoded = features.encode(examples, is_labelled=True)
        source = LabelledSource(encoded, is_training=False)
        batches = [
            source.build([span], is_training=False)
            for span in source.evaluation_spans(self.batch_size, max_tokens)
        ]
        return ProbeSplit(batches, torch.cat([cast(Any, batch).labels for batch in batches]))

    def _probe(self, trainer: Trainer, pl_module: LightningModule, step: int) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, TaskModule)
        began = time.perf_counter()
        with untouched(pl_module), trainer.precision_plugin.forward_context():
            vectors = {split: _vectors(pl_module, each) for split, each in self._splits.items()}
        labels = {split: each.labels for split, each in self._splits.items()}
        accuracies = {
            f"probe/{name}_accuracy": accuracy_of_ridge(
                *(vectors["train"][name], labels["train"]),
                *(vectors["validation"][name], labels["validation"]),
                self._num_classes,
            )
            for name in ("mean", "cls")
        }
        self.seconds += time.perf_counter() - began
        share = self.seconds / (time.perf_counter() - self._began)
        cost = {"train/probe_seconds": self.seconds, "train/probe_share": share}
        for name, value in {**accuracies, **cost}.items():
            logged = torch.tensor(value, dtype=torch.float64)
            if step:
                pl_module.log(name, logged, logger=False, on_epoch=False, rank_zero_only=True)
        for logger in trainer.loggers:
            logger.log_metrics({**accuracies, **cost}, step=step)
        self._number += 1
        self._warn(share)

    def _warn(self, share: float) -> None:
        """Says once that probes take too long; not before there were some intervals to judge by."""
        if self._number > 3 and share > LARGEST_SHARE and not self._has_warned:
            say(
                f"probes take {share:.1%} of the time; for less than {LARGEST_SHARE:.0%}, set "
                f"callbacks.probes.every_n_steps to more than {self.every_n_steps}, or use fewer "
                "rows"
            )
            self._has_warned = True


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Computes without gradients and dropout, and leaves modes and random states as they were."""
    modes = {each: each.training for each in module.modules()}
    device = next(module.parameters()).device
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            module.eval()
            yield
    finally:
        for each, mode in modes.items():
            each.training = mode


def _vectors(module: TaskModule[Any], split: ProbeSplit) -> dict[str, Tensor]:
    """Returns the mean of each row's vectors and that of [CLS], `[rows, hidden]`, on the host."""
    found: dict[str, list[Tensor]] = {"mean": [], "cls": []}
    for batch in split.batches:
        moved = batch.to(module.device)
        hidden_states = module.encode(moved).sequence_output
        found["mean"].append(means(hidden_states, moved.packing))
        found["cls"].append(first_tokens(hidden_states, moved.packing))
    return {name: torch.cat(parts).cpu().double() for name, parts in found.items()}


def accuracy_of_ridge(
    train: Tensor,
    train_labels: Tensor,
    validation: Tensor,
    validation_labels: Tensor,
    num_classes: int,
) -> float:
    """Trains a ridge regression to the classes and returns its accuracy.

    Args:
        train: `[rows, features]`, float64.
        train_labels: `[rows]`, int64.
        validation: `[other rows, features]`, float64.
        validation_labels: `[other rows]`, int64; one that is not less than `num_classes` is wrong.
        num_classes: The number of classes.

    Returns:
        The share of the other rows whose class has the largest value; NaN if a feature is not a
        finite number, as after a divergence.
    """
    if not (train.isfinite().all() and validation.isfinite().all()):
        return float("nan")
    mean = train.mean(dim=0)
    deviation = train.std(dim=0, correction=0).clamp(min=1e-12)
    features = (train - mean) / deviation
    targets = nn.functional.one_hot(train_labels, num_classes).to(features.dtype)
    center = targets.mean(dim=0)
    gram = features.T @ features
    gram.diagonal().add_(REGULARIZATION * len(features))
    weights = torch.linalg.solve(gram, features.T @ (targets - center))
    values = (validation - mean) / deviation @ weights + center
    return float((values.argmax(dim=1) == validation_labels).double().mean())
