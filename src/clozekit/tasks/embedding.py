"""Embedding: one vector per text, by contrastive learning over the whole global batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import EmbeddingBatch
from clozekit.data.labelled.embedding import EmbeddingDataModule, SimilarTexts
from clozekit.data.step import StepBatch
from clozekit.metrics.retrieval import OF_PAIRS, OF_SCORES, EmbeddingMetrics
from clozekit.models import EncoderWithHeads, make_encoder
from clozekit.models.pooling import first_tokens, means
from clozekit.models.precision import upcast
from clozekit.tasks.contrastive import contrastive_losses, gradients_of_vectors, of_all_processes
from clozekit.tasks.fine_tuning import FineTuningModule


@dataclass(frozen=True)
class _MicroLoss:
    """What a micro-batch contributes to the loss of the step.

    Attributes:
        loss: `[]`. Its share of the loss.
        loss_sum: `[]`. The sum over its rows.
        num_right: `[]`. The number of its anchors whose positive is the most similar candidate.
        gradient: `[batch, hidden]`. The gradient of the step's loss at its vectors.
        vectors: `[batch, hidden]`, with their graph; None if they are computed again.
    """

    loss: Tensor
    loss_sum: Tensor
    num_right: Tensor
    gradient: Tensor
    vectors: Tensor | None


class EmbeddingModule(FineTuningModule[EmbeddingBatch]):
    """A vector of length 1 per text, without a layer on top of the encoder.

    The loss is the cross-entropy of each anchor's positive among the texts of all rows of the
    global batch, on all processes: InfoNCE (van den Oord et al., 2018) on cosine similarities, as
    in SimCSE (Gao, Yao and Chen, 2021). It is exact for any micro-batch size by gradient caching
    (Gao, Zhang, Han and Callan, 2021): the vectors of all micro-batches are computed first, then
    the gradient of the loss at the vectors, then each micro-batch again, with the same dropout.

    Args:
        encoder: The encoder's configuration.
        pooling: `mean` for the mean of all tokens' vectors, `cls` for that of the first token.
        temperature: The temperature of the softmax over similarities.
        has_pairs: Whether the validation rows allow the metrics of retrieval.
        has_scores: Whether the validation rows allow Spearman's correlation.
        **training: The arguments of `TaskModule`.

    Attributes:
        metric_names: The metrics that validation always has, so that they can be monitored.
    """

    datamodule_class = EmbeddingDataModule
    monitor = "validation/mrr"
    monitor_mode = "max"

    def __init__(
        self,
        encoder: EncoderConfig,
        pooling: Literal["mean", "cls"] = "mean",
        temperature: float = 0.05,
        has_pairs: bool = True,
        has_scores: bool = False,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.pooling = pooling
        self.temperature = temperature
        self.metric_names: tuple[str, ...] = (OF_PAIRS if has_pairs else ()) + (
            OF_SCORES if has_scores else ()
        )
        self.monitor = "validation/mrr" if has_pairs else "validation/spearman"
        self.model = EncoderWithHeads(make_encoder(encoder, add_pooling_layer=False))
        self.width = encoder.hidden_size
        self._planned: StepBatch[EmbeddingBatch] | None = None
        self._micro_losses: list[_MicroLoss] = []

    def forward(self, batch: EmbeddingBatch) -> Tensor:
        """Computes vectors of length 1, `[batch, hidden]`, in float32 at least."""
        hidden_states = self.encode(batch).sequence_output
        pool = means if self.pooling == "mean" else first_tokens
        return F.normalize(upcast(pool(hidden_states, batch.packing)), dim=-1)

    def micro_loss(self, batch: EmbeddingBatch, step: StepBatch[EmbeddingBatch]) -> Tensor:
        """Returns a micro-batch's share of the loss, with the gradient of the step's loss.

        Called for the micro-batches of a step in their order. The first call computes the loss of
        the whole step, and its gradient at the vectors of all micro-batches.
        """
        if self._planned is not step or not self._micro_losses:
            self._planned, self._micro_losses = step, self._plan(step)
        number = len(step.micro_batches) - len(self._micro_losses)
        known = self._micro_losses.pop(0)
        if not self._micro_losses:
            self._planned = None
        if self.is_logged(step):
            self.add_to_step(loss=known.loss_sum, accuracy=known.num_right)
        vectors = known.vectors
        if vectors is None:
            self._seed_dropout(step.index, number)
            vectors = self(batch)
        with self._outside_autocast():
            surrogate = (vectors * known.gradient).sum()
            return known.loss + (surrogate - surrogate.detach())

    def step_sums(self, logits: Tensor, batch: EmbeddingBatch) -> dict[str, Tensor]:
        """Counts the anchors whose positive is the most similar text of the batch."""
        return {"accuracy": self._contrasted(logits, batch)[1].sum()}

    def loss_sum(self, logits: Tensor, batch: EmbeddingBatch) -> Tensor:
        """Sums the loss over the rows of a batch, each among the texts of this batch only."""
        return self._contrasted(logits, batch)[0].sum()

    def num_targets(self, batch: EmbeddingBatch) -> int:
        """Returns the number of rows."""
        return batch.batch_size // batch.views

    def new_metrics(self) -> dict[str, Metric]:
        """Makes the metrics of retrieval and the correlation with scores."""
        metrics = EmbeddingMetrics(self.width, self.temperature, self.metric_names)
        return {"embeddings": metrics}

    def metrics_of_a_split(self) -> nn.ModuleDict:
        """Makes the metrics of a split; the loss is among the texts of the whole split."""
        return nn.ModuleDict(self.new_metrics())

    def evaluate_batch(self, metrics: nn.ModuleDict, batch: EmbeddingBatch) -> Tensor:
        """Adds a batch to a split's metrics; returns its vectors."""
        vectors: Tensor = self(batch)
        self.update_metrics(metrics, vectors, batch)  # type: ignore[arg-type]
        return vectors

    def on_test_epoch_start(self) -> None:
        """Resets the metrics of the test split, whose rows decide which ones it has."""
        super().on_test_epoch_start()
        metrics = self._metrics("test")["embeddings"]
        assert isinstance(metrics, EmbeddingMetrics)
        metrics.names = ()

    def update_metrics(
        self, metrics: Mapping[str, Any], logits: Tensor, batch: EmbeddingBatch
    ) -> None:
        """Adds a batch's vectors."""
        metrics["embeddings"].update(
            logits.view(-1, batch.views, logits.shape[-1]),
            batch.text_ids.view(-1, batch.views),
            batch.scores,
            batch.is_scored.bool(),
            batch.is_pair.bool(),
        )

    def decode(self, logits: Tensor, batch: EmbeddingBatch) -> list[dict[str, Any]]:
        """Returns the vector of each text; in evaluation the cosine similarity of each pair."""
        if batch.views == 1:
            return [{"vector": vector} for vector in logits.tolist()]
        rows = logits.view(-1, batch.views, logits.shape[-1])
        similarities = (rows[:, 0] * rows[:, 1]).sum(dim=-1)
        return [{"similarity": similarity} for similarity in similarities.tolist()]

    def gold(self, example: SimilarTexts) -> float | None:
        """Returns the score of a pair, if it has one."""
        return example.score

    def _contrasted(self, logits: Tensor, batch: EmbeddingBatch) -> tuple[Tensor, Tensor]:
        rows = logits.view(-1, batch.views, logits.shape[-1])
        text_ids = batch.text_ids.view(-1, batch.views)
        is_row = torch.ones_like(text_ids[:, 0], dtype=torch.bool)
        return contrastive_losses(rows, text_ids, is_row, self.temperature)

    def _plan(self, step: StepBatch[EmbeddingBatch]) -> list[_MicroLoss]:
        """Computes the vectors of a step, its loss, and the gradient of the loss at them.

        With a single micro-batch its vectors keep their graph, so nothing is computed twice.
        """
        is_single = len(step.micro_batches) == 1
        vectors = []
        for number, batch in enumerate(step.micro_batches):
            self._seed_dropout(step.index, number)
            # Not under `no_grad`: attention and compiled code may then take other kernels, which
            # draw other dropout.
            of_batch = self(batch)
            vectors.append(of_batch if is_single else of_batch.detach())
        with self._outside_autocast():
            return self._losses_of(step, vectors)

    def _losses_of(
        self, step: StepBatch[EmbeddingBatch], vectors: list[Tensor]
    ) -> list[_MicroLoss]:
        """Computes what each micro-batch contributes, given the vectors of all of them."""
        views = step.micro_batches[0].views
        own = torch.cat([of_batch.detach() for of_batch in vectors])
        own = own.view(-1, views, own.shape[-1])
        text_ids = torch.cat([batch.text_ids for batch in step.micro_batches]).view(-1, views)
        every, every_id, is_row, begin = of_all_processes(
            own, text_ids, step.num_targets, len(step.micro_batches), self._ranks()
        )
        losses, is_right, gradients = gradients_of_vectors(
            every, every_id, is_row, self.temperature, step.num_targets
        )
        micro_losses = []
        for batch, of_batch in zip(step.micro_batches, vectors, strict=True):
            rows = slice(begin, begin + self.num_targets(batch))
            loss_sum = losses[rows].sum()
            micro_losses.append(
                _MicroLoss(
                    loss=loss_sum * (1 / step.num_targets),
                    loss_sum=loss_sum,
                    num_right=is_right[rows].sum(),
                    gradient=gradients[rows].flatten(0, 1),
                    vectors=of_batch if len(vectors) == 1 else None,
                )
            )
            begin = rows.stop
        return micro_losses

    def _ranks(self) -> tuple[int, int]:
        """Returns the rank of this process and the number of processes."""
        if self._trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size
