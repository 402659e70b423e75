"""What every family of published encoders is tested by: random models of two sizes each."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from clozekit.data.packing import Packing
from clozekit.interop.families import family_of_config
from clozekit.interop.head_names import HEADS_OF_SEQUENCES, make_model
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.saving import save_transformers
from clozekit.interop.transformers import load_transformers
from clozekit.models import EncoderWithHeads
from tests.interop.folders import write_vocabulary
from tests.interop.test_saving import loaded_without_a_warning
from tests.models.models import logits_of

HEADS = {
    "ForMaskedLM": "masked_lm_head",
    "ForSequenceClassification": "classification_head",
    "ForTokenClassification": "token_classification_head",
    "ForQuestionAnswering": "question_answering_head",
    "ForMultipleChoice": "multiple_choice_head",
}
"""clozekit's name of the head of each class, by the end of the class's name."""

LONGEST = 24
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Published:
    """A family of transformers.

    Attributes:
        name: The beginning of the names of its classes.
        sizes: The arguments of its configuration, by the names of two sizes.
        num_segments: How many segment ids its models are given; 1 for none.
    """

    name: str
    sizes: dict[str, dict[str, Any]]
    num_segments: dict[str, int] = field(default_factory=dict)

    def config(self, size: str, **changes: Any) -> Any:
        kind = getattr(transformers, f"{self.name}Config")
        return kind(**{"vocab_size": 60, "num_labels": 2, **self.sizes[size], **changes})

    def random_model(self, end: str, size: str, **changes: Any) -> Any:
        """A model in evaluation, every parameter random: zeros would hide mistakes."""
        model = getattr(transformers, f"{self.name}{end}")(self.config(size, **changes)).eval()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(0, 0.1, generator=generator)
                if "norm" in name.lower() and name.endswith("weight"):
                    parameter.add_(1)
        return model

    def folder(self, path: Path, end: str, size: str, **changes: Any) -> Any:
        """Writes a random model with a vocabulary to a new folder; gives the model."""
        path.mkdir()
        model = self.random_model(end, size, **changes)
        model.save_pretrained(path)
        write_vocabulary(path, model.config.pad_token_id)
        return model


BERT_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": LONGEST,
}
OTHER_SIZES = BERT_SIZES | {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
OF_ROBERTA: dict[str, dict[str, Any]] = {
    "small": BERT_SIZES
    | {"max_position_embeddings": LONGEST + 1, "pad_token_id": 0, "type_vocab_size": 1},
    "other": OTHER_SIZES
    | {"max_position_embeddings": LONGEST + 2, "pad_token_id": 1, "layer_norm_eps": 1e-5},
}
OF_DISTILBERT: dict[str, dict[str, Any]] = {
    "small": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
    "other": {"dim": 24, "n_layers": 3, "n_heads": 2, "hidden_dim": 40, "activation": "gelu_new"},
}
OF_MODERNBERT: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4},
    "other": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "norm_bias": True,
        "attention_bias": True,
        "mlp_bias": True,
        "classifier_bias": True,
        "classifier_pooling": "mean",
        "global_attn_every_n_layers": 2,
        "local_attention": 4,
    },
}
IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2}
PUBLISHED = (
    Published("Roberta", OF_ROBERTA, {"other": 2}),
    Published("XLMRoberta", OF_ROBERTA, {"other": 2}),
    Published("Camembert", OF_ROBERTA, {"other": 2}),
    Published(
        "DistilBert",
        {k: {**v, "max_position_embeddings": LONGEST} for k, v in OF_DISTILBERT.items()},
    ),
    Published(
        "Electra",
        {
            "small": {**BERT_SIZES, "embedding_size": 16},
            "other": {**OTHER_SIZES, "embedding_size": 24},
        },
        {"small": 2, "other": 2},
    ),
    Published(
        "ModernBert",
        {
            size: {
                "intermediate_size": 40,
                "max_position_embeddings": LONGEST,
                "local_attention": 8,
                "sep_token_id": 3,
                **IDS,
                **changes,
            }
            for size, changes in OF_MODERNBERT.items()
        },
    ),
)


def of_name(name: str) -> Published:
    return next(published for published in PUBLISHED if published.name == name)


def every_model() -> Iterator[Any]:
    """Every family, class with a head, and size, as parameters of a test."""
    for published in PUBLISHED:
        for end in HEADS:
            for size in published.sizes:
                yield pytest.param(published, end, size, id=f"{published.name}{end}-{size}")


@dataclass(frozen=True)
class Inputs:
    """Sequences of every length: `[batch, seq_len]` each, and the same packed."""

    ids: Tensor
    segments: Tensor
    mask: Tensor

    @classmethod
    def random(cls) -> "Inputs":
        lengths = torch.arange(1, LONGEST + 1)
        generator = torch.Generator().manual_seed(1)
        shape = (len(lengths), LONGEST)
        return cls(
            # No special tokens: transformers takes the padding token for padding.
            torch.randint(5, 60, shape, generator=generator),
            torch.randint(0, 2, shape, generator=generator),
            torch.arange(LONGEST) < lengths[:, None],
        )

    @property
    def packing(self) -> Packing:
        return Packing.from_lengths(np.array(self.mask.sum(dim=1)))

    def of_theirs(self, model: Any, num_segments: int) -> Tensor:
        """What a model of transformers computes: of sequences, or of all tokens with padding."""
        given = {"input_ids": self.ids, "attention_mask": self.mask.long()}
        if num_segments > 1:
            given["token_type_ids"] = self.segments
        if "MultipleChoice" in type(model).__name__:
            given = {name: tensor[None] for name, tensor in given.items()}
            logits: Tensor = model(**given).logits[0, :, None]
            return logits
        output = model(**given)
        if "start_logits" in output:
            return torch.stack([output.start_logits, output.end_logits], dim=-1)
        first: Tensor = output[0]
        return first if first.ndim == 2 else first[self.mask]

    def of_ours(self, model: EncoderWithHeads) -> Tensor:
        """The same of clozekit's, packed. Families without segments are given some too."""
        return logits_of(model, self.ids[self.mask], self.segments[self.mask], self.packing)

    def padded_of_ours(self, model: EncoderWithHeads) -> Tensor:
        """The same from padded input."""
        output = model.encoder(self.ids, self.segments, attention_mask=self.mask)  # type: ignore[call-arg]
        ((name, head),) = model.heads.items()
        is_of_sequences = name in HEADS_OF_SEQUENCES
        logits: Tensor = head(output.pooled_output if is_of_sequences else output.sequence_output)
        return logits if is_of_sequences else logits[self.mask]


