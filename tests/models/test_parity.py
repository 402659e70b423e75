"""The same weights in transformers' BERT give the same numbers."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import BertForPreTraining

from clozekit.config.encoder import EncoderConfig
from clozekit.models import EncoderOutput, EncoderWithHeads
from clozekit.tasks.pretraining import PretrainingOutput
from tests.models.batches import FULL, RAGGED, PackedBatch, packed_batch, without_dropout
from tests.models.bert_weights import from_transformers, pretraining_bert
from tests.models.models import pretraining_model, pretraining_output

ACTIVATIONS = ("gelu", "gelu_pytorch_tanh")
TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass
class Results:
    """A model's results in our form: packed, logits at masked positions alone."""

    encoder: EncoderOutput
    output: PretrainingOutput
    losses: tuple[Tensor, Tensor]
    gradients: dict[str, Tensor]


def pair_of_models(
    config: EncoderConfig, dtype: torch.dtype
) -> tuple[BertForPreTraining, EncoderWithHeads]:
    bert = pretraining_bert(config).to(dtype)
    model = pretraining_model(config).to(dtype)
    model.load_state_dict(from_transformers(bert.state_dict(), config.num_hidden_layers))
    return bert, model


def losses(output: PretrainingOutput, batch: PackedBatch) -> tuple[Tensor, Tensor]:
    return (
        F.cross_entropy(output.prediction_logits, batch.masked_lm_labels),
        F.cross_entropy(output.seq_relationship_logits, batch.next_sentence_label),
    )


def run_bert(bert: BertForPreTraining, batch: PackedBatch) -> Results:
    packing = batch.packing
    labels = torch.full_like(batch.input_ids, -100)
    labels[batch.masked_lm_positions] = batch.masked_lm_labels
    mask = packing.attention_mask
    output = bert(
        input_ids=packing.pad(batch.input_ids),
        token_type_ids=packing.pad(batch.token_type_ids),
        attention_mask=mask.long(),
        labels=packing.pad(labels).masked_fill(~mask, -100),
        next_sentence_label=batch.next_sentence_label,
        output_hidden_states=True,
    )
    output.loss.backward()
    hidden_states = output.hidden_states[-1]
    encoded = EncoderOutput(packing.unpad(hidden_states), bert.bert.pooler(hidden_states))
    ours = PretrainingOutput(
        packing.unpad(output.prediction_logits)[batch.masked_lm_positions],
        output.seq_relationship_logits,
    )
    both = losses(ours, batch)
    torch.testing.assert_close(output.loss, both[0] + both[1])
    gradients = {name: p.grad for name, p in bert.named_parameters() if p.grad is not None}
    return Results(encoded, ours, both, from_transformers(gradients, bert.config.num_hidden_layers))


def run_ours(model: EncoderWithHeads, batch: PackedBatch) -> Results:
    encoded = model(batch.input_ids, batch.token_type_ids, batch.packing)
    output = pretraining_output(model, batch)
    both = losses(output, batch)
    (both[0] + both[1]).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return Results(encoded, output, both, gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("num_segments", [1, 2])
@pytest.mark.parametrize("lengths", [RAGGED, FULL], ids=["padded", "full"])
@pytest.mark.parametrize("hidden_act", ACTIVATIONS)
def test_outputs_losses_and_gradients_are_those_of_transformers(
    hidden_act: str, lengths: tuple[int, ...], num_segments: int, dtype: torch.dtype
) -> None:
    bert, model = pair_of_models(without_dropout(hidden_act=hidden_act), dtype)
    batch = packed_batch(lengths, num_segments)

    expected, ours = vars(run_bert(bert, batch)), vars(run_ours(model, batch))

    tolerance = TOLERANCES[dtype]
    torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


def test_the_two_activations_differ() -> None:
    batch = packed_batch()
    exact, approximate = (
        run_ours(pair_of_models(without_dropout(hidden_act=act), torch.float64)[1], batch)
        for act in ACTIVATIONS
    )
    difference = (exact.output.prediction_logits - approximate.output.prediction_logits).abs().max()
    assert difference > 100 * TOLERANCES[torch.float64]


def test_every_weight_of_transformers_is_compared() -> None:
    config = without_dropout()
    bert, model = pair_of_models(config, torch.float32)
    taken = from_transformers(bert.state_dict(), config.num_hidden_layers)
    assert sum(p.numel() for p in bert.parameters()) == sum(w.numel() for w in taken.values())
    assert taken.keys() == dict(model.named_parameters()).keys()


def test_no_segments_given_means_the_first_segment() -> None:
    bert, model = pair_of_models(without_dropout(), torch.float64)
    batch = packed_batch()
    ids = batch.packing.pad(batch.input_ids)
    mask = batch.packing.attention_mask
    expected = bert.bert(input_ids=ids, attention_mask=mask.long())
    sequence_output, pooled_output = model.encoder(ids, attention_mask=mask)
    torch.testing.assert_close(sequence_output[mask], expected.last_hidden_state[mask])
    torch.testing.assert_close(pooled_output, expected.pooler_output)
