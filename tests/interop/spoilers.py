"""Changes of a model's folder after which it cannot be read."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AlbertConfig, AlbertModel, BertModel

from tests.interop.folders import random_model, write_vocabulary

EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


def configured(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return spoil


def rewritten(change: Callable[[dict[str, Tensor]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        weights = load_file(path)
        change(weights)
        save_file(weights, path)

    return spoil


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "be')


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


class Trap:
    """A pickle of it touches a file as it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def pickle_that_runs_code(folder: Path) -> None:
    without_weights(folder)
    torch.save({"a": Trap(folder / "executed")}, folder / "pytorch_model.bin")


def old_pickle_that_runs_code(folder: Path) -> None:
    without_weights(folder)
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"a": Trap(folder / "executed")}, file)


def truncated_pickle(folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    torch.save(load_file(folder / "model.safetensors"), path)
    path.write_bytes(path.read_bytes()[:5000])
    without_weights(folder)


def missing_shard(folder: Path) -> None:
    without_weights(folder)
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def lying_index(folder: Path) -> None:
    index = {"weight_map": {EMBEDDINGS: "shard.safetensors", "more": "shard.safetensors"}}
    (folder / "model.safetensors").rename(folder / "shard.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def albert(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    AlbertModel(AlbertConfig(vocab_size=60, embedding_size=8, **sizes)).save_pretrained(folder)


def small_vocabulary(folder: Path) -> None:
    weights = BertModel(random_model(BertModel, vocab_size=7).config)
    weights.save_pretrained(folder)
    write_vocabulary(folder)


def other_padding(value: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        write_vocabulary(folder)
        configured(pad_token_id=value)(folder)

    return spoil


def with_a_classifier(architecture: str, **changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        head = {"classifier.weight": torch.zeros(2, 32), "classifier.bias": torch.zeros(2)}
        rewritten(lambda weights: weights.update(head))(folder)
        configured(architectures=[architecture], **changes)(folder)

    return spoil


def listed_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def deep_config(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)


def odd_lowercasing(folder: Path) -> None:
    write_vocabulary(folder)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": [1]}')


def shard_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "other.safetensors")
    index = {"weight_map": {"a": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def encoder_elsewhere(folder: Path) -> None:
    without_config(folder)
    (folder / "modules.json").write_text('[{"type": "a.Transformer", "path": "../other"}]')


def expanded(folder: Path) -> None:
    without_weights(folder)
    torch.save({EMBEDDINGS: torch.zeros(1).expand(10**12)}, folder / "pytorch_model.bin")


def torchscript(folder: Path) -> None:
    without_weights(folder)
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), folder / "pytorch_model.bin")


def keras(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    (folder / "tf_model.h5").touch()


def only(*names: str) -> Callable[[Path], None]:
    """Leaves the configuration, and these files instead of weights."""

    def spoil(folder: Path) -> None:
        without_weights(folder)
        for name in names:
            (folder / name).touch()

    return spoil


def adapter(folder: Path) -> None:
    without_config(folder)
    only("adapter_config.json", "adapter_model.safetensors")(folder)


def pickled_module(folder: Path) -> None:
    without_weights(folder)
    torch.save(torch.nn.Linear(1, 1), folder / "pytorch_model.bin")


def tensorflow(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()
    for name in ("bert_config.json", "bert_model.ckpt.index", "vocab.txt"):
        (folder / name).touch()
