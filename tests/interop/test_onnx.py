"""An ONNX file computes what the model does, for any batch size and length."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from transformers import BertModel as Bert

from clozekit.errors import ConfigError
from clozekit.interop import onnx
from clozekit.interop.head_names import make_model
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.transformers import load_transformers
from tests.interop.folders import random_model
from tests.models.batches import packed_batch, tiny_config
from tests.models.models import logits_of

OUTPUTS = {
    BertForPreTraining: ["prediction_logits", "seq_relationship_logits"],
    BertForSequenceClassification: ["logits"],
    Bert: ["sequence_output", "pooled_output"],
    BertForMaskedLM: ["prediction_logits"],
    BertForTokenClassification: ["logits"],
    BertForQuestionAnswering: ["start_logits", "end_logits"],
    BertForMultipleChoice: ["logits"],
}
OF_TOKENS = {"prediction_logits", "sequence_output", "start_logits", "end_logits"}


@pytest.mark.slow
@pytest.mark.parametrize("model_class", OUTPUTS)
def test_outputs_are_those_of_transformers(model_class: Any, tmp_path: Path) -> None:
    # The export takes time for every block; the blocks of all classes are alike.
    layers = 2 if model_class is BertForPreTraining else 1
    bert = random_model(model_class, num_hidden_layers=layers)
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
        expected = dict(zip(OUTPUTS[model_class], outputs_of(bert, tensors), strict=True))
        for name, array in given.items():
            is_of_tokens = name in OF_TOKENS or model_class is BertForTokenClassification
            places = mask.astype(bool) if is_of_tokens else slice(None)
            np.testing.assert_allclose(
                array[places], expected[name].numpy()[places], rtol=1e-5, atol=1e-5
            )


@torch.inference_mode()
def outputs_of(bert: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """What transformers computes, in the form of our outputs."""
    if isinstance(bert, BertForMultipleChoice):
        # Every row is a choice of one question.
        return (bert(**{name: tensor[None] for name, tensor in inputs.items()}).logits[0],)
    outputs: tuple[Tensor, ...] = bert(**inputs).to_tuple()
    return outputs


def test_a_tagger_of_answers_gives_a_tag_to_every_token() -> None:
    model = make_model(["answer_tagging_head"], tiny_config()).eval()
    padded = onnx.padded_model(
        Pretrained(Path(), model.encoder.config, model.state_dict(), tokenizer=None)
    )
    batch = packed_batch()
    packing = batch.packing
    (logits,) = padded(
        packing.pad(batch.input_ids), packing.attention_mask, packing.pad(batch.token_type_ids)
    )
    assert padded.output_names == ("logits",)
    expected = logits_of(model, batch.input_ids, batch.token_type_ids, packing)
    torch.testing.assert_close(packing.unpad(logits), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_file_that_differs_from_torch_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_model(BertForSequenceClassification, num_hidden_layers=1).save_pretrained(tmp_path)
    model = load_transformers(tmp_path)
    export = onnx._export

    def export_of_other_weights(padded: onnx.PaddedModel, *rest: Any) -> None:
        bias = padded.get_parameter("heads.classification_head.classifier.bias")
        with torch.no_grad():
            bias.add_(0.001)
            export(padded, *rest)
            bias.sub_(0.001)

    monkeypatch.setattr(onnx, "_export", export_of_other_weights)
    with pytest.raises(RuntimeError, match=r"logits differs from torch by .*, more than 0\.0001"):
        onnx.save_onnx(model, tmp_path)


def test_a_head_of_the_users_own_is_named(tmp_path: Path) -> None:
    random_model(BertForSequenceClassification, num_hidden_layers=1).save_pretrained(tmp_path)
    model = load_transformers(tmp_path)
    assert onnx.heads_left_out(model) == []
    names = {name: name.replace("classification_head", "ending_head") for name in model.weights}
    own = replace(model, weights={names[name]: t for name, t in model.weights.items()})
    assert onnx.heads_left_out(own) == ["ending_head"]
    assert onnx.padded_model(own).output_names == ("sequence_output", "pooled_output")


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        onnx, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name)
    )
    with pytest.raises(ConfigError, match=r"needs onnxscript: pip install 'clozekit\[export\]'"):
        onnx.check_packages()
