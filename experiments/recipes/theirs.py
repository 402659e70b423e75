"""Pretrains transformers' BERT as `clozekit train` would with the same overrides.

    python -m experiments.recipes.theirs train experiment=demo_pretraining name=…

Batches, optimizer, schedule and the held-out pairs are those of clozekit; model, loss and gradients
are those of transformers. The run's folder gets its model and `results.json`.
"""

import json
import sys
import time
from typing import Any

import torch
import transformers
from experiments.equal_time_speeds import parts_of
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.lr_scheduler import LambdaLR

from clozekit.data.batch import PretrainingBatch
from clozekit.optim.groups import parameter_groups
from clozekit.optim.schedules import make_schedule
from clozekit.training.assembly import make_module

IGNORED = -100
WARM_UP_STEPS = 3


class TheirTraining:
    """transformers' model and the steps that train it.

    Args:
        overrides: Those of `clozekit train`.
    """

    def __init__(self, overrides: list[str]) -> None:
        parts = parts_of(overrides)[1]
        self.config, self.datamodule, encoder = parts.config, parts.datamodule, parts.encoder
        assert self.config.max_steps is not None
        torch.manual_seed(self.config.seed)
        published = transformers.BertConfig(**encoder.published(), attn_implementation="sdpa")
        self.model = transformers.BertForPreTraining(published).train()
        # For its optimizer, whose arguments are those of the configuration.
        task = make_module(self.config, encoder, self.datamodule, self.config.max_steps)
        assert task.make_optimizer is not None
        self.optimizer = task.make_optimizer(parameter_groups(self.model, task.weight_decay))
        self.schedule = LambdaLR(
            self.optimizer, make_schedule(self.config.schedule, self.config.max_steps)
        )
        self.max_norm = self.config.trainer.gradient_clip_val
        self.steps: Any = iter(self.datamodule.train_dataloader())

    def step(self) -> None:
        """Builds a batch and trains on it."""
        (batch,) = next(self.steps).micro_batches
        self.model(**padded_inputs(batch)).loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()

    def seconds_per_step(self, seconds: float) -> float:
        """Measures steps for about `seconds`."""
        for _ in range(WARM_UP_STEPS):
            self.step()
        number, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds:
            self.step()
            number += 1
        return elapsed / number

    @torch.inference_mode()
    def validation(self) -> dict[str, float]:
        """Returns the held-out metrics, by clozekit's names."""
        self.model.eval()
        loss = masked = right = pairs = 0.0
        for evaluation in self.datamodule.val_dataloader():
            batch: Any = evaluation.batch
            output = self.model(**batch.padded())
            logits = batch.packing.unpad(output.prediction_logits)[batch.masked_lm_positions]
            loss += float(F.cross_entropy(logits, batch.masked_lm_labels, reduction="sum"))
            masked += len(batch.masked_lm_labels)
            guesses = output.seq_relationship_logits.argmax(-1)
            right += float((guesses == batch.next_sentence_label).sum())
            pairs += batch.batch_size
        return {"validation/mlm_loss": loss / masked, "validation/nsp_accuracy": right / pairs}


def padded_inputs(batch: PretrainingBatch) -> dict[str, Tensor]:
    """Pads a batch to its longest pair, with labels at the masked positions."""
    labels = torch.full_like(batch.input_ids, IGNORED)
    labels[batch.masked_lm_positions] = batch.masked_lm_labels
    return {
        **batch.padded(),
        "labels": batch.packing.pad(labels - IGNORED) + IGNORED,
        "next_sentence_label": batch.next_sentence_label,
    }


def main() -> None:
    """Trains to the last step and judges the model. An interrupted run begins again."""
    training = TheirTraining([each for each in sys.argv[2:] if not each.startswith("resume=")])
    config = training.config
    assert config.max_steps is not None
    for _ in range(config.max_steps):
        training.step()
    results = training.validation()
    config.run_dir.mkdir(parents=True, exist_ok=True)
    training.model.save_pretrained(config.run_dir)
    training.datamodule.tokenizer.save(str(config.run_dir / "tokenizer.json"))
    (config.run_dir / "results.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
