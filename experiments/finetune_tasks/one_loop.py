"""Trains clozekit's model, or transformers', in the loop of reference.py: what makes a difference?

    python experiments/finetune_tasks/one_loop.py --task pos --seed 1 --model clozekit --head cut

Both begin with the same weights, the head's too, and read the same rows in the same order.
"""

import argparse
from typing import Any

import torch
import transformers
from reference import (
    configuration,
    evaluate,
    inputs,
    logits_of,
    loss_of_transformers,
    make_model,
    pieces,
    train,
)
from torch import Tensor, nn

from clozekit.models.attention import SelfAttention
from clozekit.models.initialization import init_weights
from clozekit.models.kernels.dropout import Dropout
from clozekit.models.precision import upcast
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.tasks.fine_tuning import FineTuningModule
from tasks import TASKS, task_named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=[task.name for task in TASKS], required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--model", choices=["clozekit", "transformers"], required=True)
    parser.add_argument("--head", choices=["whole", "cut"], default="whole", help="its normal")
    parser.add_argument("--precision", choices=["bf16-mixed", "32-true"], default="bf16-mixed")
    parser.add_argument("--no-dropout", action="store_true")
    parser.add_argument("--steps", type=int, help="fewer than the task's")
    given = parser.parse_args()
    transformers.logging.set_verbosity_error()
    task, config = task_named(given.task), configuration(task_named(given.task), given.seed)
    trainer = config.trainer.model_copy(update={"precision": given.precision})
    config = config.model_copy(update={"trainer": trainer})

    torch.manual_seed(given.seed)
    datamodule, module, max_steps = pieces(config)
    load_pretrained(config.encoder.pretrained).load_into(module.model)
    theirs = make_model(task, module)
    head = head_of(module.model)
    if given.head == "cut":
        init_weights(head, module.encoder.config.initializer_range)
    head_of(theirs).load_state_dict(head.state_dict())
    if given.no_dropout:
        leave_dropout_out(module.model)
        leave_dropout_out(theirs)

    rows, steps = datamodule.sources["train"], given.steps or max_steps
    torch.manual_seed(given.seed)
    if given.model == "transformers":
        train(theirs, loss_of_transformers, config, rows, steps)
        theirs.eval()
        metrics = evaluate(
            lambda batch: logits_of(theirs(**inputs(batch)), batch), config, datamodule, module
        )
    else:
        train(module, loss_of_clozekit, config, rows, steps)
        metrics = evaluate(module.eval(), config, datamodule, module)
    print({name: round(float(value), 4) for name, value in metrics.items()})


def head_of(model: nn.Module) -> nn.Linear:
    """Gives the last layer."""
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]


def leave_dropout_out(model: nn.Module) -> None:
    for layer in model.modules():
        if isinstance(layer, nn.Dropout | Dropout):
            layer.p = 0.0
        if isinstance(layer, SelfAttention):
            layer.dropout_prob = 0.0


def loss_of_clozekit(module: FineTuningModule[Any], batch: Any) -> Tensor:
    return module.loss_sum(upcast(module(batch)), batch) / module.num_targets(batch)


if __name__ == "__main__":
    main()
