"""The base of all DataModules: loaders over sources, and the position in the training stream."""

import sys
from dataclasses import replace
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningDataModule
from tokenizers import Tokenizer
from torch.utils.data import DataLoader

from clozekit.config.checks.checking import checked
from clozekit.config.data import StreamConfig
from clozekit.config.phases import PlannedPhase, planned
from clozekit.data.batch import Batch
from clozekit.data.loader import TrainingLoader, loader_options
from clozekit.data.order import Position
from clozekit.data.step import EvaluationBatch
from clozekit.data.stream import BatchShape, EvaluationStream, Phase, Source, TrainingStream
from clozekit.environment import cores_per_process

MOST_WORKERS = 4
"""The maximum default for `num_workers`; more workers do not speed up training."""


class StreamDataModule(LightningDataModule):
    """Loads batches from sources of samples. Subclasses set up the sources and the tokenizer.

    Its options are declared in `config_class`.

    Attributes:
        config: The options.
        position: The position in the stream after the last optimizer step; saved in checkpoints.
        overfit_steps: The number of steps that training repeats; None to use all of the data.
        only_phase: The index of the phase that all steps are of, to measure them; None for the
            phases in their order.
        data_hash: A hash of the data, if known.
        sources: The source of each split: `train`, `validation` and, if any, `test`.
        source_names: The names of the sources of a mixture, if any.
        source_shards: For each split, the indices of the shards of each source of a mixture.
    """

    config_class: ClassVar[type[StreamConfig]] = StreamConfig
    config: StreamConfig

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = checked("data", self.config_class, options)
        self.seed = self.config.seed
        self.global_batch_size = self.config.global_batch_size
        self.micro_batch_size = self.config.micro_batch_size
        self.num_workers = self.config.num_workers
        self.prefetch_factor = self.config.prefetch_factor
        self.max_seq_length = self.config.max_seq_length
        self.data_hash: str | None = None
        self.position = Position()
        self.overfit_steps: int | None = None
        self.only_phase: int | None = None
        self.sources: dict[str, Source] = {}
        self.source_names: tuple[str, ...] = ()
        self.source_shards: dict[str, tuple[range, ...]] = {}

    tokenizer: Tokenizer

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return max(self.tokenizer.get_vocab().values()) + 1

    def phases(self, max_steps: int, rank: int, world_size: int) -> list[Phase]:
        """Returns the phases of training; one by default.

        Args:
            max_steps: The number of optimizer steps.
            rank: The rank of this process.
            world_size: The number of processes.

        Raises:
            ConfigError: A micro-batch would be empty.
        """
        shape = BatchShape(self.global_batch_size, self.micro_batch_size, rank, world_size)
        return [Phase(self.sources["train"], shape)]

    def planned_phases(self, max_steps: int) -> list[PlannedPhase]:
        """Returns the phases of a run with their steps, for plans and summaries.

        Args:
            max_steps: The number of optimizer steps.
        """
        return planned(self.config.phase_settings(), max_steps)

    def phase_at(self, step: int, max_steps: int) -> int:
        """Returns the number of the phase, from 1, of a step, from 0, of a run of this length."""
        begun = [p.number for p in self.planned_phases(max_steps) if p.first_step <= max(step, 0)]
        return begun[-1]

    @property
    def is_local(self) -> bool:
        """Whether the data can be looked at before training without fetching it from a store."""
        return True

    def steps_per_epoch(self) -> float:
        """Returns the number of optimizer steps per pass over the training data."""
        source = self.sources["train"]
        num_samples = sum(source.num_samples(0, shard) for shard in range(source.num_shards))
        return num_samples / self.global_batch_size

    def unigram_entropy(self) -> float | None:
        """Returns the entropy of the frequencies of the tokens, in nats; None if unknown."""
        return None

    def check_samples(self) -> None:
        """Checks that there is something to train on. Labelled rows are checked when read.

        Raises:
            DataError: A split has no samples.
        """

    def check_files(self) -> None:
        """Checks that the files in use have not been cut, after a failure that says no reason.

        Raises:
            DataError: One has been.
        """

    def task_arguments(self) -> dict[str, Any]:
        """Returns arguments of the task's constructor that depend on the data."""
        return {}

    def facts(self) -> dict[str, str]:
        """Returns a description of the data to print before training, by name."""
        return {}

    def train_dataloader(self) -> TrainingLoader:
        """Returns an endless loader of this process's share of each step, from `position` on."""
        # Without a Trainer, as in tests, the number of steps is not known.
        max_steps = sys.maxsize if self.trainer is None else self.trainer.max_steps
        phases = self.phases(max_steps, *self._rank())
        if self.only_phase is not None:
            phases = [replace(phases[self.only_phase], first_step=0)]
        stream = TrainingStream(phases, self.seed, self.position, self.overfit_steps)
        gpu = self._gpu()
        options = loader_options(self._num_workers(), gpu is not None, self.prefetch_factor)
        return TrainingLoader(stream, lambda: self.position, gpu, **options)

    def val_dataloader(self) -> DataLoader[EvaluationBatch[Batch]]:
        """Returns a loader of this process's share of the validation split."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[EvaluationBatch[Batch]]:
        """Returns a loader of this process's share of the test split."""
        return self._evaluation_loader("test")

    def num_evaluation_batches(self, split: str, rank: int, world_size: int) -> int:
        """Returns the number of batches of a split on a process; plans or reads all shards."""
        return self._evaluation_stream(split, rank, world_size).num_batches()

    def state_dict(self) -> dict[str, Any]:
        """Returns the position as plain integers."""
        return {"position": self.position.as_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores a saved position."""
        self.position = Position.from_dict(state_dict["position"])

    def _evaluation_loader(self, split: str) -> DataLoader[EvaluationBatch[Batch]]:
        stream = self._evaluation_stream(split, *self._rank())
        # Building evaluation batches is cheap, and workers would be idle during training.
        return DataLoader(stream, **loader_options(0, self._gpu() is not None))

    def _evaluation_stream(self, split: str, rank: int, world_size: int) -> EvaluationStream:
        return EvaluationStream(
            self.sources[split],
            self.micro_batch_size,
            rank,
            world_size,
            self.source_shards.get(split, ()),
        )

    def _rank(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _num_workers(self) -> int:
        """Returns the number of workers. The default on the CPU is 0: the model needs the cores."""
        if self.num_workers is not None:
            return self.num_workers
        if self.trainer is None or self.trainer.strategy.root_device.type == "cpu":
            return 0
        processes = max(1, self.trainer.num_devices)
        return min(MOST_WORKERS, cores_per_process(processes))

    def _gpu(self) -> torch.device | None:
        """Returns the CUDA device that this process trains on, if any."""
        if self.trainer is None or self.trainer.strategy.root_device.type != "cuda":
            return None
        return self.trainer.strategy.root_device
