"""Exports a model to ONNX with any batch size and length, and compares it with torch."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from clozekit.data.packing import Packing
from clozekit.errors import ConfigError
from clozekit.interop.head_names import HEADS, HEADS_OF_SEQUENCES, make_model
from clozekit.interop.pretrained import Pretrained
from clozekit.models.encoder import Encoder, EncoderOutput, full_packing
from clozekit.models.kernels.grouping import Group, Grouping
from clozekit.models.layout import Layout

_LONGEST_COMPARED = 512
TOLERANCE = 1e-4
"""Maximum difference between outputs of ONNX and torch, which sum in a different order."""

# An ONNX file is limited to 2 GiB; larger weights go into a second file.
_LARGEST_SINGLE_FILE = 1_500_000_000


class _Outputs(NamedTuple):
    """The outputs of a head.

    Attributes:
        names: The names of the outputs.
        are_scores: Whether the last dimension of the head is split into one output per entry;
            otherwise the head has a single output that keeps this dimension.
    """

    names: tuple[str, ...]
    are_scores: bool = False


_OUTPUTS = {
    "masked_lm_head": _Outputs(("prediction_logits",)),
    "next_sentence_head": _Outputs(("seq_relationship_logits",)),
    "classification_head": _Outputs(("logits",)),
    "token_classification_head": _Outputs(("logits",)),
    "question_answering_head": _Outputs(("start_logits", "end_logits"), are_scores=True),
    "answer_tagging_head": _Outputs(("logits",)),
    "multiple_choice_head": _Outputs(("logits",), are_scores=True),
}


class PaddedModel(nn.Module):
    """A model for padded input, without branches on the values of the input.

    Its outputs are

        masked_lm_head             prediction_logits        [batch, seq_len, vocab]
        next_sentence_head         seq_relationship_logits  [batch, 2]
        classification_head        logits                   [batch, labels]
        token_classification_head  logits                   [batch, seq_len, labels]
        question_answering_head    start_logits             [batch, seq_len]
                                   end_logits               [batch, seq_len]
        answer_tagging_head        logits                   [batch, seq_len, 3]
        multiple_choice_head       logits                   [batch], one row per choice
        without a head             sequence_output          [batch, seq_len, hidden]
                                   pooled_output            [batch, hidden], if there is a pooler

    Args:
        encoder: The encoder.
        heads: The heads by name.
    """

    def __init__(self, encoder: Encoder, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        if self.heads:
            return tuple(name for part in self.heads for name in _OUTPUTS[part].names)
        return ("sequence_output",) if self.encoder.pooler is None else EncoderOutput._fields

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, ...]:
        """Computes a padded batch.

        Args:
            input_ids: `[batch, seq_len]`.
            attention_mask: `[batch, seq_len]`, non-zero at real tokens.
            token_type_ids: `[batch, seq_len]`.

        Returns:
            The outputs; token outputs at padding are meaningless.
        """
        packing = full_packing(input_ids)
        key_mask = attention_mask.bool()[:, None, None, :]
        layout = self._layout(packing, key_mask)
        local_layout = self._layout(packing, self._within_window(packing, key_mask))
        hidden_states = self.encoder.embeddings(
            input_ids.flatten(), token_type_ids.flatten(), packing.position_ids
        )
        for layer, block in enumerate(self.encoder.blocks):
            is_local = self.encoder.config.has_local_attention(layer)
            hidden_states = block(hidden_states, local_layout if is_local else layout)
        hidden_states = self.encoder.final_norm(hidden_states)
        sequence_output = hidden_states.unflatten(0, input_ids.shape)
        encoded: tuple[Tensor, ...] = (sequence_output,)
        if self.encoder.pooler is not None:
            first = sequence_output[:, 0]
            weights = attention_mask[..., None].to(sequence_output.dtype)
            means = (sequence_output * weights).sum(dim=1) / weights.sum(dim=1)
            is_mean = self.encoder.config.pooling == "mean"
            encoded += (self.encoder.pooler(means if is_mean else first),)
        if not self.heads:
            return encoded
        outputs: list[Tensor] = []
        for part, head in self.heads.items():
            output = head(encoded[1 if part in HEADS_OF_SEQUENCES else 0])
            outputs += output.unbind(-1) if _OUTPUTS[part].are_scores else (output,)
        return tuple(outputs)

    def _layout(self, packing: Packing, key_mask: Tensor) -> Layout:
        grouping = Grouping(packing, (Group(packing, key_mask),))
        return Layout.without_window(grouping, self.encoder.config)

    def _within_window(self, packing: Packing, key_mask: Tensor) -> Tensor:
        """Returns `[batch, 1, seq_len, seq_len]`; the form in blocks has no symbolic shapes."""
        window = self.encoder.config.local_attention
        if window is None:
            return key_mask
        positions = torch.arange(packing.max_seqlen, device=key_mask.device)
        distances = (positions[:, None] - positions).abs()
        # Padding sees itself, because the softmax of a row without keys is undefined.
        return (key_mask & (distances <= window // 2)) | (distances == 0)


def heads_left_out(pretrained: Pretrained) -> list[str]:
    """Lists the heads that ONNX does not get: all of them if one is a user's own."""
    heads = _heads_of(pretrained)
    return [] if heads <= HEADS else sorted(heads)


