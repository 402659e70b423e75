"""The MLM loss on full sentences, by which runs with different pretraining objectives compare."""

from itertools import islice
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from clozekit.config.callbacks import FULL_SENTENCES_LOSS
from clozekit.config.data import CorpusDataConfig
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.masked_lm_datamodule import MaskedLMDataModule
from clozekit.data.stream import EvaluationStream
from clozekit.errors import ConfigError
from clozekit.metrics.ratio import Ratio
from clozekit.tasks.base import TaskModule

SEED = 0
"""The seed of the samples and masks, whatever the seed of the run."""


class FullSentencesLoss(Callback):
    """Measures the MLM loss on full sentences of the validation split, after each validation.

    The validation of a task has samples of its own: pairs of sentences, half of them random or
    swapped, or full sentences. This callback uses those of `data=masked_lm` for every task, with
    the masks of `data.validation_masking` and a fixed seed. `trainer.limit_val_batches` limits its
    batches, too. It does not change training.
    """

    def __init__(self) -> None:
        self._data: MaskedLMDataModule | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Opens the corpus.

        Raises:
            ConfigError: The task does not predict masked words of a corpus.
        """
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(pl_module, TaskModule)
        is_corpus = isinstance(datamodule, CorpusDataModule)
        if not is_corpus or "masked_lm_head" not in pl_module.model.heads:
            raise ConfigError(
                f"callbacks: {type(self).__name__} measures the loss on masked words, so it needs "
                "task=pretraining or task=masked_lm"
            )
        if self._data is None:
            self._data = MaskedLMDataModule(**_options(datamodule))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the loss, each masked token counted once over all processes."""
        assert isinstance(pl_module, TaskModule) and self._data is not None
        mean = Ratio(pl_module.device)
        stream = EvaluationStream(
            self._data.sources["validation"],
            self._data.micro_batch_size,
            trainer.global_rank,
            trainer.world_size,
        )
        limit = trainer.limit_val_batches
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for loaded in islice(stream, limit if isinstance(limit, int) else None):
                if pl_module.device.type == "cuda":
                    loaded = loaded.pin_memory()
                mean.update(*_loss_and_targets(pl_module, loaded.to(pl_module.device).batch))
        pl_module.log_evaluation({FULL_SENTENCES_LOSS: mean.compute()})


def _loss_and_targets(module: TaskModule[Any], batch: Any) -> tuple[Tensor, int]:
    """Returns the sum of the losses of a batch, and the number of its masked tokens."""
    masked = module.encode(batch).sequence_output.index_select(0, batch.masked_lm_positions)
    loss = module.model.masked_lm_head.cross_entropy(masked, batch.masked_lm_labels).loss_sum
    return loss, len(batch.masked_lm_labels)


def _options(datamodule: CorpusDataModule) -> dict[str, Any]:
    """Returns the options of the samples, which do not depend on the objective or on phases."""
    options = datamodule.config.model_dump(include=set(CorpusDataConfig.model_fields))
    return {**options, "seed": SEED, "phases": None, "first_phase": None}
