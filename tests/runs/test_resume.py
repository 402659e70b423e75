"""Which checkpoint a run goes on from, and what has to be the same as when it was saved."""

import copy
import errno
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.errors import ConfigError, DataError, UnreadableError
from clozekit.runs.checkpoint_file import (
    FORMAT_VERSION,
    AtomicCheckpointIO,
    Checkpoint,
    CheckpointMeta,
    load_checkpoint,
)
from clozekit.runs.resume import adopt, check_agreement, check_weights, checkpoint_to_resume
from tests.programs.commands import compose_values
from tests.programs.texts import write_labelled


def save(folder: Path, name: str, step: int, config: dict[str, Any] | None = None) -> Path:
    checkpoint: dict[str, Any] = {"global_step": step, "state_dict": {}}
    checkpoint |= {"loops": {}, "optimizer_states": [], "lr_schedulers": []}
    CheckpointMeta(config or {}, "tokenizer", "hash").on_save_checkpoint(None, None, checkpoint)  # type: ignore[arg-type]
    path = folder / "checkpoints" / f"{name}.ckpt"
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    return path


def resumed(resume: str | None, folder: Path) -> Checkpoint:
    checkpoint = checkpoint_to_resume(resume, folder)
    assert checkpoint is not None
    return checkpoint


@pytest.mark.parametrize(("now_hash", "inner"), [("hash", "weight=1"), ("other", "path=a")])
def test_a_corpus_instead_of_a_mixture_is_told(now_hash: str, inner: str, tmp_path: Path) -> None:
    one, several = {"path": "a"}, {"path": {"news": {"path": "a", "weight": 1}}}
    for before, now, message in (
        (one, several, f"data.path=a, but the configuration has data.path.news.{inner}"),
        (several, one, f"data.path.news.{inner}, but the configuration has data.path=a"),
    ):
        checkpoint = load_checkpoint(save(tmp_path, "last", 4, {"data": before}))
        with pytest.raises(ConfigError, match=re.escape(message)):
            check_agreement(checkpoint, {"data": now}, "tokenizer", now_hash)


def test_nothing_is_resumed_unasked(tmp_path: Path) -> None:
    save(tmp_path, "last", 3)
    assert checkpoint_to_resume(None, tmp_path) is None


def test_auto_takes_the_newest(tmp_path: Path) -> None:
    save(tmp_path, "best", 4)
    save(tmp_path, "step-4", 4)
    save(tmp_path, "last", 8)
    newest = save(tmp_path, "preempted", 9)
    assert resumed("auto", tmp_path).path == newest


def test_of_one_step_the_last_is_the_newest(tmp_path: Path) -> None:
    for name in ("best", "last", "step-4"):
        save(tmp_path, name, 4)
    assert resumed("auto", tmp_path).path.name == "last.ckpt"


@pytest.mark.parametrize("made", [False, True])
def test_auto_begins_where_there_is_no_checkpoint(made: bool, tmp_path: Path) -> None:
    if made:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / ".last.ckpt.12").write_bytes(b"half")
    assert checkpoint_to_resume("auto", tmp_path) is None


def test_cut_and_foreign_files_are_passed_over_with_a_warning(tmp_path: Path) -> None:
    whole = save(tmp_path, "step-4", 4)
    cut = save(tmp_path, "last", 8)
    cut.write_bytes(cut.read_bytes()[:-40])
    (tmp_path / "checkpoints" / "empty.ckpt").touch()
    with pytest.warns(UserWarning, match="skipped") as caught:
        assert resumed("auto", tmp_path).path == whole
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 2
    assert all(m.startswith("skipped: ") and "not a complete checkpoint" in m for m in messages)
    assert "empty.ckpt" in messages[0] and "last.ckpt" in messages[1]


def test_auto_does_not_begin_anew_over_checkpoints_that_are_damaged(tmp_path: Path) -> None:
    save(tmp_path, "last", 8).write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(DataError, match=r"resume=auto: .*remove its last\.ckpt to start"),
    ):
        checkpoint_to_resume("auto", tmp_path)


