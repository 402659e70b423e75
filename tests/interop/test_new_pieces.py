"""Rows for the new pieces of an extended tokenizer."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.errors import ConfigError
from clozekit.interop.head_names import make_model
from clozekit.interop.new_pieces import old_pieces, with_new_pieces
from clozekit.interop.pretrained import Pretrained
from clozekit.runs.load_pretrained import check_tokenizers_agree, extend_pretrained
from tests.corpus.tokenizers.test_extension import extended_of
from tests.kinds_of_tokenizers import KINDS, tokenizer_of


def pretrained_of(kind: str, padding: int = 0) -> Pretrained:
    tokenizer = tokenizer_of(kind)
    torch.manual_seed(0)
    encoder = EncoderConfig(
        vocab_size=max(tokenizer.get_vocab().values()) + 1 + padding,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    model = make_model(["masked_lm_head"], encoder)
    with torch.no_grad():
        model.masked_lm_head.bias.normal_()
    return Pretrained(Path("base"), encoder, model.state_dict(), tokenizer)


def logits_of(pretrained: Pretrained, ids: list[int]) -> Tensor:
    model = make_model(["masked_lm_head"], pretrained.encoder)
    model.load_state_dict(pretrained.weights)
    model.eval()
    with torch.inference_mode():
        output = model(torch.tensor(ids), None, Packing.from_lengths(np.array([len(ids)])))
        logits: Tensor = model.masked_lm_head(output.sequence_output)
    return logits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [0, 5])
def test_rows_are_means_and_old_texts_have_the_same_outputs(kind: str, padding: int) -> None:
    base, tokenizer = pretrained_of(kind, padding), extended_of(kind)
    made = with_new_pieces(base, tokenizer)
    first = max(tokenizer_of(kind).get_vocab().values()) + 1
    assert made.encoder.vocab_size == first + 12
    embeddings = "encoder.embeddings.token_embeddings.weight"
    for name in (embeddings, "masked_lm_head.bias"):
        assert torch.equal(made.weights[name][:first], base.weights[name][:first])
        for token_id in range(first, first + 12):
            parts = old_pieces(tokenizer_of(kind), tokenizer, token_id)
            assert len(parts) > 1
            assert max(parts) < first
            mean = torch.stack([base.weights[name][part] for part in parts]).mean(dim=0)
            torch.testing.assert_close(made.weights[name][token_id], mean)
    ids = tokenizer.encode("The old horse").ids
    assert ids == tokenizer_of(kind).encode("The old horse").ids
    before, now = logits_of(base, ids), logits_of(made, ids)
    assert torch.equal(now[:, :first], before[:, :first])


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_piece_is_the_text_of_its_old_ones(kind: str) -> None:
    old, new = tokenizer_of(kind), extended_of(kind)
    first = max(old.get_vocab().values()) + 1
    for token_id in range(first, first + 12):
        tokens = [old.id_to_token(i) or "" for i in old_pieces(old, new, token_id)]
        joined = tokens[0] + "".join(token.removeprefix("##") for token in tokens[1:])
        assert joined == new.id_to_token(token_id)


def test_only_a_tokenizer_with_all_old_ids_extends(capsys: pytest.CaptureFixture[str]) -> None:
    base = pretrained_of("modernbert")
    extended = extend_pretrained(base, extended_of("modernbert"))
    check_tokenizers_agree(extended_of("modernbert"), extended)
    assert "12 pieces are new to base" in capsys.readouterr().out
    assert extend_pretrained(base, Tokenizer.from_str(base.tokenizer.to_str())) is base
    other = tokenizer_of("roberta")
    assert extend_pretrained(base, other) is base
    with pytest.raises(ConfigError, match="has another vocabulary than the data"):
        check_tokenizers_agree(other, base)
