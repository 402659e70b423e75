"""Folders of transformers become our models, tensor for tensor."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForTokenClassification,
    BertModel,
)
from transformers.activations import ACT2FN

from clozekit.interop.families.reading import ACTIVATIONS
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.transformers import load_transformers
from clozekit.models import EncoderWithHeads
from tests.interop.folders import padded, random_model, saved, write_vocabulary
from tests.models.batches import packed_batch
from tests.models.bert_weights import from_transformers
from tests.models.models import pretraining_model, pretraining_output

SIZES = (
    {},
    {"hidden_act": "gelu_new", "hidden_size": 24, "num_hidden_layers": 1, "layer_norm_eps": 1e-3},
    {"hidden_act": "gelu_pytorch_tanh", "num_hidden_layers": 3, "num_attention_heads": 2},
    {"vocab_size": 77, "type_vocab_size": 3, "max_position_embeddings": 40},
)


def our_model(pretrained: Pretrained) -> EncoderWithHeads:
    model = pretraining_model(pretrained.encoder).eval()
    assert pretrained.load_into(model) == []
    return model


@pytest.mark.parametrize("sizes", SIZES)
def test_every_tensor_and_output_is_that_of_bert_for_pretraining(
    sizes: dict[str, Any], tmp_path: Path
) -> None:
    bert = random_model(BertForPreTraining, **sizes)
    pretrained = load_transformers(saved(bert, tmp_path))

    expected = from_transformers(bert.state_dict(), bert.config.num_hidden_layers)
    torch.testing.assert_close(pretrained.weights, expected, rtol=0, atol=0)
    assert pretrained.encoder.layer_norm_eps == bert.config.layer_norm_eps

    batch = packed_batch()
    theirs = bert(**padded(batch))
    ours = pretraining_output(our_model(pretrained), batch)
    logits = batch.packing.unpad(theirs.prediction_logits)[batch.masked_lm_positions]
    torch.testing.assert_close(ours.prediction_logits, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        ours.seq_relationship_logits, theirs.seq_relationship_logits, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_one_that_its_name_stands_for(name: str) -> None:
    values = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    approximate = "tanh" if ACTIVATIONS[name] == "gelu_pytorch_tanh" else "none"
    ours = torch.nn.functional.gelu(values, approximate=approximate)
    # gelu_fast writes the square root of 2 / pi with ten digits.
    torch.testing.assert_close(ACT2FN[name](values), ours, rtol=1e-9, atol=1e-9)


def test_the_tie_holds_after_a_training_step(tmp_path: Path) -> None:
    pretrained = load_transformers(saved(random_model(BertForPreTraining), tmp_path))
    model = our_model(pretrained)
    batch = packed_batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    logits = pretraining_output(model, batch).prediction_logits
    torch.nn.functional.cross_entropy(logits, batch.masked_lm_labels).backward()
    optimizer.step()

    embeddings = model.encoder.embeddings.token_embeddings.weight
    before = pretrained.weights["encoder.embeddings.token_embeddings.weight"]
    assert (embeddings - before).abs().max() > 1e-4
    head = model.masked_lm_head
    sequence_output = model(batch.input_ids, batch.token_type_ids, batch.packing).sequence_output
    hidden = head.layer_norm(head.activation(head.dense(sequence_output)))
    torch.testing.assert_close(head(sequence_output), hidden @ embeddings.T + head.bias)


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path)


def without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("bert."): tensor for name, tensor in weights.items()}


def of_old_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in weights.items()
    }


def with_buffers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**weights, "bert.embeddings.position_ids": torch.arange(16)[None]}


def with_tied_copies(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        **weights,
        "cls.predictions.decoder.weight": weights["bert.embeddings.word_embeddings.weight"].clone(),
        "cls.predictions.decoder.bias": weights["cls.predictions.bias"].clone(),
    }


def with_the_bias_by_the_decoders_name(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    bias = weights["cls.predictions.bias"]
    rest = {name: t for name, t in weights.items() if name != "cls.predictions.bias"}
    return {**rest, "cls.predictions.decoder.bias": bias}


@pytest.mark.parametrize(
    "change",
    [
        without_prefix,
        of_old_names,
        with_buffers,
        with_tied_copies,
        with_the_bias_by_the_decoders_name,
    ],
)
def test_other_names_and_known_extras_give_the_same_weights(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], tmp_path: Path
) -> None:
    folder = saved(random_model(BertForPreTraining), tmp_path)
    expected = load_transformers(folder).weights
    rewrite(folder, change)
    assert load_file(folder / "model.safetensors").keys() != expected.keys()
    torch.testing.assert_close(load_transformers(folder).weights, expected, rtol=0, atol=0)


def in_a_pickle(model: Any, folder: Path) -> None:
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def in_shards(model: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1


def in_pickled_shards(model: Any, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    weights = {k: v for k, v in model.state_dict().items() if ".decoder." not in k}
    files = {name: f"pytorch_model-{i % 2}.bin" for i, name in enumerate(weights)}
    for file in set(files.values()):
        torch.save({n: weights[n] for n in files if files[n] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": files}))


def in_half_precision(model: Any, folder: Path) -> None:
    # Only values that half precision has, so that nothing is lost.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    rewrite(folder, lambda _: {k: v.half().clone() for k, v in model.state_dict().items()})


def in_the_folder_of_the_first_module(model: Any, folder: Path) -> None:
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(inner / name)
    modules = [
        {"idx": 0, "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.mark.parametrize(
    "store",
    [
        in_a_pickle,
        in_shards,
        in_pickled_shards,
        in_half_precision,
        in_the_folder_of_the_first_module,
    ],
)
def test_files_of_every_kind_give_the_same_weights(
    store: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    bert = random_model(BertForPreTraining)
    store(bert, saved(bert, tmp_path))
    expected = from_transformers(bert.state_dict(), 2)
    torch.testing.assert_close(load_transformers(tmp_path).weights, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("model_class", "new_parts"),
    [
        (BertModel, ["masked_lm_head", "next_sentence_head"]),
        (BertForMaskedLM, ["encoder.pooler", "next_sentence_head"]),
        (BertForTokenClassification, ["encoder.pooler", "masked_lm_head", "next_sentence_head"]),
        (BertForQuestionAnswering, ["encoder.pooler", "masked_lm_head", "next_sentence_head"]),
        (BertForMultipleChoice, ["masked_lm_head", "next_sentence_head"]),
    ],
)
def test_parts_that_a_folder_lacks_are_named_and_stay_as_they_were_drawn(
    model_class: Any, new_parts: list[str], tmp_path: Path
) -> None:
    bert = random_model(model_class)
    pretrained = load_transformers(saved(bert, tmp_path))
    model = pretraining_model(pretrained.encoder)
    drawn = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert pretrained.load_into(model) == new_parts
    assert pretrained.unused == ()
    for name, tensor in model.state_dict().items():
        is_new = name.startswith(tuple(new_parts))
        assert torch.equal(tensor, drawn[name] if is_new else pretrained.weights[name]), name


def test_a_vocab_txt_is_read_as_the_folder_says(tmp_path: Path) -> None:
    saved(random_model(BertModel), tmp_path)
    assert load_transformers(tmp_path).tokenizer is None
    write_vocabulary(tmp_path)
    tokenizer = load_transformers(tmp_path).tokenizer
    assert tokenizer is not None
    assert tokenizer.encode("The COWS").tokens == ["[CLS]", "the", "cow", "##s", "[SEP]"]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    cased = load_transformers(tmp_path).tokenizer
    assert cased is not None
    assert cased.encode("The cows").tokens == ["[CLS]", "[UNK]", "cow", "##s", "[SEP]"]
