"""One contrastive step on several processes and micro-batches; see `test_embedding`."""

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from clozekit.tasks import embedding  # noqa: F401  imported once, for all children
from tests.harness import running
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.forked import Lab, main
from tests.programs.task_files import write_task

SHAPES = {
    "1 process x 1": (1, 11),
    "1 process x 4": (1, 3),
    "2 processes x 1": (2, 6),
    "2 processes x 3": (2, 2),
    "3 processes x 2": (3, 2),
}
"""Processes and the micro-batch size of a global batch of 11 rows, which no number divides."""

STEPS = 3


class Gradients(Callback):
    """Keeps the gradients of the first step.

    Args:
        folder: Where each process writes `rank<i>.pt`.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if trainer.global_step == 0:
            gradients = {
                name: parameter.grad.clone()
                for name, parameter in pl_module.named_parameters()
                if parameter.grad is not None
            }
            torch.save(gradients, self.folder / f"rank{trainer.global_rank}.pt")


def scenarios(lab: Lab) -> dict[str, Any]:
    train = write_task(lab.folder, "embedding", 40, 1)
    results = {}
    for number, (name, (ranks, size)) in enumerate(SHAPES.items()):
        folder = lab.folder / str(number)
        folder.mkdir()
        config = train_config(
            "name=run",
            f"runs_dir={folder}",
            *("task=embedding", "data=embedding", *TINY, *QUIET),
            f"data.train={train}",
            f"data.validation={write_task(lab.folder, 'embedding', 15, 2)}",
            f"data.tokenizer={lab.data / 'corpus' / 'tokenizer.json'}",
            *("encoder.hidden_dropout_prob=0", "encoder.attention_probs_dropout_prob=0"),
            *("trainer=ddp_cpu", f"trainer.devices={ranks}", "trainer.precision=64-true"),
            *(f"max_steps={STEPS}", "global_batch_size=11", f"micro_batch_size={size}"),
            *("trainer.log_every_n_steps=1", "optimizer.lr=1e-3"),
            "+callbacks.gradients._target_=tests.programs.embedding_runs.Gradients",
            f"+callbacks.gradients.folder={folder}",
        )
        codes, _ = running.run(config, ranks, folder / "log.txt")
        results[name] = {
            "codes": codes,
            "log": (folder / "log.txt").read_text(),
            "ranks": [str(path) for path in sorted(folder.glob("rank*.pt"))],
            "rows": read_rows(folder / "run" / "metrics.csv") if not any(codes) else [],
        }
    return results


if __name__ == "__main__":
    main(scenarios)
