"""The hidden folder of a corpus in the making: what is planned, and what each stage left there."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.documents import Partition
from clozekit.corpus.manifest import FORMAT_VERSION, TOKENIZER_FILE, Split
from clozekit.files import write_json


class Piece(NamedTuple):
    """Some documents of a partition, in a file of their own.

    Attributes:
        name: The stem of all files about it; pieces in the order of names are in the order of text.
        first_row: The number of the piece's first document in the corpus.
        rows: The number of its documents.
    """

    name: str
    first_row: int
    rows: int


class ShardPlan(NamedTuple):
    """A shard to write: number `number`, from 0, of the `num_shards` shards of a split."""

    split: Split
    number: int
    num_shards: int

    @property
    def file(self) -> str:
        """The name of the shard's file."""
        return f"{self.split}-{self.number:05d}.arrow"


@dataclass(frozen=True)
class Plan:
    """What is read, and how; a killed run's work is of use if its plan was the same.

    Attributes:
        partitions: The parts of the source.
        partition_bytes: How much text to put in a piece.
        inputs: Names, sizes and times of the files that are read.
        format_version: The version of the corpus folder's format.
    """

    partitions: list[Partition]
    partition_bytes: int
    inputs: list[Any]
    format_version: int = FORMAT_VERSION

    def to_json(self) -> dict[str, Any]:
        """The plan in the types that JSON has."""
        plan: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plan


@dataclass(frozen=True)
class Work:
    """Where things are while a corpus is made.

    Attributes:
        out: The corpus folder.
        config: The configuration.
    """

    out: Path
    config: PrepareConfig

    @property
    def folder(self) -> Path:
        """The hidden folder."""
        return self.out / ".work"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer, already in its final place."""
        return self.out / TOKENIZER_FILE

    def file(self, stage: str, name: str) -> Path:
        """A file that a stage leaves, in a folder of its own."""
        path = self.folder / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, name: str, value: Any) -> None:
        """Leaves a value for the tasks to come."""
        write_json(self.folder / name, value)

    def read_json(self, name: str) -> Any:
        """Reads a value that was left."""
        return json.loads((self.folder / name).read_text())

    def plan(self) -> Plan:
        """The plan, once it is made."""
        plan = self.read_json("plan.json")
        return Plan(**plan | {"partitions": [Partition(*part) for part in plan["partitions"]]})

    def pieces(self) -> list[Piece]:
        """The pieces, once all partitions are read."""
        return [Piece(*piece) for piece in self.read_json("pieces.json")]

    def shard_plans(self) -> list[ShardPlan]:
        """The shards to write, once all pieces are tokenised."""
        return [ShardPlan(*shard) for shard in self.read_json("shards.json")]

    def splits(self) -> NDArray[np.uint8]:
        """`[documents]`: the split of each document, once it is decided; memory-mapped."""
        splits: NDArray[np.uint8] = np.load(self.folder / "splits.npy", mmap_mode="r")
        return splits

    def documents(self, piece: Piece) -> pa.RecordBatch:
        """A piece's documents, memory-mapped: id, key, content and sentences."""
        return map_batch(self.file("documents", f"{piece.name}.arrow"))

    def tokenizer(self) -> Tokenizer:
        """The tokenizer, once it is trained or copied."""
        return Tokenizer.from_file(str(self.tokenizer_file))


def map_batch(path: Path) -> pa.RecordBatch:
    """Maps an Arrow IPC file of one record batch into memory."""
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
