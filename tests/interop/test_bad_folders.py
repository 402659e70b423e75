"""A folder that cannot be read is told in one sentence, and nothing in it is executed."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AlbertConfig, AlbertModel, BertForPreTraining, BertModel, RobertaConfig
from transformers import RobertaModel as Roberta

from clozekit.errors import DataError
from clozekit.interop.transformers import load_transformers
from tests.interop.folders import random_model, write_vocabulary

EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random_model(BertForPreTraining).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


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


def roberta(folder: Path) -> None:
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    config = RobertaConfig(vocab_size=60, num_hidden_layers=1, **sizes)
    Roberta(config).save_pretrained(folder)


def small_vocabulary(folder: Path) -> None:
    weights = BertModel(random_model(BertModel, vocab_size=7).config)
    weights.save_pretrained(folder)
    write_vocabulary(folder)


def other_padding(folder: Path) -> None:
    write_vocabulary(folder)
    configured(pad_token_id=5)(folder)


def with_a_classifier(architecture: str, **changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        head = {"classifier.weight": torch.zeros(2, 32), "classifier.bias": torch.zeros(2)}
        rewritten(lambda weights: weights.update(head))(folder)
        configured(architectures=[architecture], **changes)(folder)

    return spoil


BAD = {
    "no configuration": (without_config, ["config.json does not exist"]),
    "a broken configuration": (broken_config, ["config.json cannot be read as JSON"]),
    "no weights": (without_weights, ["has no weights", "pytorch_model.bin"]),
    "truncated safetensors": (
        truncated,
        ["model.safetensors is damaged or not a safetensors file"],
    ),
    "a pickle that runs code": (pickle_that_runs_code, ["pytorch_model.bin", "nothing in it was"]),
    "an old pickle that runs code": (old_pickle_that_runs_code, ["pytorch_model.bin"]),
    "a truncated pickle": (truncated_pickle, ["pytorch_model.bin is damaged"]),
    "a missing shard": (missing_shard, ["shard model-00001-of-00002.safetensors does not exist"]),
    "an index of more than there is": (lying_index, ["index.json: no shard contains more"]),
    "another number of positions": (
        configured(max_position_embeddings=32),
        ["position_embeddings.weight has shape [16, 32], but config.json implies [32, 32]"],
    ),
    "another width inside": (
        configured(intermediate_size=64),
        ["intermediate.dense.weight has shape [48, 32]", "[64, 32]"],
    ),
    "fewer blocks than weights": (
        configured(num_hidden_layers=1),
        ["unexpected in the weights of BERT with num_hidden_layers=1: bert.enc", "and 12 more"],
    ),
    "more blocks than weights": (
        configured(num_hidden_layers=3),
        ["missing in the weights: bert.encoder.layer.2.attention"],
    ),
    "an extra tensor": (
        rewritten(lambda weights: weights.update({"bert.adapter": torch.zeros(2)})),
        ["unexpected in the weights of BERT", ": bert.adapter"],
    ),
    "a lost bias": (
        rewritten(lambda weights: weights.pop("bert.pooler.dense.bias")),
        ["encoder.pooler is incomplete, the weights have only encoder.pooler.weight"],
    ),
    "a decoder of its own": (
        rewritten(
            lambda weights: weights.update(
                {"cls.predictions.decoder.weight": weights[EMBEDDINGS] + 1}
            )
        ),
        ["cls.predictions.decoder.weight differs from", "only a tied decoder is supported"],
    ),
    "a name in two forms": (
        rewritten(
            lambda weights: weights.update(
                {EMBEDDINGS.removeprefix("bert."): weights[EMBEDDINGS].clone()}
            )
        ),
        [f"{EMBEDDINGS} twice"],
    ),
    "whole numbers": (
        rewritten(lambda weights: weights.update({EMBEDDINGS: weights[EMBEDDINGS].char()})),
        ["word_embeddings.weight has dtype torch.int8; it must be floating-point"],
    ),
    "relative positions": (
        configured(position_embedding_type="relative_key"),
        ["config.json: position_embedding_type=relative_key; only absolute"],
    ),
    "a decoder": (configured(is_decoder=True), ["is_decoder=True; only False"]),
    "a decoder that is not tied": (
        configured(tie_word_embeddings=False),
        ["tie_word_embeddings=False; only True"],
    ),
    "another activation": (
        configured(hidden_act="relu"),
        ["hidden_act=relu; only gelu, gelu_python, gelu_new"],
    ),
    "another architecture": (
        configured(architectures=["BertGenerationEncoder"]),
        ["architectures=BertGenerationEncoder; only BertModel and BertFor"],
    ),
    "heads that do not divide": (
        configured(num_attention_heads=5),
        ["config.json: hidden_size=32 is not divisible by num_attention_heads=5"],
    ),
    "ALBERT": (albert, ["model_type=albert (its layers share their weights); only bert"]),
    "RoBERTa": (roberta, ["model_type=roberta (its positions start after pad_token_id)"]),
    "a tokenizer with more ids": (small_vocabulary, ["the tokenizer has the id 9", "vocab_size=7"]),
    "another padding": (other_padding, ["pad_token_id=5, but [PAD] of the tokenizer is 0"]),
    "labels that skip a number": (
        configured(architectures=["BertForSequenceClassification"], id2label={"0": "a", "2": "b"}),
        ["the keys of id2label must be 0 to 1"],
    ),
    "a classifier without weights": (
        configured(architectures=["BertForSequenceClassification"]),
        ["missing in the weights: classifier.weight"],
    ),
    "a span head without weights": (
        configured(architectures=["BertForQuestionAnswering"]),
        ["missing in the weights: qa_outputs.weight"],
    ),
    "other labels than weights": (
        with_a_classifier("BertForTokenClassification", id2label={"0": "O", "1": "B", "2": "I"}),
        ["classifier.weight has shape [2, 32], but config.json implies [3, 32]"],
    ),
    "a purpose that nobody knows": (
        with_a_classifier("BertForSequenceClassification", problem_type="ranking"),
        ["problem_type=ranking; allowed are regression, single_label_classification, multi"],
    ),
    "regression of two scores": (
        with_a_classifier("BertForSequenceClassification", problem_type="regression"),
        ["problem_type=regression with 2 labels; only one is supported"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_told_in_one_sentence(case: str, folder: Path) -> None:
    spoil, parts = BAD[case]
    spoil(folder)
    with pytest.raises(DataError) as caught:
        load_transformers(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    for part in parts:
        assert part in message
    assert not (folder / "executed").exists()


def test_the_trap_is_one(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    torch.save({"a": Trap(tmp_path / "executed")}, file)
    torch.load(file, weights_only=False)
    assert (tmp_path / "executed").exists()


def test_a_name_that_the_hub_does_not_give_is_told() -> None:
    # The tests are offline, and the name is in no cache.
    with pytest.raises(DataError, match="nobody/nothing does not exist as a file or folder, and"):
        load_transformers("nobody/nothing")