def test_a_checkpoint_of_a_newer_format_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "step-4", 4)
    with monkeypatch.context() as patch:
        patch.setattr("clozekit.runs.checkpoint_file.FORMAT_VERSION", FORMAT_VERSION + 1)
        save(tmp_path, "last", 8)
    with pytest.raises(UnreadableError, match=f"last.ckpt has format version {FORMAT_VERSION + 1}"):
        checkpoint_to_resume("auto", tmp_path)


def test_a_checkpoint_that_cannot_be_opened_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "step-4", 4)
    last = save(tmp_path, "last", 8)

    def fails(file: Path) -> None:
        if file == last:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("clozekit.runs.checkpoint_file.check_archive", fails)
    with pytest.raises(UnreadableError, match=r"last\.ckpt cannot be read: Permission denied"):
        checkpoint_to_resume("auto", tmp_path)


def test_a_path_is_a_file_or_a_runs_folder(tmp_path: Path) -> None:
    old = save(tmp_path / "old", "step-2", 2)
    new = save(tmp_path / "old", "last", 3)
    assert resumed(str(old), tmp_path / "new").path == old
    assert resumed(str(tmp_path / "old"), tmp_path / "new").path == new


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_a_path_without_a_checkpoint_is_told(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=f"{path}.* (has no complete|with a) checkpoint"):
        checkpoint_to_resume(str(tmp_path / path), tmp_path)


def test_a_checkpoint_of_another_run_becomes_the_last_of_the_new_one(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(save(tmp_path / "old", "step-2", 2))
    adopt(checkpoint, tmp_path / "new" / "checkpoints")
    assert resumed("auto", tmp_path / "new").path.name == "last.ckpt"
    assert resumed("auto", tmp_path / "new").step == 2
    assert checkpoint.path.is_file()


def test_an_older_checkpoint_of_the_same_run_sets_the_newer_ones_aside(tmp_path: Path) -> None:
    older = save(tmp_path, "step-2", 2)
    save(tmp_path, "best", 2)
    save(tmp_path, "step-6", 6)
    newest = save(tmp_path, "last", 8).read_bytes()
    with pytest.warns(UserWarning, match=r"step 2.*last\.ckpt \(step 8\), step-6\.ckpt \(step 6\)"):
        adopt(load_checkpoint(older), tmp_path / "checkpoints")
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        "last.ckpt.later",
        "step-2.ckpt",
        "step-6.ckpt.later",
    }
    assert (tmp_path / "checkpoints" / "last.ckpt.later").read_bytes() == newest
    assert resumed("auto", tmp_path).step == 2


def test_a_runs_own_newest_checkpoint_stays_as_it_is(tmp_path: Path) -> None:
    last = save(tmp_path, "last", 4)
    preempted = save(tmp_path, "preempted", 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adopt(load_checkpoint(preempted), tmp_path / "checkpoints")
    assert load_checkpoint(last).step == 4 and load_checkpoint(preempted).step == 6


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    first = "{ratio: 0.9, max_seq_length: 32, micro_batch_size: 8}"
    return compose_values(
        "train", "name=a", "max_steps=10", "data.path=corpus", f"data.first_phase={first}"
    )


def test_the_runs_own_key_is_named_before_one_that_repeats_it(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="was trained with global_batch_size="):
        agree(config, {"data.global_batch_size": 8, "global_batch_size": 8})


def test_a_key_that_chooses_rows_is_named_before_their_hash(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="was trained with seed=0, but the configuration has 5"):
        agree(config, {"seed": 5}, data_hash="other")
    with pytest.raises(ConfigError, match=r"was trained with data\.max_seq_length=128, but .* 64"):
        agree(config, {"data.max_seq_length": 64}, data_hash="other")


def test_a_run_with_another_encoder_class_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"encoder\._target_=clozekit"):
        agree(config, {"encoder._target_": "my_encoders.MeanEncoder"})


