"""Sequences in groups of like length: nothing is lost, and outputs and gradients are the same."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clozekit.data.packing import Packing
from clozekit.models.encoder import Encoder
from clozekit.models.kernels import grouping
from clozekit.models.kernels.grouping import Grouping
from tests.models.batches import without_dropout

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=24)


@pytest.fixture(autouse=True)
def small_groups_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "LEAST_SCORES", 1)


@given(LENGTHS)
def test_every_sequence_is_in_one_group_with_those_of_like_length(lengths: list[int]) -> None:
    packing = Packing.from_lengths(np.array(lengths))
    made = Grouping.by_length(packing)
    assert 1 <= len(made.groups) <= 2**grouping.CUTS_IN_HALF
    of_groups = [group.packing.cu_seqlens.diff() for group in made.groups]
    in_order = torch.cat(of_groups)
    assert torch.equal(in_order, made.packing.cu_seqlens.diff())
    assert sorted(in_order.tolist()) == sorted(lengths)
    if len(made.groups) > 1:
        assert in_order.tolist() == sorted(lengths, reverse=True)
        before = packing.batch_size * packing.max_seqlen**2
        after = sum(g.packing.batch_size * g.packing.max_seqlen**2 for g in made.groups)
        assert after <= (1 - grouping.LEAST_GAIN) * before
    for group, own in zip(made.groups, of_groups, strict=True):
        if group.key_mask is None:
            assert (own == group.packing.max_seqlen).all()
        else:
            assert torch.equal(group.key_mask.flatten(1).sum(dim=1), own)


@given(LENGTHS)
def test_tokens_of_a_sequence_stay_together_and_come_back(lengths: list[int]) -> None:
    packing = Packing.from_lengths(np.array(lengths))
    made = Grouping.by_length(packing)
    tokens = torch.arange(packing.num_tokens)
    assert torch.equal(made.restore(made.arrange(tokens)), tokens)
    assert torch.equal(made.arrange(packing.position_ids), made.packing.position_ids)


@settings(deadline=None, max_examples=25)
@given(LENGTHS, st.booleans())
def test_outputs_and_gradients_are_those_of_one_group(lengths: list[int], longest: bool) -> None:
    """Also where the batch comes sorted by length, as fine-tuning's does."""
    packing = Packing.from_lengths(np.array(sorted(lengths, reverse=True) if longest else lengths))
    torch.manual_seed(0)
    encoder = Encoder(
        without_dropout(vocab_size=50, max_position_embeddings=64, initializer_range=0.3)
    ).double()
    ids = torch.randint(0, 50, (packing.num_tokens,))
    segments = torch.randint(0, 2, (packing.num_tokens,))

    def run(given: Packing, in_groups: bool) -> list[torch.Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            if not in_groups:
                patch.setattr(Encoder, "_grouping", lambda _, p: Grouping.single_group(p))
            encoder.zero_grad()
            output = encoder(ids, segments, packing=given)
            (output.sequence_output[:, 0].sum() + output.pooled_output.square().sum()).backward()
        gradients = [p.grad for p in encoder.parameters() if p.grad is not None]
        return [*output, *gradients]

    for ours, plain in zip(run(packing, True), run(packing, False), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-9)


def test_lengths_that_are_nearly_the_same_stay_in_their_order() -> None:
    packing = Packing.from_lengths(np.array([50, 52, 49, 51]))
    assert Grouping.by_length(packing).order is None
    assert len(Grouping.by_length(packing).groups) == 1


def test_a_small_gain_is_not_worth_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    packing = Packing.from_lengths(np.array([20, 10]))
    assert len(Grouping.by_length(packing).groups) == 2
    monkeypatch.setattr(grouping, "LEAST_SCORES", 1 << 14)
    assert len(Grouping.by_length(packing).groups) == 1


def test_without_groups_in_a_graph() -> None:
    """A compiled encoder is not made anew for each grouping of lengths."""
    torch.manual_seed(0)
    encoder = Encoder(without_dropout(vocab_size=50, max_position_embeddings=64))
    packing = Packing.from_lengths(np.array([40, 3, 30, 2]))
    ids = torch.randint(0, 50, (packing.num_tokens,))
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(encoder, backend=keep)
    output = compiled(ids, packing=packing).sequence_output
    assert len(graphs) == 1
    torch.testing.assert_close(output, encoder(ids, packing=packing).sequence_output)
