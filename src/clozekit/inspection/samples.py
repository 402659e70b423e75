"""The first samples of pretraining, from the loader that training reads."""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from clozekit.config.phases import PhaseSettings, shares_in_words
from clozekit.data.batch import Batch, MaskedLMBatch, PretrainingBatch
from clozekit.data.module import StreamDataModule
from clozekit.data.pretraining.full_sentences_source import FullSentencesSource
from clozekit.data.pretraining.planned_source import PlannedSource
from clozekit.inspection.batches import BatchView
from clozekit.inspection.shown import (
    Part,
    ShownExample,
    ShownText,
    histogram,
    share,
)
from clozekit.inspection.vocabulary import Vocabulary

MOST_SEQUENCES = 1000
"""About the number of sequences that are counted; they are those of whole batches."""


@dataclass
class _Sums:
    """What is counted of the batches."""

    lengths: list[int] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    num_unknown: int = 0

    def add(self, batch: Batch, vocabulary: Vocabulary) -> None:
        """Counts a batch."""
        bounds = batch.packing.cu_seqlens.numpy()
        ids = batch.input_ids.numpy()
        self.lengths += np.diff(bounds).tolist()
        self.num_unknown += vocabulary.num_unknown(ids)
        if isinstance(batch, PretrainingBatch):
            self.labels.update(batch.next_sentence_label.tolist())
        if isinstance(batch, MaskedLMBatch):
            labels = batch.masked_lm_labels.numpy()
            inputs = ids[batch.masked_lm_positions.numpy()]
            is_kept, is_masked = inputs == labels, inputs == vocabulary.mask
            self.targets["masked"] += int(np.count_nonzero(is_masked & ~is_kept))
            self.targets["unchanged"] += int(np.count_nonzero(is_kept))
            self.targets["replaced"] += int(np.count_nonzero(~is_masked & ~is_kept))


class Samples:
    """Shows samples of a DataModule, without changing its position.

    Args:
        datamodule: The DataModule.
        split: The split of the samples.
        number: The number of samples to show.
    """

    def __init__(self, datamodule: StreamDataModule, split: str, number: int) -> None:
        self.datamodule = datamodule
        self.split = split
        self.number = number
        self.vocabulary = Vocabulary(datamodule.tokenizer)

    def parts(self) -> list[Part]:
        """Returns a part for each phase of training, or one for another split."""
        if self.split != "train":
            batches = (loaded.batch for loaded in self._evaluation_loader())
            return [self._part(f"Samples of {self.split}", self._source(None), batches)]
        settings = self.datamodule.config.phase_settings()
        if len(settings) == 1:
            return [self._phase("The first samples of training", 0, None)]
        return [
            self._phase(f"The first samples of phase {i + 1} of {len(settings)}", i, phase)
            for i, phase in enumerate(settings)
        ]

    def _phase(self, heading: str, index: int, settings: PhaseSettings | None) -> Part:
        module = self.datamodule
        before = module.only_phase, module.num_workers
        # Workers would build steps that nobody looks at.
        module.only_phase, module.num_workers = (None if settings is None else index), 0
        try:
            batches = (b for step in module.train_dataloader() for b in step.micro_batches)
            part = self._part(heading, self._source(index), batches)
        finally:
            module.only_phase, module.num_workers = before
        if settings is not None:
            described = [f"at most {settings.max_seq_length:,} tokens"]
            if settings.masked_lm_prob is not None:
                described.append(f"{settings.masked_lm_prob:.4g} of them masked")
            if settings.weights:
                described.append(shares_in_words(settings.weights))
            part.facts = {"phase": ", ".join(described), **part.facts}
            if index:
                part.notes.append(
                    "These are samples with the settings of this phase, from the beginning of an "
                    "epoch; training takes them from where the phase before ends."
                )
        return part

    def _evaluation_loader(self) -> Iterator[Any]:
        module = self.datamodule
        loader = module.val_dataloader() if self.split == "validation" else module.test_dataloader()
        return iter(loader)

    def _source(self, phase: int | None) -> object:
        module = self.datamodule
        if phase is None:
            return module.sources[self.split]
        # Without the number of steps, all phases but the last have some.
        return module.phases(sys.maxsize, 0, 1)[phase].source

    def _part(self, heading: str, source: object, batches: Iterator[Batch]) -> Part:
        sums, examples = _Sums(), list[ShownExample]()
        for batch in batches:
            sums.add(batch, self.vocabulary)
            shards = batch.sample_ids[:, 1].tolist()
            sums.sources.update(name for name in map(self._source_of, shards) if name)
            missing = self.number - len(examples)
            if missing > 0:
                examples += islice(self._examples(batch, source), missing)
            is_enough = len(sums.lengths) >= MOST_SEQUENCES and len(examples) >= self.number
            if is_enough:
                break
        lengths = np.array(sums.lengths, np.int64)
        part = Part(heading, self._facts(sums, int(lengths.sum())), examples=examples)
        part.histograms.append(histogram("tokens per sequence", lengths))
        return part

    def _facts(self, sums: _Sums, num_tokens: int) -> dict[str, str]:
        facts = {"counted": f"{len(sums.lengths):,} sequences with {num_tokens:,} tokens"}
        if sums.sources:
            total = sums.sources.total()
            facts["sources"] = ", ".join(
                f"{share(n, total)} {name}" for name, n in sums.sources.most_common()
            )
        targets = sums.targets.total()
        if targets:
            each = (f"{share(n, targets)} {name}" for name, n in sums.targets.items())
            facts["tokens to predict"] = f"{share(targets, num_tokens)}, of which {', '.join(each)}"
        if sums.labels:
            names = self._pair_names()
            total = sums.labels.total()
            facts["pairs"] = ", ".join(
                f"{share(sums.labels[label], total)} {name}" for label, name in enumerate(names)
            )
        facts["unknown tokens"] = share(sums.num_unknown, num_tokens)
        return facts

    def _examples(self, batch: Batch, source: object) -> Iterator[ShownExample]:
        view = BatchView(batch, self.vocabulary)
        labels = batch.next_sentence_label.tolist() if isinstance(batch, PretrainingBatch) else []
        for place, (epoch, shard, begin) in enumerate(batch.sample_ids.tolist()):
            texts: tuple[ShownText, ...] = ()
            if labels:
                texts = (ShownText("pair", f"{self._pair_names()[labels[place]]}"),)
            yield ShownExample(
                self._name(source, epoch, shard, begin),
                hint=self._source_of(shard),
                texts=texts,
                sequences=(view.sequence(place, ""),),
            )

    def _pair_names(self) -> tuple[str, str]:
        """Returns what the labels 0 and 1 of a pair mean."""
        if getattr(self.datamodule, "is_of_order", False):
            return "in order", "swapped"
        return "B follows A", "B is random"

    def _source_of(self, shard: int) -> str:
        """Returns the name of the source of a mixture that has a shard."""
        module = self.datamodule
        ranges = module.source_shards.get(self.split, ())
        found = (
            name for name, each in zip(module.source_names, ranges, strict=False) if shard in each
        )
        return next(found, "")

    def _name(self, source: object, epoch: int, shard: int, begin: int) -> str:
        """Returns the document that a sequence begins in, if the source knows documents."""
        if not isinstance(source, PlannedSource):
            return f"sample {begin}"
        opened, _ = source.planned(epoch, shard)
        sentence = begin
        if isinstance(source, FullSentencesSource):
            sentence = int(np.searchsorted(opened.sentence_offsets, begin, "right")) - 1
        document = int(np.searchsorted(opened.document_offsets, sentence, "right")) - 1
        return f"document {opened.id_array[document].as_py()}"
