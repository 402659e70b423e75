"""What is read of the configurations of ModernBERT; `test_families` has its models."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import ModernBertForMaskedLM

from clozekit.errors import DataError
from clozekit.interop.transformers import load_transformers
from tests.interop.families import check_outputs_and_gradients, of_name, our_model

MODERNBERT = of_name("ModernBert")


def test_keys_of_older_versions_are_read(tmp_path: Path) -> None:
    MODERNBERT.random_model("ForMaskedLM", "small").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["rope_parameters"], config["layer_types"]
    old = {"global_attn_every_n_layers": 2, "global_rope_theta": 5e4, "local_rope_theta": None}
    file.write_text(json.dumps({**config, **old}))
    encoder = load_transformers(tmp_path).encoder
    assert encoder.global_attn_every_n_layers == 2
    assert (encoder.global_rope_theta, encoder.local_rope_theta) == (5e4, 5e4)


def test_half_of_the_window_of_local_attention_is_read_by_its_key(tmp_path: Path) -> None:
    MODERNBERT.random_model("ForMaskedLM", "small").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    assert config["local_attention"] == 8
    file.write_text(json.dumps({**config, "sliding_window": 2}))
    theirs = ModernBertForMaskedLM.from_pretrained(tmp_path).eval()
    pretrained = load_transformers(tmp_path)
    assert pretrained.encoder.local_attention == theirs.config.local_attention == 4
    ours = our_model(pretrained, "masked_lm_head")
    check_outputs_and_gradients(theirs, ours, pretrained, 1)


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
        (
            {"rope_parameters": {"full_attention": {"type": "linear", "factor": 4.0}}},
            "rope_type=linear; only default is supported",
        ),
        (
            {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
            "rope_scaling={'rope_type': 'linear', 'factor': 4.0}; only null is supported",
        ),
        ({"sliding_window": None}, "sliding_window=None; it should be 1 or more"),
        ({"rope_parameters": {"full_attention": {"rope_theta": "x"}}}, "should be a number"),
        ({"num_hidden_layers": 6, "layer_types": None}, r"missing in the weights: model.layers.4"),
        ({"intermediate_size": 41}, r"model.layers.0.mlp.Wi.weight has shape \[80, 32\]"),
    ],
)
def test_other_models_are_refused_by_the_key(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    MODERNBERT.random_model("ForMaskedLM", "small").save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        load_transformers(tmp_path)
