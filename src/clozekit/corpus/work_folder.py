"""The work folder of an unfinished corpus: the plan and the files of each stage."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.division import Division, Piece
from clozekit.corpus.manifest import FORMAT_VERSION, TOKENIZER_FILE, Split
from clozekit.corpus.sources.documents import Partition
from clozekit.errors import StoreError
from clozekit.files import sha256_of, write_atomically, write_json
from clozekit.storage import remote_files
from clozekit.storage.urls import is_url, join

WORK_FOLDER = ".work"
PLAN_FILE = "plan.json"
_LOGS = "logs"


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
        config: The configuration.
        folder: The work folder.
        out: The local folder of the corpus's files: `out`, or where they are until they are
            uploaded.
    """

    config: PrepareConfig
    folder: Path
    out: Path

    @classmethod
    def of(cls, config: PrepareConfig) -> Self:
        """Returns the work of a configuration. No folder is created."""
        # A process on another machine may have another current folder.
        out = config.out if is_url(config.out) else str(Path(config.out).absolute())
        if config.work_dir is None:
            return cls(config, Path(out) / WORK_FOLDER, Path(out))
        # Several corpora may be prepared with one `work_dir`.
        digest = sha256_of([out.rstrip("/").encode()])
        folder = Path(config.work_dir).absolute() / f"prepare-{digest[:16]}"
        return cls(config, folder, folder / "corpus" if is_url(out) else Path(out))

    @property
    def is_stored(self) -> bool:
        """Whether the corpus is written to a store."""
        return is_url(self.config.out)

    def upload(self, name: str) -> None:
        """Uploads a finished file of the corpus, if it is written to a store."""
        if self.is_stored:
            remote_files.upload(self.out / name, join(self.config.out, name))

    def check_uploaded(self, *names: str) -> None:
        """Checks that files of the corpus are in the store, just before its manifest says so.

        Raises:
            StoreError: Somebody has removed one.
        """
        if missing := sorted(set(names) - set(remote_files.names(self.config.out))):
            self.forget_shards()
            raise StoreError(
                f"{join(self.config.out, missing[0])} was uploaded, but does not exist any more; "
                "run the same command again to write the shards again"
            )

    def logs(self, task: str) -> Path:
        """Returns the folder that tells which tasks of a stage are completed."""
        return self.folder / _LOGS / task

    def forget_shards(self) -> None:
        """Lets all shards be written again."""
        shutil.rmtree(self.logs("build_shard"), ignore_errors=True)

    @property
    def tokenizer_file(self) -> Path:
        """The local tokenizer file."""
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
        plan = self.read_json(PLAN_FILE)
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
