"""Every family of transformers in and out, with every head."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError, DataError
from clozekit.interop.families import FAMILIES, check_model_type, family_of_encoder
from clozekit.interop.head_names import make_model
from clozekit.interop.onnx import padded_model
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.saving import architecture_of, loading_call, save_transformers
from clozekit.interop.transformers import load_transformers
from tests.interop.families import (
    HEADS,
    LONGEST,
    PUBLISHED,
    TOLERANCE,
    Inputs,
    Published,
    check_export,
    check_outputs_and_gradients,
    every_model,
    of_name,
    our_model,
)
from tests.interop.test_saving import loaded_without_a_warning

EVERY_FAMILY = pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each.name)


@pytest.mark.parametrize(("published", "end", "size"), every_model())
def test_in_out_and_in_again(
    published: Published, end: str, size: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = published.folder(tmp_path / "before", end, size)
    pretrained = load_transformers(tmp_path / "before")
    assert pretrained.unused == ()
    num_segments = published.num_segments.get(size, 1)
    ours = our_model(pretrained, HEADS[end])
    check_outputs_and_gradients(theirs, ours, pretrained, num_segments)
    check_export(pretrained, theirs, num_segments, tmp_path / "after", caplog)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "after")
    segments = {"token_type_ids"} if num_segments > 1 else set()
    assert set(tokenizer("the cow")) == {"input_ids", "attention_mask"} | segments
    assert tokenizer.model_max_length == LONGEST


@EVERY_FAMILY
def test_an_encoder_without_heads(
    published: Published, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published.folder(tmp_path / "before", "Model", "small")
    pretrained = load_transformers(tmp_path / "before")
    assert pretrained.unused == ()
    assert loading_call(pretrained) == f"{published.name}Model.from_pretrained(folder)"
    (tmp_path / "after").mkdir()
    save_transformers(pretrained, tmp_path / "after")
    loaded = loaded_without_a_warning(f"{published.name}Model", tmp_path / "after", caplog)
    before = load_file(tmp_path / "before" / "model.safetensors")
    torch.testing.assert_close(
        {name: loaded.state_dict()[name] for name in before}, before, rtol=0, atol=0
    )


@EVERY_FAMILY
@pytest.mark.parametrize("end", ["ForMaskedLM", "ForSequenceClassification"])
def test_the_padded_form_for_onnx_computes_the_same(
    end: str, published: Published, tmp_path: Path
) -> None:
    theirs = published.folder(tmp_path / "before", end, "other")
    inputs = Inputs.random()
    model = padded_model(load_transformers(tmp_path / "before"))
    (logits,) = model(inputs.ids, inputs.mask.long(), inputs.segments)
    expected = inputs.of_theirs(theirs, published.num_segments.get("other", 1))
    logits = logits[inputs.mask] if logits.ndim == 3 else logits
    torch.testing.assert_close(logits, expected, rtol=TOLERANCE, atol=TOLERANCE)


@EVERY_FAMILY
def test_next_sentences_are_left_out_where_no_class_has_them(
    published: Published, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published.folder(tmp_path / "before", "Model", "small")
    encoder = load_transformers(tmp_path / "before").encoder
    model = make_model(["masked_lm_head", "next_sentence_head"], encoder)
    (tmp_path / "after").mkdir()
    pretrained = Pretrained(tmp_path, encoder, model.state_dict(), None)
    assert save_transformers(pretrained, tmp_path / "after") == ["next_sentence_head"]
    assert architecture_of(pretrained) == f"{published.name}ForMaskedLM"
    loaded_without_a_warning(f"{published.name}ForMaskedLM", tmp_path / "after", caplog)


@EVERY_FAMILY
@pytest.mark.parametrize("end", HEADS)
def test_an_encoder_starts_from_any_class(end: str, published: Published, tmp_path: Path) -> None:
    """What a class has beside the encoder is used or named."""
    published.folder(tmp_path / "before", end, "small")
    pretrained = load_transformers(tmp_path / "before", needs_task_head=False)
    heads = {name.partition(".")[0] for name in pretrained.weights} - {"encoder"}
    assert heads == ({"masked_lm_head"} if end == "ForMaskedLM" else set())
    assert bool(pretrained.unused) == (end != "ForMaskedLM")
    missing = pretrained.load_into(make_model(["masked_lm_head"], pretrained.encoder))
    assert missing == ([] if end == "ForMaskedLM" else ["masked_lm_head"])


def test_the_head_that_finds_replaced_tokens_is_left_and_named(tmp_path: Path) -> None:
    of_name("Electra").folder(tmp_path / "before", "ForPreTraining", "small")
    pretrained = load_transformers(tmp_path / "before")
    assert {name.partition(".")[0] for name in pretrained.weights} == {"encoder"}
    parts = {name.rpartition(".")[0] for name in pretrained.unused}
    assert parts == {
        "discriminator_predictions.dense",
        "discriminator_predictions.dense_prediction",
    }
    assert architecture_of(pretrained) == "ElectraModel"


def test_the_pooler_of_a_folder_for_masked_words_is_read(tmp_path: Path) -> None:
    """The published RoBERTa has one."""
    roberta = of_name("Roberta")
    roberta.folder(tmp_path / "before", "ForMaskedLM", "small")
    file = tmp_path / "before" / "model.safetensors"
    pooler = {"weight": torch.ones(32, 32), "bias": torch.ones(32)}
    more = {f"roberta.pooler.dense.{name}": tensor for name, tensor in pooler.items()}
    old = {"roberta.embeddings.position_ids": torch.arange(LONGEST)[None]}
    save_file(load_file(file) | more | old, file)
    pretrained = load_transformers(tmp_path / "before")
    assert pretrained.unused == ()
    assert torch.equal(pretrained.weights["encoder.pooler.bias"], pooler["bias"])
    assert architecture_of(pretrained) == "RobertaForMaskedLM"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("Roberta", {"hidden_act": "gelu_new"}, "hidden_act=gelu_new; only gelu, gelu_python are"),
        ("Roberta", {"is_decoder": True}, "is_decoder=True; only False is supported"),
        ("Roberta", {"pad_token_id": None}, "pad_token_id=None; it should be an id"),
        ("Roberta", {"pad_token_id": -1}, "pad_token_id=-1; it should be an id"),
        ("Roberta", {"pad_token_id": True}, "pad_token_id=True; it should be an id"),
        ("Roberta", {"pad_token_id": 24}, "position_offset=25 must be less than max_position"),
        ("Roberta", {"pad_token_id": 1}, r"pad_token_id=1, but that of the tokenizer is 0"),
        ("Roberta", {"tie_word_embeddings": False}, "tie_word_embeddings=False"),
        (
            "Roberta",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type=relative",
        ),
        (
            "Roberta",
            {"model_type": "xlm-roberta-xl"},
            r"xl \(it normalizes before each sub-layer\)",
        ),
        ("Roberta", {"max_position_embeddings": 26}, r"shape \[25, 32\], but config.json implies"),
        (
            "Camembert",
            {"vocab_size": None},
            "vocab_size=None; it should be",
        ),
        ("Electra", {"summary_activation": "tanh"}, "summary_activation=tanh; only gelu is"),
        ("Electra", {"summary_type": "last"}, "summary_type=last; only first is supported"),
        ("Electra", {"hidden_act": "relu"}, "hidden_act=relu; only gelu, gelu_python are"),
        (
            "Electra",
            {"embedding_size": 32},
            r"shape \[60, 16\], but config.json implies \[60, 32\]",
        ),
        ("Electra", {"embedding_size": "x"}, "embedding_size=x: it should be a valid integer"),
        ("DistilBert", {"sinusoidal_pos_embds": True}, "sinusoidal_pos_embds=True; only False is"),
        ("DistilBert", {"activation": "relu"}, "activation=relu; only gelu"),
        ("DistilBert", {"n_layers": 5}, r"missing in the weights: distilbert.transformer.layer.2"),
        ("DistilBert", {"n_layers": 1}, r"unexpected in the weights of distilbert"),
        ("DistilBert", {"n_heads": 5}, "dim=32 is not divisible by n_heads=5"),
        ("DistilBert", {"dim": [1]}, r"dim=\[1\]"),
        (
            "DistilBert",
            {"model_type": "deberta"},
            r"model_type=deberta \(its attention has relative positions\); only bert, roberta, "
            "xlm-roberta, camembert, distilbert, electra and modernbert are supported",
        ),
    ],
)
def test_other_models_are_refused_by_the_key(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    of_name(name).folder(tmp_path / "before", "ForMaskedLM", "small")
    file = tmp_path / "before" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        load_transformers(tmp_path / "before")


@EVERY_FAMILY
def test_an_untied_decoder_is_refused(published: Published, tmp_path: Path) -> None:
    published.folder(tmp_path / "before", "ForMaskedLM", "small")
    (family,) = (each for each in FAMILIES if each.name == published.name)
    copy, _ = family.tied[0]
    file = tmp_path / "before" / "model.safetensors"
    weights = load_file(file)
    width = 16 if published.name == "Electra" else 32
    save_file({**weights, copy: torch.zeros(60, width)}, file)
    with pytest.raises(DataError, match=f"{copy} differs from .*; only a tied decoder"):
        load_transformers(tmp_path / "before")


def test_positions_start_after_the_padding_tokens_id(tmp_path: Path) -> None:
    """An encoder whose padding has another id would have other positions in transformers."""
    of_name("Roberta").folder(tmp_path / "before", "ForMaskedLM", "small")
    pretrained = load_transformers(tmp_path / "before")
    assert pretrained.encoder.position_offset == 1
    encoder = pretrained.encoder.model_copy(update={"position_offset": 2})
    model = Pretrained(tmp_path, encoder, pretrained.weights, pretrained.tokenizer)
    (tmp_path / "after").mkdir()
    with pytest.raises(ConfigError, match=r"can be written only .* the id 1, .* its id is 0"):
        save_transformers(model, tmp_path / "after")


ROBERTA = EncoderConfig(position_offset=1)


@pytest.mark.parametrize(
    ("encoder", "model_type"),
    [
        (EncoderConfig(), "bert"),
        (ROBERTA, "roberta"),
        (EncoderConfig(position_offset=1, model_type="camembert"), "camembert"),
        (EncoderConfig(type_vocab_size=0, classifier_activation="relu"), "distilbert"),
        (EncoderConfig(classifier_activation="gelu"), "electra"),
        (EncoderConfig(classifier_activation="gelu", embedding_size=768), "electra"),
        (EncoderConfig(embedding_size=768), "bert"),
        (EncoderConfig(embedding_size=64), None),
        (EncoderConfig(position_offset=1, hidden_act="gelu_pytorch_tanh"), None),
        (EncoderConfig(position_offset=1, classifier_activation="relu"), None),
        (EncoderConfig(classifier_activation="relu"), None),
        (EncoderConfig(type_vocab_size=0), None),
        (
            EncoderConfig(type_vocab_size=0, classifier_activation="relu", layer_norm_eps=1e-5),
            None,
        ),
        (EncoderConfig(model_type="camembert"), None),
        (EncoderConfig(_target_="a.B", position_offset=1), None),
    ],
)
def test_a_family_is_told_by_its_parts(encoder: EncoderConfig, model_type: str | None) -> None:
    family = family_of_encoder(encoder)
    assert (None if family is None else family.model_type) == model_type


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bart"}, "encoder.model_type=bart; only bert, roberta, .* are supported"),
        ({"model_type": "camembert"}, "encoder.model_type=camembert has other parts than this"),
        ({"model_type": "bert", "position_offset": 1}, "with position_offset=1, model_type=bert"),
    ],
)
def test_a_model_type_without_the_parts_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_model_type(EncoderConfig(**changes))
