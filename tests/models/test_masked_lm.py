"""MLM alone: what its model is made of, and that a sample's documents see nothing of each other."""

import numpy as np
import pytest
import torch
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import MaskedLMBatch
from clozekit.data.order import Span
from clozekit.interop.head_names import make_model
from clozekit.models import EncoderWithHeads
from clozekit.models.kernels.grouping import Grouping
from tests.data.pretraining.shards_of_words import VOCAB_SIZE, full_sentences_of, write_words
from tests.models.batches import without_dropout
from tests.models.models import pretraining_model


def build(**changes: object) -> EncoderWithHeads:
    """A model whose weights are large enough that every token matters to its neighbours."""
    torch.manual_seed(0)
    config: EncoderConfig = without_dropout(
        vocab_size=VOCAB_SIZE, max_position_embeddings=64, initializer_range=0.3, **changes
    )
    return make_model(["masked_lm_head"], config).double()


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> MaskedLMBatch:
    """Two samples that lie across documents."""
    path = tmp_path_factory.mktemp("shard") / "train-00000.arrow"
    write_words(path, 60, mean_sentences=3, mean_tokens=8)
    source = full_sentences_of([path], max_seq_length=64, short_seq_prob=0)
    made = source.build([Span(0, 0, np.array([3, 7]))], is_training=False)
    assert made.batch_size >= 4
    return made


def run(model: EncoderWithHeads, batch: MaskedLMBatch, input_ids: Tensor) -> Tensor:
    output = model(input_ids, batch.token_type_ids, batch.packing)
    masked = output.sequence_output.index_select(0, batch.masked_lm_positions)
    logits: Tensor = model.masked_lm_head(masked)
    return logits


def sequence_of_targets(batch: MaskedLMBatch) -> Tensor:
    bounds = batch.packing.cu_seqlens[1:].long()
    return torch.searchsorted(bounds, batch.masked_lm_positions, right=True)


def test_it_has_the_encoder_without_a_pooler_and_one_head() -> None:
    config = without_dropout(num_hidden_layers=1)
    whole = pretraining_model(config).state_dict()
    left_out = ("encoder.pooler.", "next_sentence_head.")
    expected = {n: t.shape for n, t in whole.items() if not n.startswith(left_out)}
    model = make_model(["masked_lm_head"], config)
    assert {n: t.shape for n, t in model.state_dict().items()} == expected


def test_every_parameter_is_trained(batch: MaskedLMBatch) -> None:
    model = build()
    run(model, batch, batch.input_ids).square().sum().backward()
    untrained = {name for name, p in model.named_parameters() if p.grad is None}
    assert untrained == set()


def test_a_changed_token_changes_the_predictions_of_its_own_document_alone(
    batch: MaskedLMBatch,
) -> None:
    model, owner = build(), sequence_of_targets(batch)
    before = run(model, batch, batch.input_ids)
    for sequence in range(batch.batch_size):
        changed = batch.input_ids.clone()
        # The token behind [CLS].
        place = int(batch.packing.cu_seqlens[sequence]) + 1
        changed[place] = (changed[place] + 1) % VOCAB_SIZE
        after = run(model, batch, changed)
        is_own = owner == sequence
        assert torch.equal(after[~is_own], before[~is_own])
        assert (after[is_own] != before[is_own]).all(dim=1).all()


def test_a_documents_loss_has_no_gradient_at_the_tokens_of_others(batch: MaskedLMBatch) -> None:
    model, owner = build(), sequence_of_targets(batch)
    embedded: list[Tensor] = []
    model.encoder.embeddings.register_forward_hook(lambda *call: embedded.append(call[2]))
    sequence_of_tokens = torch.repeat_interleave(
        torch.arange(batch.batch_size), batch.packing.cu_seqlens.diff()
    )
    for sequence in range(batch.batch_size):
        logits = run(model, batch, batch.input_ids)
        own = logits[owner == sequence].square().sum()
        (gradient,) = torch.autograd.grad(own, embedded.pop())
        # The encoder may have put sequences of like length together.
        gradient = Grouping.by_length(batch.packing).restore(gradient)
        reached = gradient.abs().sum(dim=1) > 0
        assert torch.equal(reached, sequence_of_tokens == sequence)
