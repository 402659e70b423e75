"""Checkpoint files: whole or not there, plain, and refused by name."""

import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from clozekit.errors import DataError
from clozekit.runs.checkpoint_file import (
    FORMAT_VERSION,
    META_KEY,
    AtomicCheckpointIO,
    CheckpointMeta,
    find_checkpoint,
    load_checkpoint,
)
from clozekit.runs.old_formats import OLDEST_FORMAT

TOKENIZER = '{"model": {"type": "WordPiece"}}'


def content(**meta: Any) -> dict[str, Any]:
    """What Lightning and `CheckpointMeta` put into a checkpoint, in small."""
    checkpoint: dict[str, Any] = {
        "global_step": 3,
        "state_dict": {"model.encoder.weight": torch.arange(3.0), "metrics.total": torch.ones(1)},
    }
    callback = CheckpointMeta({"seed": 1}, TOKENIZER, "abc", {"label_names": ["no", "yes"]})
    callback.on_save_checkpoint(None, None, checkpoint)  # type: ignore[arg-type]
    checkpoint[META_KEY] |= meta
    return checkpoint


def save(path: Path, checkpoint: dict[str, Any]) -> Path:
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    return path


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save(tmp_path / "new" / "a.ckpt", content()))
    assert checkpoint.path == tmp_path / "new" / "a.ckpt"
    assert (checkpoint.step, checkpoint.config) == (3, {"seed": 1})
    assert (checkpoint.tokenizer_json, checkpoint.label_names) == (TOKENIZER, ["no", "yes"])
    assert checkpoint.weights("model.encoder.").keys() == {"weight"}
    assert torch.equal(checkpoint.weights("model.")["encoder.weight"], torch.arange(3.0))


def test_saving_leaves_no_other_file(tmp_path: Path) -> None:
    save(tmp_path / "a.ckpt", content())
    save(tmp_path / "a.ckpt", content())
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_old_file_stays_when_saving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.ckpt", content())
    before = path.read_bytes()

    def fail_half_way(checkpoint: object, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fail_half_way)
    with pytest.raises(DataError, match=r"a\.ckpt cannot be written: .*No space left"):
        AtomicCheckpointIO().save_checkpoint(content(), path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_the_temporary_file_lies_beside_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(checkpoint: object, file: Any) -> None:
        seen.append(Path(file.name).parent)

    monkeypatch.setattr(torch, "save", look)
    AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt")
    assert seen == [tmp_path]


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", content())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"a\.ckpt is not a complete checkpoint"):
        load_checkpoint(path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(content() | {"extra": Path("a")}, path)
    with pytest.raises(DataError, match=r"a\.ckpt has pickled objects, .* nothing in it was"):
        load_checkpoint(path)


@pytest.mark.parametrize("foreign", [{"state_dict": {}}, [1, 2], torch.ones(2)])
def test_another_programs_file_is_refused(foreign: object, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(foreign, path)
    with pytest.raises(DataError, match=r"model\.pt is not a clozekit checkpoint"):
        load_checkpoint(path)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", content(format_version=FORMAT_VERSION + 1))
    with pytest.raises(DataError, match=f"format version {FORMAT_VERSION + 1}, .* up to") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_format_that_is_too_old_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ckpt", content(format_version=OLDEST_FORMAT - 1))
    with pytest.raises(DataError, match=f"format version {OLDEST_FORMAT - 1}, .* from") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_runs_folder_means_its_best_checkpoint_else_its_last(tmp_path: Path) -> None:
    last = save(tmp_path / "checkpoints" / "last.ckpt", content())
    assert find_checkpoint(tmp_path) == last
    best = save(tmp_path / "checkpoints" / "best.ckpt", content())
    assert find_checkpoint(tmp_path) == best
    assert find_checkpoint(last) == last


@pytest.mark.parametrize("name", ["", "nowhere", "checkpoints/best.ckpt"])
def test_no_checkpoint_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is neither a \.ckpt file nor a run's folder"):
        load_checkpoint(tmp_path / name)


def test_a_full_disk_is_told_with_the_reason(tmp_path: Path) -> None:
    large = content() | {"state_dict": {"weight": torch.zeros(100_000)}}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(DataError, match=r"a\.ckpt cannot be written: File too large$"):
            AtomicCheckpointIO().save_checkpoint(large, tmp_path / "a.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
