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
from clozekit.corpus.documents import Partition
from clozekit.corpus.manifest import FORMAT_VERSION, TOKENIZER_FILE, Split
from clozekit.files import write_json


class Piece(NamedTuple):
    """Some documents of a partition, stored in one file.

    Attributes:
        name: The stem of the piece's file names; sorted names are in the order of the text.
        first_row: The index of the piece's first document in the corpus.
        rows: The number of documents in the piece.
    """

    name: str
    first_row: int
    rows: int


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

    def pieces(self) -> list[Piece]:
        """Returns the pieces; available after all partitions are read."""
        return [Piece(*piece) for piece in self.read_json("pieces.json")]

    def shard_plans(self) -> list[ShardPlan]:
        """Returns the shards to write; available after all pieces are tokenized."""
        return [ShardPlan(*shard) for shard in self.read_json("shards.json")]

    def splits(self) -> NDArray[np.uint8]:
        """Returns `[documents]`: the split of each document, memory-mapped."""
        splits: NDArray[np.uint8] = np.load(self.folder / "splits.npy", mmap_mode="r")
        return splits

    def documents(self, piece: Piece) -> pa.RecordBatch:
        """Returns a piece's documents, memory-mapped: id, key, content and sentences."""
        return map_batch(self.file("documents", f"{piece.name}.arrow"))

    def tokenizer(self) -> Tokenizer:
        """Loads the tokenizer; available after it is trained or copied."""
        return Tokenizer.from_file(str(self.tokenizer_file))


def map_batch(path: Path) -> pa.RecordBatch:
    """Memory-maps an Arrow IPC file with one record batch."""
    batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    # A work folder may come from someone else, and Arrow trusts the lengths in a file.
    batch.validate(full=True)
    return batch
