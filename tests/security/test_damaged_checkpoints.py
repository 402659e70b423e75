"""Checkpoints that lack something or have something else: refused in one sentence."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import clozekit
from clozekit.config.export import ExportConfig
from clozekit.errors import DataError
from clozekit.export import export
from clozekit.runs.checkpoint_file import META_KEY, load_checkpoint
from tests.security.strangers import (
    Content,
    config_of,
    write_checkpoint,
)

Change = Callable[[Content], Any]


def without(*parts: str) -> Change:
    def change(content: Content) -> None:
        inner = content
        for part in parts[:-1]:
            inner = inner[part]
        del inner[parts[-1]]

    return change


def replaced(value: Any, *parts: str) -> Change:
    def change(content: Content) -> None:
        inner = content
        for part in parts[:-1]:
            inner = inner[part]
        inner[parts[-1]] = value

    return change


def with_itself(content: Content) -> None:
    config = config_of(content)
    config["task"]["loop"] = config


def with_aliases(content: Content) -> None:
    value: Any = ["x"] * 10
    for _ in range(10):
        value = [value] * 10
    config_of(content)["task"]["class_weights"] = value


def too_deep(content: Content) -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    config_of(content)["extra"] = value


def with_expanded_weights(content: Content) -> None:
    name = "model.encoder.embeddings.token_embeddings.weight"
    content["state_dict"][name] = torch.zeros(1).expand(10**12, 16)


CONFIG = (META_KEY, "config")
WEIGHT = "model.encoder.embeddings.layer_norm.weight"
DAMAGED: dict[str, tuple[Change, str]] = {
    "no config": (without(*CONFIG), "it has no config"),
    "no tokenizer": (without(META_KEY, "tokenizer"), "it has no tokenizer"),
    "no format": (without(META_KEY, "format_version"), "it has no format_version"),
    "no arguments": (without(META_KEY, "task_arguments"), "it has no task_arguments"),
    "no step": (without("global_step"), "it has no global_step"),
    "no weights": (without("state_dict"), "it has no state_dict"),
    "no task": (without(*CONFIG, "task"), "has no task._target_"),
    "no data": (without(*CONFIG, "data"), "has no data._target_"),
    "no encoder": (without(*CONFIG, "encoder"), "has no encoder._target_"),
    "no vocabulary": (without(*CONFIG, "encoder", "vocab_size"), "encoder.vocab_size is missing"),
    "a list for meta": (replaced([1], META_KEY), "it has no format_version"),
    "text for a format": (replaced("3", META_KEY, "format_version"), "format_version is '3'"),
    "a truth for a step": (replaced(True, "global_step"), "global_step is True"),
    "a negative step": (replaced(-1, "global_step"), "global_step=-1"),
    "a list for config": (replaced([], *CONFIG), "config is a list"),
    "text for task": (replaced("x", *CONFIG, "task"), "has no task._target_"),
    "an empty tokenizer": (replaced("{}", META_KEY, "tokenizer"), "is not a tokenizer.json"),
    "a number for a tokenizer": (replaced(3, META_KEY, "tokenizer"), "tokenizer is 3"),
    "a number for a hash": (replaced(3, META_KEY, "data_hash"), "data_hash is 3"),
    "numbers for labels": (
        replaced([1, 2, 3], META_KEY, "task_arguments", "label_names"),
        "label_names are not a list of different texts",
    ),
    "labels of the same name": (
        replaced(["a", "a", "b"], META_KEY, "task_arguments", "label_names"),
        "label_names are not a list of different texts",
    ),
    "a label that is half of a pair": (
        replaced(["a\ud800", "b", "c"], META_KEY, "task_arguments", "label_names"),
        "label_names are not a list of different texts",
    ),
    "a weight that is not a number": (
        replaced(torch.tensor([*[1.0] * 15, math.nan]), "state_dict", WEIGHT),
        "encoder.embeddings.layer_norm.weight has values that are NaN or infinite",
    ),
    "fewer labels": (
        replaced(["a", "b"], META_KEY, "task_arguments", "label_names"),
        "the model now makes classification_head.classifier.weight of shape [2, 16]",
    ),
    "unknown arguments": (
        replaced({"_target_": "os.system"}, META_KEY, "task_arguments", "x"),
        "unknown key 'task.x'",
    ),
    "a million blocks": (
        replaced(10**6, *CONFIG, "encoder", "num_hidden_layers"),
        "num_hidden_layers=1000000: it should be less than",
    ),
    "many blocks": (
        replaced(1000, *CONFIG, "encoder", "num_hidden_layers"),
        "num_hidden_layers=1000, but the weights have 1 blocks",
    ),
    "an endless width": (
        replaced(2**40, *CONFIG, "encoder", "intermediate_size"),
        "intermediate_size=1099511627776: it should be less than",
    ),
    "a huge width": (
        replaced(2**20, *CONFIG, "encoder", "intermediate_size"),
        "implies the shape [1048576, 16]",
    ),
    "a huge vocabulary": (
        replaced(2**31 - 1, *CONFIG, "encoder", "vocab_size"),
        "implies the shape",
    ),
    "huge positions": (
        replaced(2**24, *CONFIG, "encoder", "max_position_embeddings"),
        "implies the shape",
    ),
    "a negative size": (replaced(-1, *CONFIG, "encoder", "hidden_size"), "hidden_size=-1"),
    "a list for a size": (replaced([1], *CONFIG, "encoder", "hidden_size"), "hidden_size=[1]"),
    "an unknown key": (replaced(1, *CONFIG, "encoder", "x"), "unknown key 'x'"),
    "a missing weight": (
        without("state_dict", WEIGHT),
        "the model needs weights that are not saved",
    ),
    "text for a weight": (replaced("x", "state_dict", WEIGHT), "is not a state dict"),
    "a number for a name": (lambda c: c["state_dict"].update({3: 4}), "is not a state dict"),
    "a sparse weight": (
        replaced(torch.ones(16).to_sparse(), "state_dict", WEIGHT),
        "is not a plain tensor",
    ),
    "a weight of whole numbers": (
        replaced(torch.ones(16, dtype=torch.int32), "state_dict", WEIGHT),
        "layer_norm.weight of torch.float32, but the saved weight is of torch.int32",
    ),
    "a weight of complex numbers": (
        replaced(torch.ones(16, dtype=torch.complex64), "state_dict", WEIGHT),
        "layer_norm.weight of torch.float32, but the saved weight is of torch.complex64",
    ),
    "expanded weights": (with_expanded_weights, "is larger than what is stored of it"),
    "itself inside": (with_itself, "more than 32 levels"),
    "aliases of aliases": (with_aliases, "has more than 1,000,000 values"),
    "too deep": (too_deep, "more than 32 levels"),
    "a tensor in the config": (replaced(torch.ones(1), *CONFIG, "x"), "contains a Tensor"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_checkpoint_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    change, message = DAMAGED[case]
    path = write_checkpoint(tmp_path / "a.ckpt", change)
    with pytest.raises(DataError) as caught:
        clozekit.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_padding_in_a_tokenizer_is_switched_off(tmp_path: Path) -> None:
    def pad(content: Content) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(content[META_KEY]["tokenizer"])
        tokenizer.enable_padding(length=10**9)
        tokenizer.enable_truncation(1)
        content[META_KEY]["tokenizer"] = tokenizer.to_str()

    path = write_checkpoint(tmp_path / "a.ckpt", pad, "pretraining")
    (prediction,) = clozekit.load(path).predict(["the [MASK]"])
    assert len(prediction["words"]) == 1


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt")
    packed = tmp_path / "b.ckpt"
    with zipfile.ZipFile(path) as read, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for part in read.infolist():
            out.writestr(part.filename, read.read(part) + b"\0" * 10**6)
    with pytest.raises(DataError, match="it is larger unpacked than on disk"):
        load_checkpoint(packed)


def test_a_part_with_another_checksum_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt")
    load_checkpoint(path)
    weight = torch.load(path, weights_only=True)["state_dict"][WEIGHT].numpy().tobytes()
    content = path.read_bytes()
    assert content.count(weight) == 1
    path.write_bytes(content.replace(weight, b"\0" * len(weight)))
    with pytest.raises(DataError, match=r"a\.ckpt is damaged: its part .* its checksum"):
        load_checkpoint(path)


@pytest.mark.parametrize("step", [1, 10**6, None])
def test_a_position_of_another_step_is_refused(step: int | None, tmp_path: Path) -> None:
    def change(content: Content) -> None:
        part = content["PretrainingDataModule"]["position"]
        part["step"] = content["global_step"] if step is None else step

    path = write_checkpoint(tmp_path / "a.ckpt", change, "pretraining")
    if step is None:
        load_checkpoint(path)
        return
    with pytest.raises(DataError, match=f"its position in the data is step {step}, but its"):
        load_checkpoint(path)


def test_weights_that_are_no_numbers_are_not_published(tmp_path: Path) -> None:
    path = write_checkpoint(
        tmp_path / "a.ckpt", replaced(torch.full((16,), torch.nan), "state_dict", WEIGHT)
    )
    with pytest.raises(DataError, match=rf"{WEIGHT} has values that are NaN or infinite"):
        export(ExportConfig(checkpoint=path, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
