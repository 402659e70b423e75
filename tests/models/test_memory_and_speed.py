"""Activation checkpointing and compilation against the plain encoder."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from clozekit.data.packing import Packing
from clozekit.models import Encoder
from tests.models.batches import tiny_config, without_dropout
from tests.models.saved import saved_tensors


def packed(lengths: list[int]) -> tuple[Tensor, Tensor, Packing]:
    packing = Packing.from_lengths(np.array(lengths))
    generator = torch.Generator().manual_seed(len(lengths))
    ids = torch.randint(5, 50, (packing.num_tokens,), generator=generator)
    return ids, packing.position_ids % 2, packing


def outputs_and_gradients(encoder: Encoder, lengths: list[int]) -> list[Tensor]:
    torch.manual_seed(1)
    ids, segments, packing = packed(lengths)
    output = encoder(ids, segments, packing=packing)
    loss = output.sequence_output.sin().sum() + output.pooled_output.sin().sum()
    return [*output, *torch.autograd.grad(loss, list(encoder.parameters()))]


def saved_bytes(run: Callable[[], object]) -> int:
    storages = [tensor.untyped_storage() for tensor in saved_tensors(run)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_checkpointing_changes_nothing_with_dropout_on_either() -> None:
    encoder = Encoder(tiny_config(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3))
    plain = outputs_and_gradients(encoder, [5, 16, 9])
    encoder.activation_checkpointing = True
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(outputs_and_gradients(encoder, [5, 16, 9]), plain, strict=True)
    )


def test_checkpointing_keeps_less_for_backward() -> None:
    encoder = Encoder(without_dropout())
    ids, segments, packing = packed([16] * 64)
    plain = saved_bytes(lambda: encoder(ids, segments, packing=packing))
    encoder.activation_checkpointing = True
    assert saved_bytes(lambda: encoder(ids, segments, packing=packing)) < plain / 3


LENGTHS = ([5, 16, 9], [3, 12], [16, 16], [7, 2, 11, 16])


def test_the_encoder_is_one_graph_for_all_lengths() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    config = without_dropout(num_hidden_layers=1)
    encoder, plain = Encoder(config), Encoder(config)
    plain.load_state_dict(encoder.state_dict())
    keys = list(encoder.state_dict())
    encoder.compile(dynamic=True, fullgraph=True, backend="eager")
    for lengths in LENGTHS:
        torch.testing.assert_close(
            outputs_and_gradients(encoder, list(lengths)),
            outputs_and_gradients(plain, list(lengths)),
        )
    assert list(encoder.state_dict()) == keys
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert compiled <= 3, "one for padded batches, one for full ones, one with static sizes"