def agree(config: dict[str, Any], changes: dict[str, Any], **other: str) -> None:
    """Compares a checkpoint's configuration with the same, changed."""
    given = copy.deepcopy(config)
    for key, value in changes.items():
        group = given
        *parents, name = key.split(".")
        for parent in parents:
            group = group[parent]
        group[name] = value
    checkpoint = Checkpoint(Path("a.ckpt"), 3, config, {}, "tokenizer", None, "hash")
    check_agreement(
        checkpoint, given, other.get("tokenizer", "tokenizer"), other.get("data_hash", "hash")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"micro_batch_size": 4, "data.micro_batch_size": 4},
        {"data.first_phase.micro_batch_size": 16},
        {"data.num_workers": 3},
        {"trainer.devices": 2, "trainer.strategy": {"_target_": "DDPStrategy"}},
        {"name": "b", "runs_dir": "elsewhere", "resume": "auto"},
        {"data.path": "moved/corpus"},
        {"trainer.log_every_n_steps": 1, "validate_every_n_steps": 2},
    ],
)
def test_what_changes_no_sample_and_no_weight_may_differ(
    changes: dict[str, Any], config: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(config, changes)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("global_batch_size", 32),
        ("seed", 1),
        ("encoder._target_", "my_encoders.MeanEncoder"),
        ("encoder.hidden_size", 64),
        ("encoder.hidden_dropout_prob", 0.3),
        ("data.max_seq_length", 64),
        ("data.masked_lm_prob", 0.3),
        ("data.first_phase.ratio", 0.5),
        ("data.first_phase.max_seq_length", 64),
        ("task._target_", "another.Task"),
        ("optimizer.lr", 0.5),
        ("fine_tuning.layerwise_lr_decay", 0.5),
        ("fine_tuning.reinit_layers", 1),
    ],
)
def test_another_configuration_is_refused_by_its_key(
    key: str, value: object, config: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        agree(config, {key: value})
    message = str(caught.value)
    assert message.startswith(f"resume: a.ckpt was trained with {key}=")
    assert message.endswith(f", but the configuration has {value}")


def test_another_tokenizer_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"a\.ckpt was trained with another tokenizer"):
        agree(config, {}, tokenizer="other")


def test_another_corpus_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"other data \(hash hash, but .* has other\)"):
        agree(config, {}, data_hash="other")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule.decay", "cosine"),
        ("trainer.precision", "bf16-mixed"),
        ("trainer.gradient_clip_val", 5.0),
        ("divergence.max_loss", 9.0),
    ],
)
def test_what_training_may_go_on_with_changed_is_told(
    key: str, value: object, config: dict[str, Any]
) -> None:
    with pytest.warns(UserWarning, match=f"{key}=.*has {value}, which is used from now on"):
        agree(config, {key: value})


def test_a_longer_run_is_told_that_the_schedule_follows(config: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="max_steps=10, but the configuration has 20; the"):
        agree(config, {"max_steps": 20})


def test_labelled_rows_have_a_hash_of_their_content(corpus: Path, tmp_path: Path) -> None:
    def data_hash(name: str, seed: int, validation_seed: int = 9) -> str | None:
        train = write_labelled(tmp_path / f"{name}.csv", 20, seed)
        validation = write_labelled(tmp_path / "validation.csv", 8, validation_seed)
        return ClassificationDataModule(
            train=str(train),
            validation=str(validation),
            tokenizer=str(corpus / "tokenizer.json"),
            seed=0,
            global_batch_size=4,
            micro_batch_size=4,
        ).data_hash

    assert data_hash("a", 1) is not None
    assert data_hash("a", 1) == data_hash("copy", 1) == data_hash("a", 1, validation_seed=5)
    assert data_hash("a", 1) != data_hash("a", 2)


@pytest.mark.parametrize("part", ["loops", "optimizer_states", "lr_schedulers"])
def test_a_checkpoint_without_a_part_is_refused(part: str, tmp_path: Path) -> None:
    path = save(tmp_path, "last", 3)
    content = torch.load(path, weights_only=True)
    del content[part]
    torch.save(content, path)
    with pytest.raises(DataError, match=f"cannot be resumed: it has no {part}"):
        checkpoint_to_resume(str(path), tmp_path)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path, "last", 3)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"state_dict": {"a": torch.zeros(2), "b": torch.zeros(1)}}, path)
    checkpoint = resumed(str(path), tmp_path)
    check_weights(checkpoint, {"a": torch.ones(2), "b": torch.ones(1)})
    for made, message in (
        ({"a": torch.ones(2)}, r"the shape \[1\] for b, but the run has null"),
        ({"a": torch.ones(3), "b": torch.ones(1)}, r"the shape \[2\] for a, but the run has \[3\]"),
    ):
        with pytest.raises(DataError, match=message):
            check_weights(checkpoint, made)
