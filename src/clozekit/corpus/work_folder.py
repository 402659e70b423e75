"""The hidden work folder of an unfinished corpus: the plan and the files of each stage."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.division import Division, Piece
from clozekit.corpus.documents import Partition
from clozekit.corpus.manifest import FORMAT_VERSION, TOKENIZER_FILE, Split
from clozekit.files import write_atomically, write_json


class ShardPlan(NamedTuple):
    """A shard to write: shard `number`, from 0, of a split's `num_shards` shards."""

    split: Split
    number: int
    num_shards: int

    @property
    def file(self) -> str:
        """The shard's file name."""
        return f"{self.split}-{self.number:05d}.arrow"


@dataclass(frozen=True)
class Plan:
    """What to read. The results of an interrupted run are reused if its plan was the same.

    Attributes:
        partitions: The partitions of the source.
        partition_bytes: The target size of a piece.
        inputs: The names, sizes and modification times of the input files.
        format_version: The version of the corpus folder's format.
    """

    partitions: list[Partition]
    partition_bytes: int
    inputs: list[Any]
    format_version: int = FORMAT_VERSION

    def to_json(self) -> dict[str, Any]:
        """Returns the plan in JSON types."""
        plan: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plan


@dataclass(frozen=True)
class Work:
    """The paths and files of a corpus that is being prepared.

    Attributes:
        out: The corpus folder.
        config: The configuration.
    """

    out: Path
    config: PrepareConfig

    @property
    def folder(self) -> Path:
        """The hidden work folder."""
        return self.out / ".work"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer file, in its final location."""
        return self.out / TOKENIZER_FILE

    def file(self, stage: str, name: str) -> Path:
        """Returns the path of a stage's file, and creates its folder."""
        path = self.folder / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, value: Any) -> None:
        """Saves a value for later tasks."""
        write_json(self.folder / name, value)

    def read_json(self, name: str) -> Any:
        """Reads a saved value."""
        return json.loads((self.folder / name).read_text())

    def plan(self) -> Plan:
        """Reads the plan."""
        plan = self.read_json("plan.json")
        return Plan(**plan | {"partitions": [Partition(*part) for part in plan["partitions"]]})

    def partitions(self) -> list[Partition]:
        """Returns the partitions to read; available after large files are cut."""
        return [Partition(*partition) for partition in self.read_json("partitions.json")]

    def division(self) -> Division:
        """Returns how documents are divided; available after all partitions are read."""
        groups, num_ranges, num_buckets = self.read_json("division.json")
        pieces = [[Piece(*piece) for piece in group] for group in groups]
        return Division(pieces, num_ranges, num_buckets)

    def shard_plans(self) -> list[ShardPlan]:
        """Returns the shards to write; available after all pieces are tokenized."""
        return [ShardPlan(*shard) for shard in self.read_json("shards.json")]

    def documents(self, piece: Piece) -> pa.RecordBatch:
        """Returns a piece's documents, memory-mapped: id, key, content and sentences."""
        return map_slice(self.file("documents", f"{piece.name}.arrow"))

    def tokenizer(self) -> Tokenizer:
        """Loads the tokenizer; available after it is trained or copied."""
        return Tokenizer.from_file(str(self.tokenizer_file))


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array to an `.npy` file, atomically."""
    with write_atomically(path) as file:
        np.save(file, array, allow_pickle=False)


def map_slice(path: Path, first: int = 0, last: int | None = None) -> pa.RecordBatch:
    """Memory-maps rows of an Arrow IPC file with one record batch, from `first` up to `last`."""
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)[first:last]
    # A work folder may come from someone else, and Arrow trusts the lengths in a file.
    batch.validate(full=True)
    return batch
