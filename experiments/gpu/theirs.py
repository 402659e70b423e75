"""transformers' training steps at its best settings, on the same batches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import transformers
from reused import IGNORED, padded_inputs, reference_config
from torch import Tensor, nn
from transformers.utils import is_flash_attn_2_available

from clozekit.config.encoder import EncoderConfig
from clozekit.optim.groups import parameter_groups

LEARNING_RATE, WEIGHT_DECAY, MAX_NORM = 1e-4, 0.01, 1.0

Inputs = dict[str, Tensor]


def classification_inputs(batch: Any) -> Inputs:
    return {**batch.padded(), "labels": batch.labels}


def question_inputs(batch: Any) -> Inputs:
    places = {"start_positions": batch.start_positions, "end_positions": batch.end_positions}
    return {**batch.padded(), **places}


KINDS: dict[str, tuple[Any, Callable[[Any], Inputs]]] = {
    "pretraining": (transformers.BertForPreTraining, padded_inputs),
    "classification": (transformers.BertForSequenceClassification, classification_inputs),
    "questions": (transformers.BertForQuestionAnswering, question_inputs),
}


class Theirs:
    """A model with its optimizer, and its blocks of steps.

    Weights are float32, the forward is in bfloat16 by autocast, AdamW is fused, gradients are
    clipped, and nothing waits for the device. The inputs are on the device beforehand: padded to
    the longest sequence of the batch, and for the compiled model to `seq_len`, so that all batches
    have one shape.
    """

    def __init__(
        self,
        kind: str,
        config: EncoderConfig,
        batches: Sequence[Any],
        seq_len: int,
        settings: Mapping[str, Any],
    ) -> None:
        model_class, self.make_inputs = KINDS[kind]
        self.device = torch.device(settings["device"])
        self.batches, self.seq_len = batches, seq_len
        their_config = reference_config(config, num_labels=2)
        self.model = model_class(their_config).to(self.device).train()
        self.optimizer = torch.optim.AdamW(
            parameter_groups(self.model, WEIGHT_DECAY), lr=LEARNING_RATE, fused=True
        )

    def blocks(self, compiling: str) -> dict[str, Callable[[], None]]:
        """Returns the blocks by name: SDPA, FlashAttention 2 if installed, and SDPA compiled.

        Args:
            compiling: The choice of the group `compile` for clozekit: with `off` nothing is
                compiled, and with `reduce_overhead` both use CUDA graphs.
        """
        inputs = [self._on_device(batch) for batch in self.batches]
        blocks = {"transformers": self._block(self.model, inputs, "sdpa")}
        if is_flash_attn_2_available():
            blocks["transformers, flash"] = self._block(self.model, inputs, "flash_attention_2")
        if compiling != "off":
            of_one_shape = [lengthened(each, self.seq_len) for each in inputs]
            mode = "reduce-overhead" if compiling == "reduce_overhead" else None
            compiled = torch.compile(self.model, dynamic=False, mode=mode)
            blocks["transformers, compiled"] = self._block(compiled, of_one_shape, "sdpa")
        return blocks

    def _on_device(self, batch: Any) -> Inputs:
        return {name: of.to(self.device) for name, of in self.make_inputs(batch).items()}

    def _block(self, model: Any, inputs: Sequence[Inputs], attention: str) -> Callable[[], None]:
        def block() -> None:
            if self.model.config._attn_implementation != attention:
                self.model.set_attn_implementation(attention)
            for each in inputs:
                torch.compiler.cudagraph_mark_step_begin()
                with torch.autocast(self.device.type, dtype=torch.bfloat16):
                    loss = model(**each).loss
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
                self.optimizer.step()
                self.optimizer.zero_grad()

        return block


def lengthened(inputs: Inputs, seq_len: int) -> Inputs:
    """Pads `[batch, length]` tensors to `seq_len`; labels with the id that the loss ignores."""
    longer = {}
    for name, of in inputs.items():
        missing = seq_len - of.shape[1] if of.ndim == 2 else 0
        value = IGNORED if name == "labels" else 0
        longer[name] = nn.functional.pad(of, (0, missing), value=value) if missing else of
    return longer
