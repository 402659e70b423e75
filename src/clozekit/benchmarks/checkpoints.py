"""The checkpoints that are benchmarked: whether they exist, their labels and their checksums."""

import re
from collections.abc import Sequence
from pathlib import Path

from clozekit.benchmarks.record import CheckpointRecord
from clozekit.config.benchmark import LONGEST_NAME_OF_TASK
from clozekit.errors import ConfigError, DataError
from clozekit.files import sha256_of, sha256_of_file
from clozekit.runs.folder import RunFolder

_WEIGHTS = ("*.safetensors", "*.bin")
_OF_MODEL_FOLDERS = ("config.json", "modules.json")
_SETTINGS = (
    *("config.json", "modules.json", "sentence_bert_config.json", "tokenizer*.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model"),
)
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def read_checkpoints(sources: Sequence[str]) -> list[CheckpointRecord]:
    """Finds the checkpoints and gives each a label of its own.

    Args:
        sources: The checkpoints as given.

    Raises:
        ConfigError: A checkpoint is given twice.
        DataError: A checkpoint does not exist.
    """
    for number, source in enumerate(sources):
        twice = [s for s in sources[:number] if Path(s).resolve() == Path(source).resolve()]
        if twice:
            raise ConfigError(f"checkpoints: {source} is given twice")
    checksums = [_checksum(source) for source in sources]
    labels = _labels(sources)
    return [
        CheckpointRecord(label=label, path=source, checksum=checksum, settings=_settings(source))
        for label, source, checksum in zip(labels, sources, checksums, strict=True)
    ]


def _labels(sources: Sequence[str]) -> list[str]:
    """Returns the last parts of the paths, with as many parts as make them differ."""
    parts = [[_plain(part) for part in _named_parts(source)] for source in sources]
    for number in range(1, 4):
        labels = [_shortened("-".join(of_one[-number:])) for of_one in parts]
        if len({label.lower() for label in labels}) == len(labels):
            return labels
    return [f"{_shortened(p[-1], 4)}-{number}" for number, p in enumerate(parts, start=1)]


def _named_parts(source: str) -> list[str]:
    path = Path(source) if Path(source).name not in ("", ".", "..") else Path(source).resolve()
    parts = [part for part in path.parts if part not in ("/", ".", "..")]
    if path.suffix == ".ckpt":
        # runs/first/checkpoints/last.ckpt is `first-last`.
        parts = [*parts[:-1], path.stem]
        parts = [part for part in parts if part != "checkpoints"]
        return [*parts[:-2], "-".join(parts[-2:])]
    return parts


def _plain(text: str) -> str:
    return "-".join(re.findall(r"[A-Za-z0-9]+", text)) or "checkpoint"


def _shortened(label: str, less: int = 0) -> str:
    return label[-(LONGEST_NAME_OF_TASK - less) :].strip("-") or "checkpoint"


def _settings(source: str) -> str:
    """Returns the checksum of the settings in a folder of transformers; empty if it is none."""
    path = Path(source)
    if not any((path / name).is_file() for name in _OF_MODEL_FOLDERS):
        return ""
    files = sorted({file for pattern in _SETTINGS for file in path.rglob(pattern)})
    names = (f"{file.relative_to(path)} {sha256_of_file(file)}\n" for file in files)
    return sha256_of(name.encode() for name in names)


def _checksum(source: str) -> str:
    """Returns the checksum of a checkpoint's weights, or its revision on the hub."""
    path = Path(source)
    if path.is_file():
        return sha256_of_file(path)
    run = RunFolder(path)
    if run.checkpoints.is_dir():
        for file in (run.best_checkpoint, run.last_checkpoint):
            if file.is_file():
                return sha256_of_file(file)
        raise DataError(f"checkpoint={source} has no checkpoints/best.ckpt or last.ckpt")
    if any((path / name).is_file() for name in _OF_MODEL_FOLDERS):
        files = sorted(file for pattern in _WEIGHTS for file in path.rglob(pattern))
        if not files:
            raise DataError(f"checkpoint={source} is a folder of transformers without weights")
        return sha256_of(sha256_of_file(file).encode() for file in files)
    if path.exists() or not _HUB_NAME.fullmatch(source):
        raise DataError(
            f"checkpoint={source} is neither a run's folder, a .ckpt file, nor a folder of "
            "transformers"
        )
    # Imported here because it imports torch.
    from clozekit.interop.model_folder import download

    return download(source).name
