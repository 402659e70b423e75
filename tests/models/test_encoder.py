from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models import Encoder
from tests.models.batches import FULL, RAGGED, packed_batch, tiny_config, without_dropout

LAYOUTS = pytest.mark.parametrize("lengths", [RAGGED, FULL], ids=["ragged", "full"])


def build(config: EncoderConfig | None = None, **arguments: Any) -> Encoder:
    """An encoder whose weights are large enough that every token matters to its neighbours."""
    torch.manual_seed(0)
    config = config or without_dropout(initializer_range=0.3)
    return Encoder(config, **arguments).double()


@LAYOUTS
def test_packed_and_padded_give_the_same(lengths: tuple[int, ...]) -> None:
    encoder, batch = build(), packed_batch(lengths)
    pad, mask = batch.packing.pad, batch.packing.attention_mask

    packed = encoder(batch.input_ids, batch.token_type_ids, packing=batch.packing)
    padded = encoder(pad(batch.input_ids), pad(batch.token_type_ids), attention_mask=mask)

    assert packed.sequence_output.shape == (sum(lengths), 32)
    assert padded.sequence_output.shape == (len(lengths), max(lengths), 32)
    torch.testing.assert_close(padded.sequence_output[mask], packed.sequence_output)
    torch.testing.assert_close(padded.pooled_output, packed.pooled_output)
    assert not padded.sequence_output[~mask].any()


def test_padded_without_a_mask_is_all_real() -> None:
    encoder, batch = build(), packed_batch(FULL)
    ids = batch.packing.pad(batch.input_ids)
    with_mask = encoder(ids, attention_mask=torch.ones_like(ids))
    torch.testing.assert_close(tuple(encoder(ids)), tuple(with_mask))


def test_padding_ids_do_not_matter() -> None:
    encoder, batch = build(), packed_batch()
    mask = batch.packing.attention_mask
    ids = batch.packing.pad(batch.input_ids)
    other = torch.where(mask, ids, 7)
    assert torch.equal(
        encoder(ids, attention_mask=mask).sequence_output,
        encoder(other, attention_mask=mask).sequence_output,
    )


@LAYOUTS
def test_each_sequence_is_encoded_as_if_alone(lengths: tuple[int, ...]) -> None:
    encoder, batch = build(), packed_batch(lengths)
    together = encoder(batch.input_ids, batch.token_type_ids, packing=batch.packing)
    inputs = zip(batch.input_ids.split(lengths), batch.token_type_ids.split(lengths), strict=True)
    alone = [encoder(ids[None], segments[None]) for ids, segments in inputs]

    torch.testing.assert_close(
        together.sequence_output, torch.cat([output.sequence_output[0] for output in alone])
    )
    torch.testing.assert_close(
        together.pooled_output, torch.cat([output.pooled_output for output in alone])
    )


def test_the_order_of_sequences_does_not_matter() -> None:
    encoder, batch = build(), packed_batch(RAGGED)
    order = [2, 0, 3, 1]

    def reordered(packed: Tensor) -> Tensor:
        sequences = packed.split(RAGGED)
        return torch.cat([sequences[i] for i in order])

    before = encoder(batch.input_ids, batch.token_type_ids, packing=batch.packing)
    after = encoder(
        reordered(batch.input_ids),
        reordered(batch.token_type_ids),
        packing=Packing.from_lengths(np.array(RAGGED)[order]),
    )
    torch.testing.assert_close(after.sequence_output, reordered(before.sequence_output))
    torch.testing.assert_close(after.pooled_output, before.pooled_output[order])


