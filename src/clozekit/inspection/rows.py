"""Labelled rows, as the DataModule of their task reads and encodes them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from clozekit.data.batch import (
    Batch,
    ClassificationBatch,
    EmbeddingBatch,
    MultipleChoiceBatch,
    RegressionBatch,
)
from clozekit.data.labelled.encoded_rows import Example
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.paragraphs import Question, QuestionRows
from clozekit.data.labelled.sequences import token_ids
from clozekit.data.labelled.texts import TextExample
from clozekit.data.order import Span
from clozekit.inspection.batches import BatchView
from clozekit.inspection.duplicates import Duplicates
from clozekit.inspection.shown import Counts, Part, ShownExample, ShownText, histogram, share
from clozekit.inspection.vocabulary import Vocabulary
from clozekit.pages.marks import Mark

MOST_ROWS = 2000
"""The most rows of a split that are encoded again, to count what the stored rows do not tell."""

MOST_COUNTED = 30
"""The most classes and unknown words in a table."""


class LabelledRows:
    """Shows the rows of a split.

    Args:
        datamodule: The DataModule.
        split: The split.
        number: The number of rows to show.
    """

    def __init__(self, datamodule: LabelledDataModule[Any], split: str, number: int) -> None:
        self.datamodule = datamodule
        self.features = datamodule.features
        self.split = split
        self.number = number
        self.vocabulary = Vocabulary(datamodule.tokenizer)
        source = datamodule.sources[split]
        assert isinstance(source, LabelledSource)
        self.rows = source.rows
        # A sample is then a row with all its sequences, which are those of training.
        self.whole = LabelledSource(source.rows, is_training=False)

    def parts(self) -> list[Part]:
        """Returns the numbers of the split, and rows as the model gets them."""
        return [self._numbers(), self._examples()]

    def _numbers(self) -> Part:
        part = Part(f"Rows of {self.split}", facts=dict(self.datamodule.facts()))
        lengths = np.asarray(self.rows.lengths, np.int64)
        limit = self.features.max_seq_length
        at_limit = int(np.count_nonzero(lengths >= limit))
        part.facts["lengths"] = (
            f"{len(lengths):,} sequences with {int(lengths.sum()):,} tokens, mean "
            f"{lengths.mean():.1f}, longest {int(lengths.max()):,}; "
            f"{share(at_limit, len(lengths))} have data.max_seq_length={limit}"
        )
        part.facts["truncated"] = f"{self.rows.num_truncated:,} of {len(self.rows.examples):,} rows"
        part.histograms.append(histogram("tokens per sequence", lengths))
        chosen = self._sample()
        if len(chosen) < len(self.rows.examples):
            part.notes.append(
                f"Labels and unknown words are those of {len(chosen):,} rows, at equal distances."
            )
        self._count(part, chosen)
        duplicates = Duplicates()
        for name, source in self.datamodule.sources.items():
            if name in ("train", self.split) and isinstance(source, LabelledSource):
                duplicates.add(name, source.rows.examples)
        part.facts |= duplicates.facts(self.split)
        return part

    def _sample(self) -> list[Any]:
        number = len(self.rows.examples)
        places = np.unique(np.linspace(0, number - 1, min(number, MOST_ROWS)).astype(int))
        return [self.rows.examples[place] for place in places.tolist()]

    def _count(self, part: Part, examples: Sequence[Any]) -> None:
        labels = Counter(label for each in examples for label in self.features.labels_of(each))
        if labels.total():
            part.counts.append(_counts("labels", labels, {None: "no label"}))
        scores = [each.score for each in examples if getattr(each, "score", None) is not None]
        if scores:
            part.histograms.append(histogram("score", np.array(scores, np.float64)))
        encoded = self.features.encode(examples, is_labelled=True)
        ids = encoded.sequences.input_ids
        part.facts["unknown tokens"] = share(self.vocabulary.num_unknown(ids), len(ids))
        texts = [text for each in examples for _, text in texts_of(each)]
        unknown = Counter(self.vocabulary.unknown_words(texts))
        if unknown:
            part.counts.append(_counts("unknown words", unknown))
        if isinstance(encoded, QuestionRows):
            part.facts |= _of_windows(encoded)

    def _examples(self) -> Part:
        part = Part(f"Rows of {self.split} as the model gets them")
        for place in self._first_rows():
            batch = self.whole.build([Span(0, 0, np.array([place]))], is_training=False)
            part.examples.append(self._example(batch))
        return part

    def _first_rows(self) -> Iterator[int]:
        """Yields the rows of the first steps of training, or the first rows of another split."""
        number = min(self.number, len(self.rows.examples))
        if self.split != "train":
            yield from range(number)
            return
        seen: set[int] = set()
        before, self.datamodule.num_workers = self.datamodule.num_workers, 0
        try:
            for step in self.datamodule.train_dataloader():
                owners = [o for b in step.micro_batches for o in b.sample_ids[:, 2].tolist()]
                # Those of a step are sorted by length.
                for owner in _spread(list(dict.fromkeys(owners)), number):
                    if owner not in seen and len(seen) < number:
                        seen.add(owner)
                        yield owner
                if len(seen) >= number:
                    return
        finally:
            self.datamodule.num_workers = before

    def _example(self, batch: Batch) -> ShownExample:
        (example,) = batch.examples
        names = list(self.features.label_ids())
        view = BatchView(batch, self.vocabulary, names)
        texts = [ShownText(name, text, _answers(example, name)) for name, text in texts_of(example)]
        texts += [ShownText(name, label) for name, label in _labels(batch, names)]
        if isinstance(example, Question) and not example.answers:
            texts.append(ShownText("answer", "none"))
        sequences = tuple(view.sequence(i, title) for i, title in enumerate(view.titles()))
        return ShownExample(f"row {example.id}", self._cut(example), tuple(texts), sequences)

    def _cut(self, example: Any) -> str:
        """Describes how much of a row is truncated."""
        if not self.features.encode([example], is_labelled=True).is_truncated[0]:
            return ""
        if not isinstance(example, TextExample):
            return "truncated"
        texts = [text for _, text in texts_of(example)]
        whole = sum(map(len, token_ids(self.features.tokenizer, texts)))
        whole += self.features.special.num_special_tokens(len(texts))
        return f"truncated: {self.features.max_seq_length:,} of {whole:,} tokens are kept"


def texts_of(example: Example) -> list[tuple[str, str]]:
    """Returns the names and texts of a row, without its labels."""
    found: list[tuple[str, str]] = []
    for name, value in example.inputs().items():
        if isinstance(value, str):
            found.append((name, value))
        elif isinstance(value, tuple) and all(isinstance(each, str) for each in value):
            if name == "words":
                found.append((name, " ".join(value)))
            else:
                found += [(f"{name} {i}", each) for i, each in enumerate(value)]
    return found


def _labels(batch: Batch, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the labels in a batch of one row."""
    if isinstance(batch, ClassificationBatch):
        values = batch.labels[0]
        if values.dim():
            chosen = [name for name, value in zip(names, values.tolist(), strict=True) if value]
            yield "labels", ", ".join(chosen) or "none"
        else:
            yield "label", names[int(values)]
    elif isinstance(batch, RegressionBatch):
        yield "score", f"{batch.scores[0]:.6g}"
    elif isinstance(batch, MultipleChoiceBatch):
        yield "label", f"choice {int(batch.labels[0])}"
    elif isinstance(batch, EmbeddingBatch):
        if int(batch.is_scored[0]):
            yield "score", f"{batch.scores[0]:.6g}"
        if not int(batch.is_pair[0]):
            yield "pair", "the anchor itself, with another dropout"


