"""A path that is no folder of a model is told by what it is."""

from pathlib import Path

import pytest
import torch
from transformers import BertForPreTraining

from clozekit.errors import DataError
from clozekit.runs.load_pretrained import load_pretrained
from tests.interop.folders import random_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    random_model(BertForPreTraining).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bert_model.ckpt", "is a TensorFlow checkpoint of google-research/bert; convert it"),
        ("bert_model.ckpt.index", "belongs to a TensorFlow checkpoint; convert it"),
        ("bert_model.ckpt.data-00000-of-00001", "belongs to a TensorFlow checkpoint; convert it"),
        ("script.pt", "is a TorchScript program"),
        ("model.onnx", "is an ONNX model; use the folder"),
        ("model.safetensors", "has only weights; use the folder"),
    ],
)
def test_a_file_of_another_program_is_told(name: str, message: str, tmp_path: Path) -> None:
    for part in ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001", "model.onnx"):
        (tmp_path / part).touch()
    (tmp_path / "model.safetensors").touch()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "script.pt")
    with pytest.raises(DataError, match=message):
        load_pretrained(str(tmp_path / name))


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "rows.csv", "a.yaml", "README"])
def test_a_file_that_is_no_checkpoint_is_told_with_its_folder(name: str, folder: Path) -> None:
    file = folder / name
    if not file.exists():
        file.write_text("text,label\n")
    with pytest.raises(DataError) as caught:
        load_pretrained(str(file))
    assert str(caught.value) == f"{file} is not a checkpoint; use the folder of its model, {folder}"


def test_a_file_that_is_no_checkpoint_is_told_with_its_run(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "config.yaml"
    file.write_text("a: 1\n")
    with pytest.raises(
        DataError, match=r"config\.yaml is not a checkpoint; use the folder of its r"
    ):
        load_pretrained(str(file))
    (tmp_path / "checkpoints").rmdir()
    with pytest.raises(DataError, match=r"config\.yaml is not a checkpoint; use a \.ckpt file"):
        load_pretrained(str(file))


def test_a_path_that_is_too_long_is_told() -> None:
    with pytest.raises(DataError, match=r"^'a+… cannot be read \(File name too long\)$"):
        load_pretrained("a" * 5000)


@pytest.mark.parametrize("name", ["model.pt", "model.pkl"])
def test_a_pickled_module_is_told(name: str, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / name)
    with pytest.raises(
        DataError, match=r"has pickled objects, .* nothing in it was executed; save"
    ):
        load_pretrained(str(tmp_path / name))


@pytest.mark.parametrize("name", ["../../x/y", "a/../b", "https://evil.example/x", "", "a/b/c/d"])
def test_a_path_is_no_name_on_the_hub(name: str) -> None:
    with pytest.raises(DataError):
        load_pretrained(name)
