"""Which class `encoder._target_` names, and what is refused of a user's own."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from clozekit.errors import ConfigError, DataError
from clozekit.interop.pretrained import load_strictly
from clozekit.models import Encoder, EncoderWithHeads, make_encoder
from clozekit.models.encoder_class import encoder_class
from tests.models.batches import packed_batch, tiny_config


class Widened(Encoder):
    """Reads a key of its own."""

    def __init__(self, config: Any, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer)
        self.factor: float = config.factor


class WithoutArguments(nn.Module):
    def __init__(self) -> None:
        super().__init__()


class Incomplete(nn.Module):
    def __init__(self, config: Any, add_pooling_layer: bool) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.Module()


class WithoutConstructor(nn.Module):
    pass


class Failing(nn.Module):
    def __init__(self, config: Any, add_pooling_layer: bool) -> None:
        super().__init__()
        self.factor = config.factor


@pytest.fixture(autouse=True)
def own_module(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_encoders")
    for kind in (Widened, WithoutArguments, WithoutConstructor, Failing, Incomplete):
        setattr(module, kind.__name__, kind)
    module.a_number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_encoders", module)


def test_the_default_is_clozekits_own() -> None:
    assert type(make_encoder(tiny_config())) is Encoder
    assert encoder_class("clozekit.models.encoder.Encoder") is Encoder


@pytest.mark.parametrize("add_pooling_layer", [True, False])
def test_a_users_class_gets_its_keys(add_pooling_layer: bool) -> None:
    config = tiny_config(_target_="own_encoders.Widened", factor=3.0)
    encoder = make_encoder(config, add_pooling_layer)
    assert isinstance(encoder, Widened)
    assert encoder.factor == 3.0
    assert (encoder.pooler is not None) == add_pooling_layer
    batch = packed_batch()
    output = EncoderWithHeads(encoder)(batch.input_ids, batch.token_type_ids, batch.packing)
    assert output.sequence_output.shape == (batch.packing.num_tokens, config.hidden_size)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module.Encoder", "cannot be imported: No module named 'no_such_module'"),
        ("own_encoders.Nothing", "cannot be imported"),
        ("own_encoders.a_number", "is not a torch.nn.Module class"),
        ("own_encoders.WithoutArguments", "the constructor must take (config, add_pooling_layer)"),
        ("own_encoders.WithoutConstructor", "has no constructor that takes (config, add_pooling"),
        ("own_encoders.Failing", "the constructor failed in test_encoder_class.py, line "),
        (
            "own_encoders.Incomplete",
            "has no embeddings.token_embeddings, blocks, pooler, activation_checkpointing",
        ),
    ],
)
def test_what_is_no_encoder_is_refused(target: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_encoder(tiny_config(_target_=target))
    assert str(caught.value).startswith(f"encoder._target_={target}")
    assert message in str(caught.value)


def test_heads_are_in_the_state_dict_by_their_names() -> None:
    torch.manual_seed(0)
    encoder = make_encoder(tiny_config())
    model = EncoderWithHeads(encoder, first_head=nn.Linear(2, 2), second_head=nn.Linear(2, 1))
    assert list(model.heads) == ["first_head", "second_head"]
    prefixes = list(dict.fromkeys(name.partition(".")[0] for name in model.state_dict()))
    assert prefixes == ["encoder", "first_head", "second_head"]


def test_weights_of_another_shape_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 3))
    weights = {"0.weight": torch.zeros(3, 4), "0.bias": torch.zeros(3)}
    with pytest.raises(DataError, match=r"makes 0.weight of shape \[3, 2\].*shape \[3, 4\]"):
        load_strictly(model, weights, "a.ckpt: encoder._target_=own.Encoder")
    with pytest.raises(DataError, match=r"needs weights that are not saved: 0\.weight"):
        load_strictly(model, {"0.bias": torch.zeros(3)}, "a.ckpt")
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(DataError, match=r"has no place for saved weights: 1\.bias"):
        load_strictly(model, {**saved, "1.bias": torch.zeros(3)}, "a.ckpt")
    load_strictly(model, saved, "a.ckpt")
