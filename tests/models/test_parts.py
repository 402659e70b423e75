"""The parts of encoders that BERT and ModernBERT do not have."""

import numpy as np
import pytest
import torch

from clozekit.data.packing import Packing
from clozekit.interop.head_names import make_model
from clozekit.models import Encoder
from clozekit.models.static_shapes import StaticEncoder
from tests.models.batches import packed_batch, tiny_config, without_dropout


def output_of(encoder: Encoder) -> torch.Tensor:
    batch = packed_batch()
    output = encoder.eval()(batch.input_ids, batch.token_type_ids, packing=batch.packing)
    sequence_output: torch.Tensor = output.sequence_output
    return sequence_output


def test_the_first_position_is_that_of_the_offset() -> None:
    plain = Encoder(tiny_config())
    shifted = Encoder(tiny_config(position_offset=3, max_position_embeddings=19))
    weights = plain.state_dict()
    name = "embeddings.position_embeddings.weight"
    weights[name] = torch.cat([torch.full((3, 32), torch.nan), weights[name]])
    shifted.load_state_dict(weights)
    torch.testing.assert_close(output_of(shifted), output_of(plain), rtol=0, atol=0)


def test_the_offset_shortens_the_longest_sequence() -> None:
    encoder = Encoder(tiny_config(position_offset=3))
    ids = torch.ones(1, 13, dtype=torch.long)
    assert encoder(ids).sequence_output.shape == (1, 13, 32)
    message = "14 tokens is longer than max_position_embeddings=16 minus position_offset=3"
    with pytest.raises(ValueError, match=message):
        encoder(torch.ones(1, 14, dtype=torch.long))
    assert StaticEncoder(encoder, 64).shapes.longest_sequence == 13


def test_padding_for_static_shapes_stays_within_the_positions() -> None:
    encoder = Encoder(tiny_config(position_offset=3))
    padded = StaticEncoder(encoder, 64).shapes.padded(Packing.from_lengths(np.array([5, 13])))
    assert int(padded.position_ids.max()) == 12


def test_one_segment_is_that_of_every_token() -> None:
    encoder = Encoder(tiny_config(type_vocab_size=1)).eval()
    batch = packed_batch()
    assert batch.token_type_ids.max() == 1
    expected = encoder(batch.input_ids, None, packing=batch.packing)
    torch.testing.assert_close(output_of(encoder), expected.sequence_output, rtol=0, atol=0)


@pytest.mark.parametrize("embedding_size", [16, 64])
def test_embeddings_of_another_size_are_projected_and_predict_words(embedding_size: int) -> None:
    config = without_dropout(embedding_size=embedding_size)
    model = make_model(["masked_lm_head"], config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes["encoder.embeddings.token_embeddings.weight"] == (50, embedding_size)
    assert shapes["encoder.embeddings.position_embeddings.weight"] == (16, embedding_size)
    assert shapes["encoder.embeddings.layer_norm.weight"] == (embedding_size,)
    assert shapes["encoder.embeddings.projection.weight"] == (32, embedding_size)
    assert shapes["masked_lm_head.dense.weight"] == (embedding_size, 32)
    batch = packed_batch()
    output = model(batch.input_ids, batch.token_type_ids, batch.packing)
    hidden = output.sequence_output[batch.masked_lm_positions]
    logits = model.masked_lm_head(hidden)
    assert logits.shape == (len(hidden), 50)
    loss = model.masked_lm_head.cross_entropy(hidden, batch.masked_lm_labels).loss_sum
    expected = torch.nn.functional.cross_entropy(logits, batch.masked_lm_labels, reduction="sum")
    torch.testing.assert_close(loss, expected)


def test_the_hidden_size_as_size_of_the_embeddings_is_bert() -> None:
    config = tiny_config(embedding_size=32)
    assert config == tiny_config() and config.is_bert
    assert Encoder(config).state_dict().keys() == Encoder(tiny_config()).state_dict().keys()


@pytest.mark.parametrize(
    ("name", "function"),
    [("tanh", torch.tanh), ("relu", torch.relu), ("gelu", torch.nn.functional.gelu)],
)
def test_the_activation_below_heads_on_sequences(name: str, function: object) -> None:
    assert callable(function)
    config = tiny_config(classifier_activation=name, initializer_range=0.3)
    encoder = Encoder(config).eval()
    batch = packed_batch()
    output = encoder(batch.input_ids, batch.token_type_ids, packing=batch.packing)
    assert output.pooled_output is not None
    first = output.sequence_output[batch.packing.first_tokens]
    dense = torch.nn.functional.linear(first, encoder.pooler.weight, encoder.pooler.bias)  # type: ignore[union-attr,arg-type]
    torch.testing.assert_close(output.pooled_output, function(dense))
    # Heads on tokens are on the tokens.
    tagger = make_model(["token_classification_head"], config, 3)
    heads = {name for name in tagger.state_dict() if not name.startswith("encoder.")}
    assert heads == {f"token_classification_head.classifier.{kind}" for kind in ("weight", "bias")}
