"""A model as an ONNX file, with any batch size and length, checked as it is written."""

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from clozekit.errors import ConfigError
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.saving import architecture_of
from clozekit.models.classification import ClassificationModel
from clozekit.models.encoder import Encoder, EncoderOutput, full_packing
from clozekit.models.pretraining import PretrainingModel

TOLERANCE = 1e-4
"""How far outputs of ONNX may lie from torch's: sums are taken in another order."""

# An ONNX file holds at most 2 GiB; larger weights lie in a second file.
_LARGEST_SINGLE_FILE = 1_500_000_000


class PaddedModel(nn.Module):
    """A model on padded input, without a branch that depends on the input's values.

    Args:
        encoder: The encoder.
        heads: What stands on it, by the output's name: a head on tokens for `prediction_logits`,
            heads on sequences for all other names. Without heads the encoder's own outputs are
            given.
    """

    def __init__(self, encoder: Encoder, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs' names, in their order."""
        if self.heads:
            return tuple(self.heads)
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
            The outputs; those on tokens, `[batch, seq_len, …]`, mean nothing at padding.
        """
        packing = full_packing(input_ids)
        key_mask = attention_mask.bool()[:, None, None, :]
        hidden_states = self.encoder.embeddings(
            input_ids.flatten(), token_type_ids.flatten(), packing.position_ids
        )
        for block in self.encoder.blocks:
            hidden_states = block(hidden_states, packing, key_mask)
        sequence_output = hidden_states.unflatten(0, input_ids.shape)
        if self.encoder.pooler is None:
            return (sequence_output,)
        pooled_output = torch.tanh(self.encoder.pooler(sequence_output[:, 0]))
        if not self.heads:
            return sequence_output, pooled_output
        return tuple(
            head(sequence_output if name == "prediction_logits" else pooled_output)
            for name, head in self.heads.items()
        )


def padded_model(pretrained: Pretrained) -> PaddedModel:
    """Makes the model with its heads of pretraining or of classification, else the encoder."""
    architecture = architecture_of(pretrained)
    if architecture == "BertForPreTraining":
        pretraining = PretrainingModel(pretrained.encoder)
        pretraining.load_state_dict(pretrained.weights)
        heads: dict[str, nn.Module] = {
            "prediction_logits": pretraining.masked_lm_head,
            "seq_relationship_logits": pretraining.next_sentence_head,
        }
        return PaddedModel(pretraining.encoder, heads).eval()
    if architecture == "BertForSequenceClassification":
        classifier = ClassificationModel(pretrained.encoder, len(pretrained.label_names or []))
        classifier.load_state_dict(pretrained.weights)
        return PaddedModel(classifier.encoder, {"logits": classifier.classification_head}).eval()
    weights = pretrained.part("encoder")
    encoder = Encoder(pretrained.encoder, add_pooling_layer="pooler.weight" in weights)
    encoder.load_state_dict(weights)
    return PaddedModel(encoder, {}).eval()


def check_packages() -> None:
    """Checks that the packages of the extra `export` are there.

    Raises:
        ConfigError: One of them is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise ConfigError(f"format=onnx needs {package}: pip install 'clozekit[export]'")


def save_onnx(pretrained: Pretrained, folder: Path) -> None:
    """Writes `model.onnx`, and compares it to torch on batches of other shapes.

    Args:
        pretrained: The model; of heads, those of pretraining and of classification are written.
        folder: Where to write; it exists.

    Raises:
        ConfigError: The packages of the extra `export` are not installed.
        RuntimeError: The outputs are not those of torch.
    """
    check_packages()
    import onnxruntime

    model = padded_model(pretrained)
    longest = pretrained.encoder.max_position_embeddings
    path = folder / "model.onnx"
    _export(model, _example(model.encoder, 2, min(8, longest)), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch_size, seq_len in ((1, 1), (3, min(11, longest)), (2, longest)):
        example = _example(model.encoder, batch_size, seq_len)
        with torch.inference_mode():
            expected = model(*example.values())
        given = session.run(None, {name: tensor.numpy() for name, tensor in example.items()})
        for name, ours, theirs in zip(model.output_names, expected, given, strict=True):
            difference = float((ours - torch.from_numpy(theirs)).abs().max())
            # A difference that is no number fails too.
            if not difference <= TOLERANCE:
                raise RuntimeError(
                    f"{path}: {name} differs from torch by {difference:.2g}, more than {TOLERANCE}"
                )


def _export(model: PaddedModel, example: dict[str, Tensor], path: Path) -> None:
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    dims = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    # torch warns of its own code, and of packages that no model here needs.
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
    """Random ids of two segments; every row but the first is padded."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch_size, seq_len)
    vocab_size = encoder.embeddings.token_embeddings.num_embeddings
    mask = torch.ones(shape, dtype=torch.int64)
    mask[1:, seq_len - seq_len // 3 :] = 0
    return {
        "input_ids": torch.randint(vocab_size, shape, generator=generator),
        "attention_mask": mask,
        "token_type_ids": torch.randint(
            min(2, encoder.config.type_vocab_size), shape, generator=generator
        ),
    }