def _answers(example: Any, name: str) -> tuple[Mark, ...]:
    if not isinstance(example, Question) or name != "context":
        return ()
    places = zip(example.answer_start, example.answers, strict=True)
    return tuple(
        Mark(begin, begin + len(text), "answer" if number == 0 else "", "gold")
        for number, (begin, text) in enumerate(places)
    )


def _of_windows(rows: QuestionRows) -> dict[str, str]:
    """Counts windows, and questions whose answer is in none of them."""
    number = len(rows.examples)
    has_answer = np.array([bool(each.answers) for each in rows.examples], bool)
    is_found = np.zeros(number, bool)
    is_found[rows.owners[rows.starts >= 0]] = True
    return {
        "windows": f"{len(rows.owners) / max(1, number):.2f} per question",
        "without an answer": f"{int((~has_answer).sum()):,} of {number:,} questions",
        "in no window": f"{int((has_answer & ~is_found).sum()):,} answers, which are then trained "
        "as none",
    }


def _counts(title: str, found: Counter[Any], names: dict[Any, str] | None = None) -> Counts:
    rows = [((names or {}).get(name, str(name)), n) for name, n in found.most_common(MOST_COUNTED)]
    if len(found) > MOST_COUNTED:
        rest = found.total() - sum(number for _, number in rows)
        rows.append((f"{len(found) - MOST_COUNTED:,} more", rest))
    return Counts(title, tuple(rows))


def _spread(values: Sequence[int], number: int) -> list[int]:
    """Returns some of the values at equal distances."""
    places = np.unique(np.linspace(0, len(values) - 1, min(number, len(values))).astype(int))
    return [values[place] for place in places.tolist()]
