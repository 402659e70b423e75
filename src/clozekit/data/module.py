"""What every DataModule shares: the loaders over its sources, and its position in the stream."""

import os
import sys
from dataclasses import asdict
from typing import Any, ClassVar

from lightning.pytorch import LightningDataModule
from tokenizers import Tokenizer
from torch.utils.data import DataLoader

from clozekit.config.checking import checked
from clozekit.config.data import StreamConfig
from clozekit.data.batch import Batch
from clozekit.data.order import Position
from clozekit.data.step import EvaluationBatch
from clozekit.data.stream import (
    BatchShape,
    EvaluationStream,
    Phase,
    Source,
    TrainingLoader,
    TrainingStream,
    loader_options,
)

MOST_WORKERS = 4
"""Workers of a process where their number is not given; more build no sooner than needed."""


class StreamDataModule(LightningDataModule):
    """Reads sources of samples. A DataModule of a task sets them up, and its tokenizer.

    Its options are declared in `config_class`.

    Attributes:
        config: The options.
        position: Where the stream goes on after the last optimizer step; saved in checkpoints.
        overfit_steps: How many steps are trained on again and again; None for all of the data.
        data_hash: What names the data, where it has a name.
        sources: The source of each split: `train`, `validation`, and `test` where there is one.
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
        self.sources: dict[str, Source] = {}

    tokenizer: Tokenizer

    @property
    def vocab_size(self) -> int:
        """The number of token ids."""
        return self.tokenizer.get_vocab_size()

    def phases(self, max_steps: int, rank: int, world_size: int) -> list[Phase]:
        """Gives the phases of a training of so many steps on so many processes; it has one.

        Raises:
            ConfigError: A micro-batch would be empty.
        """
        shape = BatchShape(self.global_batch_size, self.micro_batch_size, rank, world_size)
        return [Phase(self.sources["train"], shape)]

    @property
    def micro_batch_tokens(self) -> int:
        """The most tokens of one forward pass."""
        return min(self.micro_batch_size, self.global_batch_size) * self.max_seq_length

    def steps_per_epoch(self) -> float:
        """Gives the optimizer steps of a pass over the training data."""
        source = self.sources["train"]
        num_samples = sum(source.num_samples(0, shard) for shard in range(source.num_shards))
        return num_samples / self.global_batch_size

    def task_arguments(self) -> dict[str, Any]:
        """Gives what the task has to know of the data, as arguments of its constructor."""
        return {}

    def facts(self) -> dict[str, str]:
        """Gives what a person should know of the data before training, by name."""
        return {}

    def train_dataloader(self) -> TrainingLoader:
        """Gives this process's share of every step from `position` on, without end."""
        # Without a Trainer, as in a test, the end is not known.
        max_steps = sys.maxsize if self.trainer is None else self.trainer.max_steps
        phases = self.phases(max_steps, *self._rank())
        stream = TrainingStream(phases, self.seed, self.position, self.overfit_steps)
        options = loader_options(self._num_workers(), self._pins_memory(), self.prefetch_factor)
        return TrainingLoader(stream, lambda: self.position, **options)

    def val_dataloader(self) -> DataLoader[EvaluationBatch[Batch]]:
        """Gives this process's share of the validation split."""
        return self._evaluation_loader("validation")

    def test_dataloader(self) -> DataLoader[EvaluationBatch[Batch]]:
        """Gives this process's share of the test split."""
        return self._evaluation_loader("test")

    def num_evaluation_batches(self, split: str, rank: int, world_size: int) -> int:
        """Counts a process's batches of a split, which reads all of its shards' lengths."""
        return self._evaluation_stream(split, rank, world_size).num_batches()

    def state_dict(self) -> dict[str, Any]:
        """Gives the position, as plain integers."""
        return {"position": asdict(self.position)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes to a saved position."""
        self.position = Position(**state_dict["position"])

    def _evaluation_loader(self, split: str) -> DataLoader[EvaluationBatch[Batch]]:
        stream = self._evaluation_stream(split, *self._rank())
        # Evaluation builds little; its workers would sit idle all through training.
        return DataLoader(stream, **loader_options(0, self._pins_memory()))

    def _evaluation_stream(self, split: str, rank: int, world_size: int) -> EvaluationStream:
        return EvaluationStream(self.sources[split], self.micro_batch_size, rank, world_size)

    def _rank(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _num_workers(self) -> int:
        """Gives the workers of this process; on the CPU they would take cores from the model."""
        if self.num_workers is not None:
            return self.num_workers
        if self.trainer is None or self.trainer.strategy.root_device.type == "cpu":
            return 0
        processes = max(1, self.trainer.num_devices)
        return min(MOST_WORKERS, (os.cpu_count() or 1) // processes)

    def _pins_memory(self) -> bool:
        if self.trainer is None:
            return False
        return self.trainer.strategy.root_device.type == "cuda"
