"""A folder that cannot be read is told in one sentence, and nothing in it is executed."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertForPreTraining

from clozekit.errors import DataError
from clozekit.interop.saving import save_safetensors
from clozekit.interop.transformers import load_transformers
from clozekit.runs.load_pretrained import load_pretrained
from tests.interop.folders import random_model
from tests.interop.spoilers import (
    EMBEDDINGS,
    Trap,
    adapter,
    albert,
    broken_config,
    configured,
    deep_config,
    encoder_elsewhere,
    expanded,
    keras,
    listed_config,
    lying_index,
    missing_shard,
    odd_lowercasing,
    old_pickle_that_runs_code,
    only,
    other_padding,
    pickle_that_runs_code,
    pickled_module,
    rewritten,
    shard_elsewhere,
    small_vocabulary,
    tensorflow,
    torchscript,
    truncated,
    truncated_pickle,
    with_a_classifier,
    without_config,
    without_weights,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "model"
    random_model(BertForPreTraining).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "model"))


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
        ["unexpected in the weights of bert with num_hidden_layers=1: bert.enc", "and 12 more"],
    ),
    "more blocks than weights": (
        configured(num_hidden_layers=3),
        ["missing in the weights: bert.encoder.layer.2.attention"],
    ),
    "an extra tensor": (
        rewritten(lambda weights: weights.update({"bert.adapter": torch.zeros(2)})),
        ["unexpected in the weights of bert", ": bert.adapter"],
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
    "no vocabulary size": (
        configured(vocab_size=None),
        ["vocab_size=None; it should"],
    ),
    "XLM-R XL": (
        configured(model_type="xlm-roberta-xl"),
        ["model_type=xlm-roberta-xl (it normalizes before each sub-layer)"],
    ),
    "a tokenizer with more ids": (small_vocabulary, ["the tokenizer has the id 9", "vocab_size=7"]),
    "another padding": (other_padding(5), ["pad_token_id=5, but that of the tokenizer is 0"]),
    "text for the id of padding": (
        other_padding("0"),
        ["config.json has pad_token_id='0'; it should be a whole number, 0 as in the tokenizer"],
    ),
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
    "an architecture that is a number": (
        configured(architectures=[5]),
        ["architectures=[5]; it should be a list of names"],
    ),
    "architectures that are text": (configured(architectures="BertModel"), ["architectures=Bert"]),
    "an activation that is a list": (
        configured(hidden_act=["gelu"]),
        ["hidden_act=['gelu']; only"],
    ),
    "a type that is a list": (configured(model_type=["bert"]), ["model_type=['bert']; only bert"]),
    "a million blocks": (
        configured(num_hidden_layers=10**6),
        ["num_hidden_layers=1000000: it should be less than"],
    ),
    "many blocks": (
        configured(num_hidden_layers=1000),
        ["missing in the weights: bert.encoder.layer.2", "num_hidden_layers=1000"],
    ),
    "a huge vocabulary": (configured(vocab_size=2**31 - 1), ["word_embeddings.weight has shape"]),
    "a size that is text": (configured(hidden_size="wide"), ["hidden_size=wide"]),
    "a size that is a list": (configured(hidden_size=[32]), ["hidden_size=[32]"]),
    "a configuration that is a list": (listed_config, ["config.json is not a JSON object"]),
    "a configuration that is too deep": (deep_config, ["config.json cannot be read as JSON"]),
    "a million labels": (
        with_a_classifier("BertForSequenceClassification", num_labels=10**9, id2label=["a", "b"]),
        ["id2label=['a', 'b']; it should map numbers to names"],
    ),
    "labels that are numbers": (
        with_a_classifier("BertForSequenceClassification", id2label={"0": 1, "1": 2}),
        ["id2label={'0': 1, '1': 2}; it should map"],
    ),
    "a purpose that is a list": (
        with_a_classifier("BertForSequenceClassification", problem_type=["regression"]),
        ["problem_type=['regression']; allowed are"],
    ),
    "lowercasing that is a list": (odd_lowercasing, ["do_lower_case=[1]; it should be true"]),
    "a shard elsewhere": (shard_elsewhere, ["'../other.safetensors' is not the name of a file"]),
    "an encoder elsewhere": (encoder_elsewhere, ["path='../other' is not the name of a folder"]),
    "an expanded tensor": (
        expanded,
        ["pytorch_model.bin is damaged", "larger than what is stored"],
    ),
    "a TorchScript program": (torchscript, ["pytorch_model.bin is a TorchScript program"]),
    "a Keras model": (keras, ["tf_model.h5 is a model of Keras", "from_tf=True"]),
    "a Keras model with a configuration": (
        only("tf_model.h5"),
        ["tf_model.h5 is a model of Keras", "from_tf=True"],
    ),
    "a Flax model with a configuration": (
        only("flax_model.msgpack"),
        ["flax_model.msgpack is a model of Flax", "from_flax=True"],
    ),
    "an ONNX model with a configuration": (
        only("model.onnx"),
        ["model.onnx is an ONNX model; use the folder or checkpoint"],
    ),
    "an adapter with a configuration": (
        only("adapter_config.json", "adapter_model.safetensors"),
        ["is an adapter of PEFT", "merge_and_unload"],
    ),
    "an adapter": (adapter, ["is an adapter of PEFT", "merge_and_unload"]),
    "a pickled module": (pickled_module, ["pytorch_model.bin has pickled objects", "state_dict()"]),
    "a TensorFlow checkpoint": (
        tensorflow,
        ["is a TensorFlow checkpoint of google-research/bert; convert it with", "config.json"],
    ),
    "labels of the same name": (
        with_a_classifier("BertForSequenceClassification", id2label={"0": "a", "1": "a"}),
        ["config.json: id2label gives 0 and 1 the same name, 'a'; each class needs a name of its"],
    ),
    "a label that is half of a pair": (
        with_a_classifier("BertForSequenceClassification", id2label={"0": "a\ud800", "1": "b"}),
        ["config.json: id2label={'0': 'a\\ud800', '1': 'b'}; it should map numbers to names"],
    ),
    "a weight that is not a number": (
        rewritten(lambda weights: weights[EMBEDDINGS].view(-1)[3:4].fill_(float("nan"))),
        [f"{EMBEDDINGS} has values that are NaN or infinite"],
    ),
    "an infinite weight": (
        rewritten(lambda weights: weights[EMBEDDINGS].view(-1)[3:4].fill_(float("-inf"))),
        [f"{EMBEDDINGS} has values that are NaN or infinite"],
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


@pytest.mark.filterwarnings("ignore")  # torch wants neither kind to be used
@pytest.mark.parametrize("kind", ["quantized", "nested"])
def test_a_tensor_that_is_not_plain_is_told(kind: str, folder: Path) -> None:
    tensor = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    if kind == "quantized":
        tensor = torch.quantize_per_tensor(torch.zeros(60, 32), 0.1, 0, torch.qint8)
    without_weights(folder)
    torch.save({EMBEDDINGS: tensor}, folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=rf"is damaged: {EMBEDDINGS} is not a plain tensor"):
        load_transformers(folder)


def test_an_export_for_other_programs_is_told(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    out.mkdir()
    save_safetensors(load_transformers(folder), out)
    with pytest.raises(DataError, match=f"{out} is an export of clozekit .* use the checkpoint"):
        load_pretrained(str(out))