def our_model(pretrained: Pretrained, head: str) -> EncoderWithHeads:
    """clozekit's model with all weights of a folder."""
    model = make_model([head], pretrained.encoder, 2).eval()
    model.load_state_dict(pretrained.weights)
    return model


def check_outputs_and_gradients(
    theirs: Any, ours: EncoderWithHeads, pretrained: Pretrained, num_segments: int
) -> None:
    """Compares logits and the gradients of all of clozekit's parameters."""
    inputs = Inputs.random()
    expected = inputs.of_theirs(theirs, num_segments)
    expected = expected if expected.ndim == 2 else expected[inputs.mask]
    logits = inputs.of_ours(ours)
    torch.testing.assert_close(logits, expected, rtol=TOLERANCE, atol=TOLERANCE)
    padded = inputs.padded_of_ours(ours)
    torch.testing.assert_close(padded, expected, rtol=TOLERANCE, atol=TOLERANCE)

    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))
    (logits * weight).sum().backward()
    (expected * weight).sum().backward()
    of_theirs = dict(theirs.named_parameters(remove_duplicate=False))
    family = family_of_config(theirs.config.to_dict(), pretrained.path)
    names = family.names(pretrained.encoder, frozenset(ours.heads))
    for name, parameter in ours.named_parameters():
        wanted = torch.cat([of_theirs[part].grad for part in names[name]])
        assert parameter.grad is not None, name
        difference = float((parameter.grad - wanted).abs().max())
        assert difference <= TOLERANCE * max(1.0, float(wanted.abs().max())), name


def check_export(
    pretrained: Pretrained, theirs: Any, num_segments: int, folder: Path, caplog: Any
) -> None:
    """Exports what was read, reads it again, and loads it in transformers."""
    folder.mkdir()
    assert save_transformers(pretrained, folder) == []
    again = load_transformers(folder)
    torch.testing.assert_close(again.weights, pretrained.weights, rtol=0, atol=0)
    assert again.encoder == pretrained.encoder
    config = json.loads((folder / "config.json").read_text())
    name = type(theirs).__name__
    assert config["architectures"] == [name]
    assert config["model_type"] == theirs.config.model_type
    loaded = loaded_without_a_warning(name, folder, caplog)
    for key in theirs.config.to_dict():
        if key in pretrained.encoder.model_dump():
            assert getattr(loaded.config, key) == getattr(theirs.config, key), key
    inputs = Inputs.random()
    found, expected = (inputs.of_theirs(model, num_segments) for model in (loaded, theirs))
    if expected.ndim == 3:
        found, expected = found[inputs.mask], expected[inputs.mask]
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
