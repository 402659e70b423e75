import pytest
import torch

from clozekit.models import EncoderWithHeads, SequenceClassificationHead, make_encoder
from tests.models.batches import packed_batch, without_dropout
from tests.models.models import logits_of


def build(num_labels: int, dropout: float = 0.1) -> EncoderWithHeads:
    torch.manual_seed(0)
    config = without_dropout()
    encoder = make_encoder(config)
    head = SequenceClassificationHead(config, num_labels, dropout)
    return EncoderWithHeads(encoder, classification_head=head)


@pytest.mark.parametrize("num_labels", [1, 3])
def test_logits_are_a_linear_function_of_the_pooled_output(num_labels: int) -> None:
    model, batch = build(num_labels).eval(), packed_batch()
    inputs = (batch.input_ids, batch.token_type_ids)
    logits = logits_of(model, *inputs, batch.packing)
    pooled = model.encoder(*inputs, packing=batch.packing).pooled_output
    head = model.classification_head.classifier
    assert logits.shape == (batch.packing.batch_size, num_labels)
    torch.testing.assert_close(logits, pooled @ head.weight.T + head.bias)


def test_dropout_of_the_pooled_output_in_training_only() -> None:
    model, batch = build(3, dropout=0.5), packed_batch()
    inputs = (batch.input_ids, batch.token_type_ids, batch.packing)
    model.train()
    assert not torch.equal(logits_of(model, *inputs), logits_of(model, *inputs))
    model.eval()
    assert torch.equal(logits_of(model, *inputs), logits_of(model, *inputs))


def test_every_parameter_gets_a_gradient() -> None:
    model, batch = build(3), packed_batch()
    logits = logits_of(model, batch.input_ids, batch.token_type_ids, batch.packing)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_state_dict_keys_are_those_of_the_encoder_and_a_classifier() -> None:
    model = build(3)
    encoder = [f"encoder.{name}" for name in model.encoder.state_dict()]
    head = ["classification_head.classifier.weight", "classification_head.classifier.bias"]
    assert list(model.state_dict()) == encoder + head
