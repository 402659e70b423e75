"""An ONNX file computes what the model does, for any batch size and length."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import BertForMaskedLM, BertForPreTraining, BertForSequenceClassification
from transformers import BertModel as Bert

from clozekit.errors import ConfigError
from clozekit.interop import onnx
from clozekit.interop.transformers import load_transformers
from tests.interop.folders import random_model

OUTPUTS = {
    BertForPreTraining: ["prediction_logits", "seq_relationship_logits"],
    BertForSequenceClassification: ["logits"],
    Bert: ["sequence_output", "pooled_output"],
    BertForMaskedLM: ["sequence_output"],
}


@pytest.mark.slow
@pytest.mark.parametrize("model_class", OUTPUTS)
def test_outputs_are_those_of_transformers(model_class: Any, tmp_path: Path) -> None:
    bert = random_model(model_class)
    bert.save_pretrained(tmp_path)
    onnx.save_onnx(load_transformers(tmp_path), tmp_path)
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [output.name for output in session.get_outputs()] == OUTPUTS[model_class]
    draw = np.random.default_rng(0)
    for batch_size, seq_len in ((1, 1), (4, 9), (5, 16)):
        mask = np.ones((batch_size, seq_len), np.int64)
        mask[0, 1:] = 0
        inputs = {
            "input_ids": draw.integers(1, 60, mask.shape),
            "attention_mask": mask,
            "token_type_ids": draw.integers(0, 2, mask.shape),
        }
        given = dict(zip(OUTPUTS[model_class], session.run(None, inputs), strict=True))
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with torch.inference_mode():
            if model_class is BertForMaskedLM:
                expected = {"sequence_output": bert.bert(**tensors).last_hidden_state}
            else:
                expected = dict(zip(OUTPUTS[model_class], bert(**tensors).to_tuple(), strict=True))
        for name, array in given.items():
            is_of_tokens = name in ("prediction_logits", "sequence_output")
            places = mask.astype(bool) if is_of_tokens else slice(None)
            np.testing.assert_allclose(
                array[places], expected[name].numpy()[places], rtol=1e-5, atol=1e-5
            )


@pytest.mark.slow
def test_a_file_that_differs_from_torch_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_model(BertForSequenceClassification).save_pretrained(tmp_path)
    model = load_transformers(tmp_path)
    export = onnx._export

    def export_of_other_weights(padded: onnx.PaddedModel, *rest: Any) -> None:
        bias = padded.get_parameter("heads.logits.classifier.bias")
        with torch.no_grad():
            bias.add_(0.001)
            export(padded, *rest)
            bias.sub_(0.001)

    monkeypatch.setattr(onnx, "_export", export_of_other_weights)
    with pytest.raises(RuntimeError, match=r"logits differs from torch by .*, more than 0\.0001"):
        onnx.save_onnx(model, tmp_path)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        onnx, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name)
    )
    with pytest.raises(ConfigError, match=r"needs onnxscript: pip install 'clozekit\[export\]'"):
        onnx.check_packages()