@LAYOUTS
@pytest.mark.parametrize("changed", [0, 1])
def test_sequences_do_not_see_each_other(lengths: tuple[int, ...], changed: int) -> None:
    encoder, batch = build(), packed_batch(lengths)
    encoder.float()
    weights = torch.randn(sum(lengths), 32)
    start, end = batch.packing.cu_seqlens[changed : changed + 2].tolist()
    others = torch.ones(sum(lengths), dtype=torch.bool)
    others[start:end] = False

    def run(input_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embeddings: list[Tensor] = []
        hook = encoder.embeddings.register_forward_hook(lambda *args: embeddings.append(args[-1]))
        sequence_output, pooled_output = encoder(
            input_ids, batch.token_type_ids, packing=batch.packing
        )
        hook.remove()
        loss = (sequence_output * weights).sum() + pooled_output.square().sum()
        return sequence_output, pooled_output, torch.autograd.grad(loss, embeddings)[0]

    before = run(batch.input_ids)
    after = run(torch.where(others, batch.input_ids, 49 - batch.input_ids))
    other_sequences = torch.arange(len(lengths)) != changed

    for index, kept in ((0, others), (1, other_sequences), (2, others)):
        assert torch.equal(before[index][kept], after[index][kept])
        assert not torch.equal(before[index][~kept], after[index][~kept])


def test_every_token_sees_every_token_of_its_sequence() -> None:
    encoder, batch = build(), packed_batch((6,))
    before = encoder(batch.input_ids, packing=batch.packing).sequence_output
    for position in range(6):
        ids = batch.input_ids.clone()
        ids[position] = 49 - ids[position]
        after = encoder(ids, packing=batch.packing).sequence_output
        assert (before != after).any(dim=1).all()


def test_one_sequence_of_one_token() -> None:
    sequence_output, pooled_output = build()(torch.tensor([[3]]))
    assert sequence_output.shape == (1, 1, 32)
    assert pooled_output.shape == (1, 32)
    assert pooled_output.isfinite().all()


def test_without_a_pooling_layer() -> None:
    encoder = build(add_pooling_layer=False)
    assert encoder(torch.tensor([[3, 4]])).pooled_output is None
    assert not any(name.startswith("pooler") for name in encoder.state_dict())


def test_the_packed_path_reads_no_value_from_the_device() -> None:
    """A tensor on the meta device has no values, so that a read of one raises."""
    encoder, batch = build().to("meta"), packed_batch()
    output = encoder(
        batch.input_ids.to("meta"),
        batch.token_type_ids.to("meta"),
        packing=batch.packing.to("meta"),
    )
    output.sequence_output.sum().backward()
    assert output.sequence_output.shape == (sum(RAGGED), 32)


def test_the_longest_sequence_fits_and_a_longer_one_is_refused() -> None:
    encoder = build()
    encoder(torch.ones(1, 16, dtype=torch.long))
    message = "17 tokens is longer than max_position_embeddings=16"
    with pytest.raises(ValueError, match=message):
        encoder(torch.ones(1, 17, dtype=torch.long))
    batch = packed_batch((3, 17))
    with pytest.raises(ValueError, match=message):
        encoder(batch.input_ids, packing=batch.packing)


def test_no_vocabulary_size_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size=None"):
        Encoder(tiny_config(vocab_size=None))


def test_inputs_that_do_not_fit_are_refused() -> None:
    encoder, batch = build(), packed_batch()
    ids = batch.packing.pad(batch.input_ids)
    with pytest.raises(ValueError, match="not both"):
        encoder(batch.input_ids, attention_mask=batch.packing.attention_mask, packing=batch.packing)
    with pytest.raises(ValueError, match="25 tokens"):
        encoder(ids, packing=batch.packing)
    with pytest.raises(ValueError, match=r"must be \[batch, seq_len\] without packing"):
        encoder(batch.input_ids)
    with pytest.raises(ValueError, match=r"attention_mask of shape \[4, 11\]"):
        encoder(ids, attention_mask=batch.packing.attention_mask[:, 1:])


@pytest.mark.parametrize(
    "probabilities",
    [
        {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.0},
        {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.5},
    ],
    ids=["hidden", "attention"],
)
def test_dropout_is_random_in_training_only_and_follows_the_seed(
    probabilities: dict[str, float],
) -> None:
    encoder, batch = build(tiny_config(initializer_range=0.3, **probabilities)), packed_batch()

    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        output: Tensor = encoder(batch.input_ids, packing=batch.packing).sequence_output
        return output

    encoder.train()
    assert torch.equal(run(1), run(1))
    assert not torch.allclose(run(1), run(2))
    encoder.eval()
    assert torch.equal(run(1), run(2))


def test_dropout_of_zero_draws_nothing() -> None:
    encoder, batch = build().train(), packed_batch()
    state = torch.get_rng_state()
    training = encoder(batch.input_ids, packing=batch.packing).sequence_output
    assert torch.equal(state, torch.get_rng_state())
    evaluated = encoder.eval()(batch.input_ids, packing=batch.packing).sequence_output
    assert torch.equal(training, evaluated)
