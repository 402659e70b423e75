"""ModernBERT of transformers in and out, with every head."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from transformers import ModernBertConfig

from clozekit.data.packing import Packing
from clozekit.errors import DataError
from clozekit.interop.families.modernbert import names
from clozekit.interop.head_names import make_model
from clozekit.interop.saving import architecture_of, save_transformers
from clozekit.interop.transformers import load_transformers
from tests.interop.folders import write_vocabulary
from tests.interop.test_saving import loaded_without_a_warning
from tests.models.models import logits_of

HEADS = {
    "ModernBertForMaskedLM": "masked_lm_head",
    "ModernBertForSequenceClassification": "classification_head",
    "ModernBertForTokenClassification": "token_classification_head",
    "ModernBertForQuestionAnswering": "question_answering_head",
    "ModernBertForMultipleChoice": "multiple_choice_head",
}
SMALL = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
OTHER = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "norm_bias": True,
    "attention_bias": True,
    "mlp_bias": True,
    "classifier_bias": True,
    "classifier_pooling": "mean",
    "global_attn_every_n_layers": 2,
    "local_attention": 4,
}
LENGTHS = [40, 1, 17]


def random_model(name: str, **changes: Any) -> Any:
    config = ModernBertConfig(
        **{
            "vocab_size": 60,
            "intermediate_size": 40,
            "max_position_embeddings": 64,
            "local_attention": 8,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 3,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "num_labels": 2,
            **changes,
        }
    )
    model = getattr(transformers, name)(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.normal_(0, 0.1, generator=generator)
            if "norm" in parameter_name and parameter_name.endswith("weight"):
                parameter.add_(1)
    return model


def outputs_of(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    if "MultipleChoice" in type(model).__name__:
        logits: Tensor = model(input_ids=ids[None], attention_mask=mask[None]).logits[0, :, None]
        return logits
    output = model(input_ids=ids, attention_mask=mask)
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)
    first: Tensor = output[0]
    return first


@pytest.mark.parametrize("sizes", [SMALL, OTHER], ids=["small", "other"])
@pytest.mark.parametrize("name", HEADS)
def test_in_out_and_in_again(
    name: str, sizes: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = random_model(name, **sizes)
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    theirs.save_pretrained(tmp_path / "before")
    write_vocabulary(tmp_path / "before")
    pretrained = load_transformers(tmp_path / "before")
    assert pretrained.unused == ()
    ours = make_model([HEADS[name]], pretrained.encoder, 2).eval()
    ours.load_state_dict(pretrained.weights)

    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, 60, (len(LENGTHS), max(LENGTHS)), generator=generator)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    packing = Packing.from_lengths(np.array(LENGTHS))
    expected = outputs_of(theirs, ids, mask.long())
    logits = logits_of(ours, ids[mask], None, packing)
    of_tokens = expected.ndim == 3
    wanted = expected[mask] if of_tokens else expected
    torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)
    # Gradients of every parameter.
    weight = torch.randn(wanted.shape, generator=generator)
    (logits * weight).sum().backward()
    (wanted * weight).sum().backward()
    ours_grads = {n: p.grad for n, p in ours.named_parameters()}
    for our_name, (their_name, *_) in names(pretrained.encoder, frozenset({HEADS[name]})).items():
        if our_name in ours_grads and "decoder" not in their_name:
            of_theirs = dict(theirs.named_parameters())[their_name].grad
            torch.testing.assert_close(ours_grads[our_name], of_theirs, rtol=1e-4, atol=1e-4)

    assert save_transformers(pretrained, tmp_path / "after") == []
    again = load_transformers(tmp_path / "after")
    torch.testing.assert_close(again.weights, pretrained.weights, rtol=0, atol=0)
    assert again.encoder == pretrained.encoder
    config = json.loads((tmp_path / "after" / "config.json").read_text())
    assert config["architectures"] == [name]
    loaded = loaded_without_a_warning(name, tmp_path / "after", caplog)
    # What is computed for padding differs between kinds of attention.
    found = outputs_of(loaded, ids, mask.long())
    found = found[mask] if of_tokens else found
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "after")
    assert set(tokenizer("the cow")) == {"input_ids", "attention_mask"}


def test_an_encoder_without_heads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    random_model("ModernBertModel", **SMALL).save_pretrained(tmp_path)
    pretrained = load_transformers(tmp_path)
    assert architecture_of(pretrained) == "ModernBertModel"
    (tmp_path / "out").mkdir()
    save_transformers(pretrained, tmp_path / "out")
    loaded_without_a_warning("ModernBertModel", tmp_path / "out", caplog)


def test_keys_of_older_versions_are_read(tmp_path: Path) -> None:
    random_model("ModernBertForMaskedLM", **SMALL).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["rope_parameters"], config["layer_types"]
    old = {"global_attn_every_n_layers": 2, "global_rope_theta": 5e4, "local_rope_theta": None}
    file.write_text(json.dumps({**config, **old}))
    encoder = load_transformers(tmp_path).encoder
    assert encoder.global_attn_every_n_layers == 2
    assert (encoder.global_rope_theta, encoder.local_rope_theta) == (5e4, 5e4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_activation": "silu"}, "hidden_activation=silu; only gelu is supported"),
        ({"decoder_bias": False}, "decoder_bias=False; only True is supported"),
        ({"layer_types": ["sliding_attention"] * 4}, "layer_types=.*only every n-th"),
        ({"layer_types": "full"}, "layer_types=full; only every n-th"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}},
            "rope_type=yarn; only default is supported",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": "x"}}}, "should be a number"),
        ({"num_hidden_layers": 6, "layer_types": None}, r"missing in the weights: model.layers.4"),
        ({"intermediate_size": 41}, r"model.layers.0.mlp.Wi.weight has shape \[80, 32\]"),
        ({"model_type": "deberta"}, "model_type=deberta; only bert and modernbert are supported"),
    ],
)
def test_other_models_are_refused_by_the_key(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    random_model("ModernBertForMaskedLM", **SMALL).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        load_transformers(tmp_path)
