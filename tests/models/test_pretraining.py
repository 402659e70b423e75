import copy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.models import EncoderWithHeads
from clozekit.tasks.pretraining import pretraining_losses
from tests.models.batches import PackedBatch, packed_batch, tiny_config, without_dropout
from tests.models.models import pretraining_model, pretraining_output

TIED = "encoder.embeddings.token_embeddings.weight"


def build(config: EncoderConfig | None = None) -> EncoderWithHeads:
    torch.manual_seed(0)
    return pretraining_model(config or without_dropout())


def loss_of(model: EncoderWithHeads, batch: PackedBatch) -> Tensor:
    output = pretraining_output(model, batch)
    return F.cross_entropy(output.prediction_logits, batch.masked_lm_labels) + F.cross_entropy(
        output.seq_relationship_logits, batch.next_sentence_label
    )


def test_logits_stand_at_masked_positions_alone() -> None:
    batch = packed_batch()
    output = pretraining_output(build(), batch)
    assert output.prediction_logits.shape == (len(batch.masked_lm_positions), 50)
    assert output.seq_relationship_logits.shape == (batch.packing.batch_size, 2)


def test_a_batch_without_targets_still_predicts_the_next_sentence() -> None:
    batch = packed_batch()
    batch.masked_lm_positions = batch.masked_lm_positions[:0]
    output = pretraining_output(build(), batch)
    assert output.prediction_logits.shape == (0, 50)
    assert output.seq_relationship_logits.isfinite().all()


def test_state_dict_keys_are_stable() -> None:
    """A changed key is a changed checkpoint format: see the docstring of `clozekit.models`."""
    config = without_dropout(num_hidden_layers=1)
    assert {name: list(tensor.shape) for name, tensor in build(config).state_dict().items()} == {
        "encoder.embeddings.token_embeddings.weight": [50, 32],
        "encoder.embeddings.position_embeddings.weight": [16, 32],
        "encoder.embeddings.token_type_embeddings.weight": [2, 32],
        "encoder.embeddings.layer_norm.weight": [32],
        "encoder.embeddings.layer_norm.bias": [32],
        "encoder.blocks.0.attention.qkv.weight": [96, 32],
        "encoder.blocks.0.attention.qkv.bias": [96],
        "encoder.blocks.0.attention.output.weight": [32, 32],
        "encoder.blocks.0.attention.output.bias": [32],
        "encoder.blocks.0.attention_norm.weight": [32],
        "encoder.blocks.0.attention_norm.bias": [32],
        "encoder.blocks.0.feed_forward.intermediate.weight": [48, 32],
        "encoder.blocks.0.feed_forward.intermediate.bias": [48],
        "encoder.blocks.0.feed_forward.output.weight": [32, 48],
        "encoder.blocks.0.feed_forward.output.bias": [32],
        "encoder.blocks.0.feed_forward_norm.weight": [32],
        "encoder.blocks.0.feed_forward_norm.bias": [32],
        "encoder.pooler.weight": [32, 32],
        "encoder.pooler.bias": [32],
        "masked_lm_head.bias": [50],
        "masked_lm_head.dense.weight": [32, 32],
        "masked_lm_head.dense.bias": [32],
        "masked_lm_head.layer_norm.weight": [32],
        "masked_lm_head.layer_norm.bias": [32],
        "next_sentence_head.seq_relationship.weight": [2, 32],
        "next_sentence_head.seq_relationship.bias": [2],
    }


def test_the_decoder_is_the_token_embedding() -> None:
    model, batch = build(), packed_batch()
    # Logits are those of the embedding's weight, before and after a step that changes it.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    before = model.state_dict()[TIED].clone()
    for _ in range(2):
        hidden = torch.randn(3, 32)
        head = model.masked_lm_head
        transformed = head.layer_norm(head.activation(head.dense(hidden)))
        expected = transformed @ model.state_dict()[TIED].T + head.bias
        torch.testing.assert_close(head(hidden), expected)
        loss_of(model, batch).backward()
        optimizer.step()
        assert not torch.equal(before, model.state_dict()[TIED])


def test_the_tied_weight_gets_the_gradients_of_both_its_uses() -> None:
    model, batch = build(), packed_batch((9,))
    pretraining_output(model, batch).prediction_logits[:, 0].sum().backward()
    gradient = model.encoder.embeddings.token_embeddings.weight.grad
    assert gradient is not None
    # The decoder's row 0 gave the logits, the embedding's other rows the inputs.
    used = {0, *batch.input_ids.tolist()}
    assert len(used) > len(set(batch.input_ids.tolist()))
    assert set(gradient.any(dim=1).nonzero().flatten().tolist()) == used


@pytest.mark.parametrize("how", ["deepcopy", "load", "float64"])
def test_the_tie_survives(how: str) -> None:
    model = build()
    if how == "deepcopy":
        model = copy.deepcopy(model)
    elif how == "load":
        state = build(without_dropout(initializer_range=0.5)).state_dict()
        model.load_state_dict(state)
    else:
        model = model.double()
    hidden = torch.randn(2, 32, dtype=model.masked_lm_head.bias.dtype)
    with torch.no_grad():
        before = model.masked_lm_head(hidden)
        model.encoder.embeddings.token_embeddings.weight.zero_()
        after = model.masked_lm_head(hidden)
    assert before.any()
    assert not after.any()


def test_every_parameter_gets_a_gradient() -> None:
    model = build()
    loss_of(model, packed_batch()).backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_construction_and_training_follow_the_seed() -> None:
    def weights_after_two_steps(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        model = pretraining_model(tiny_config())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model, packed_batch()).backward()
            optimizer.step()
        return model.state_dict()

    first, second, other = (weights_after_two_steps(seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first[TIED], other[TIED])


def test_it_learns_one_batch_by_heart() -> None:
    model, batch = build(), packed_batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = loss_of(model, batch).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
    assert first > 4
    assert loss.item() < 0.1


def test_bfloat16_autocast() -> None:
    model, batch = build(), packed_batch()
    expected = pretraining_output(model, batch)
    with torch.autocast("cpu", torch.bfloat16):
        output = pretraining_output(model, batch)
        loss = loss_of(model, batch)
    loss.backward()
    assert output.prediction_logits.dtype == torch.bfloat16
    torch.testing.assert_close(
        output.prediction_logits.float(), expected.prediction_logits, rtol=0, atol=0.03
    )
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("targets", [None, 0])
def test_losses_and_their_gradients_are_those_of_the_logits(targets: int | None) -> None:
    batch = packed_batch()
    batch.masked_lm_positions = batch.masked_lm_positions[:targets]
    batch.masked_lm_labels = batch.masked_lm_labels[:targets]
    model, plain = build(), build()
    losses = pretraining_losses(model, batch)
    output = pretraining_output(plain, batch)
    of_logits = [
        (output.prediction_logits, batch.masked_lm_labels),
        (output.seq_relationship_logits, batch.next_sentence_label),
    ]
    expected = [F.cross_entropy(*pair, reduction="sum") for pair in of_logits]
    torch.testing.assert_close([loss.loss_sum for loss in losses], expected)
    correct = [(logits.argmax(-1) == labels).sum() for logits, labels in of_logits]
    assert [loss.num_correct for loss in losses] == correct

    sum(loss.loss_sum for loss in losses).backward()
    sum(expected).backward()
    for (name, ours), theirs in zip(model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(
            ours.grad, theirs.grad, rtol=1e-5, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}"
        )
