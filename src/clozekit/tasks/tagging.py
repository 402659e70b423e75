"""Tagging: one label per word, predicted from its first token."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import TaggingBatch
from clozekit.data.files.rows import MISSING_LABEL
from clozekit.data.labelled.tagged_rows import TaggedWords
from clozekit.data.labelled.tagging import TaggingDataModule
from clozekit.metrics.entities import EntityF1
from clozekit.metrics.tag_schemes import SCHEMES, entities_of, scheme_of_labels, types_of
from clozekit.models import EncoderWithHeads, TokenClassificationHead, make_encoder
from clozekit.tasks.fine_tuning import FineTuningModule, known_cross_entropy


class TaggingModule(FineTuningModule[TaggingBatch]):
    """A linear classifier on the first token of each word, trained with the encoder (section 5.3).

    Args:
        encoder: The encoder's configuration.
        label_names: The tags, in the order of their ids. If they are of a scheme of entity tags,
            the metrics include F1 over entities. A model that lacks B for a type with I has the
            scheme IOB1.
        tag_scheme: The scheme: `iob2`, `iobes`, `bilou`, `none`, or `auto` to recognise it from
            the tags.
        classifier_dropout: The dropout of the tokens' vectors.
        label_smoothing: The share of the target that is spread evenly over all tags.
        **training: The arguments of `TaskModule`.
    """

    datamodule_class = TaggingDataModule
    monitor_mode = "max"
    label_names: list[str]

    def __init__(
        self,
        encoder: EncoderConfig,
        label_names: list[str],
        tag_scheme: str = "auto",
        classifier_dropout: float = 0.1,
        label_smoothing: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing} must be in [0, 1)")
        self.label_names = label_names
        self.label_smoothing = label_smoothing
        self.scheme = (
            scheme_of_labels(label_names) if tag_scheme == "auto" else SCHEMES.get(tag_scheme)
        )
        self.monitor = "validation/accuracy" if self.scheme is None else "validation/f1"
        self.model = EncoderWithHeads(
            make_encoder(encoder, add_pooling_layer=False),
            token_classification_head=TokenClassificationHead(
                encoder, len(label_names), classifier_dropout
            ),
        )

    def forward(self, batch: TaggingBatch) -> Tensor:
        """Computes logits `[targets, labels]`, one row per word."""
        first_tokens = self.encode(batch).sequence_output.index_select(0, batch.positions)
        logits: Tensor = self.model.token_classification_head(first_tokens)
        return logits

    def loss_sum(self, logits: Tensor, batch: TaggingBatch) -> Tensor:
        """Sums the cross-entropy over words with a tag."""
        return F.cross_entropy(
            logits,
            batch.labels,
            reduction="sum",
            ignore_index=MISSING_LABEL,
            label_smoothing=self.label_smoothing,
        )

    def evaluation_loss(self, logits: Tensor, batch: TaggingBatch) -> tuple[Tensor, int]:
        """Sums the cross-entropy without smoothing over the tags that the model has."""
        return known_cross_entropy(logits, batch.labels)

    def num_targets(self, batch: TaggingBatch) -> int:
        """Returns the number of words with a tag."""
        return int((batch.labels != MISSING_LABEL).sum())

    def step_sums(self, logits: Tensor, batch: TaggingBatch) -> dict[str, Tensor]:
        """Counts the words with the right tag."""
        return {"accuracy": (logits.argmax(dim=-1) == batch.labels).sum()}

    def new_metrics(self) -> dict[str, Metric]:
        """Makes the accuracy over words, and F1, precision and recall over entities."""
        names = [*self.label_names, *self.unknown_labels]
        number = len(names)
        accuracy = MulticlassAccuracy(
            number, average="micro", ignore_index=MISSING_LABEL, validate_args=False
        )
        metrics: dict[str, Metric] = {"accuracy": accuracy}
        if self.scheme is not None:
            metrics["entities"] = EntityF1(types_of(names, self.scheme), self.scheme)
        return metrics

    def update_metrics(
        self, metrics: Mapping[str, Any], logits: Tensor, batch: TaggingBatch
    ) -> None:
        """Adds a batch's predictions. A word without a tag is not part of an entity."""
        if len(batch.labels):
            metrics["accuracy"].update(logits.argmax(dim=-1), batch.labels)
        if self.scheme is not None:
            golds = [[tag or "O" for tag in example.tags] for example in batch.examples]
            predictions = [
                [tag if gold is not None else "O" for tag, gold in zip(tags, e.tags, strict=True)]
                for tags, e in zip(self._tags(logits, batch), batch.examples, strict=True)
            ]
            metrics["entities"].update(predictions, golds)

    def decode(self, logits: Tensor, batch: TaggingBatch) -> list[dict[str, Any]]:
        """Returns the tag of each word and its probability, and the entities of the tags."""
        scores = torch.split(logits.softmax(dim=-1).amax(dim=-1).cpu(), _num_words(batch))
        return [
            {
                "words": list(example.words),
                "tags": tags,
                "scores": score.tolist(),
                **self._entities(example.words, tags),
            }
            for example, tags, score in zip(
                batch.examples, self._tags(logits, batch), scores, strict=True
            )
        ]

    def gold(self, example: TaggedWords) -> list[str | None]:
        """Returns the tags."""
        return list(example.tags)

    def _entities(self, words: Sequence[str], tags: Sequence[str]) -> dict[str, Any]:
        """Returns the entities with their types, words, first word, and the word after the last."""
        if self.scheme is None:
            return {}
        return {
            "entities": [
                {"type": kind, "text": " ".join(words[start:end]), "start": start, "end": end}
                for kind, start, end in entities_of(tags, self.scheme)
            ]
        }

    def _tags(self, logits: Tensor, batch: TaggingBatch) -> list[list[str]]:
        """Returns the tags of each example; the windows of an example are adjacent."""
        every = [self.label_names[i] for i in logits.argmax(dim=-1).tolist()]
        tags, begin = [], 0
        for number in _num_words(batch):
            tags.append(every[begin : begin + number])
            begin += number
        return tags


def _num_words(batch: TaggingBatch) -> list[int]:
    return [len(example.words) for example in batch.examples]