def _heads_of(pretrained: Pretrained) -> set[str]:
    return {name.partition(".")[0] for name in pretrained.weights} - {"encoder"}


def padded_model(pretrained: Pretrained) -> PaddedModel:
    """Makes the model with its heads, or only the encoder if a head is a user's own."""
    weights = pretrained.weights
    heads = _heads_of(pretrained)
    if heads_left_out(pretrained):
        heads = set()
        weights = {name: t for name, t in weights.items() if name.startswith("encoder.")}
    biases = (t for n, t in weights.items() if n.endswith("_head.classifier.bias"))
    num_labels = next(map(len, biases), 0)
    has_pooler = any(name.startswith("encoder.pooler.") for name in weights)
    model = make_model(heads, pretrained.encoder, num_labels, has_pooler)
    model.load_state_dict(weights)
    assert isinstance(model.encoder, Encoder)
    return PaddedModel(model.encoder, model.heads).eval()


def check_packages() -> None:
    """Checks that the packages of the extra `export` are installed.

    Raises:
        ConfigError: A package is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ConfigError(f"format=onnx needs {package}: pip install 'clozekit[export]'")


def save_onnx(pretrained: Pretrained, folder: Path) -> None:
    """Writes `model.onnx` and compares it with torch on batches of other shapes.

    Args:
        pretrained: The model; see `PaddedModel` for the outputs.
        folder: An existing folder.

    Raises:
        ConfigError: The packages of the extra `export` are not installed.
        RuntimeError: The outputs differ from those of torch.
    """
    check_packages()
    import onnxruntime

    model = padded_model(pretrained)
    longest = pretrained.encoder.longest_sequence
    path = folder / "model.onnx"
    _export(model, _example(model.encoder, 2, min(8, longest)), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch_size, seq_len in (
        (1, 1),
        (3, min(11, longest)),
        (2, min(_LONGEST_COMPARED, longest)),
    ):
        example = _example(model.encoder, batch_size, seq_len)
        with torch.inference_mode():
            expected = model(*example.values())
        given = session.run(None, {name: tensor.numpy() for name, tensor in example.items()})
        for name, ours, theirs in zip(model.output_names, expected, given, strict=True):
            difference = float((ours - torch.from_numpy(theirs)).abs().max())
            # Negated so that a NaN fails too.
            if not difference <= TOLERANCE:
                raise RuntimeError(
                    f"{path}: {name} differs from torch by {difference:.2g}, more than {TOLERANCE}"
                )


def _export(model: PaddedModel, example: dict[str, Tensor], path: Path) -> None:
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    dims = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    # torch warns about its own code and about packages that no model here needs.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                tuple(example.values()),
                path,
                dynamo=True,
                input_names=list(example),
                output_names=list(model.output_names),
                dynamic_shapes=dict.fromkeys(example, dims),
                external_data=num_bytes > _LARGEST_SINGLE_FILE,
                verbose=False,
            )
    finally:
        logger.setLevel(level)


def _example(encoder: Encoder, batch_size: int, seq_len: int) -> dict[str, Tensor]:
    """Returns random ids of two segments; every row but the first is padded."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, seq_len)
    vocab_size = encoder.embeddings.token_embeddings.num_embeddings
    mask = torch.ones(shape, dtype=torch.int64)
    mask[1:, seq_len - seq_len // 3 :] = 0
    return {
        "input_ids": torch.randint(vocab_size, shape, generator=generator),
        "attention_mask": mask,
        "token_type_ids": torch.randint(
            max(1, min(2, encoder.config.type_vocab_size)), shape, generator=generator
        ),
    }
