"""The sequences of a batch, with what the model has to predict of each token.

A batch is what a task reads, so this shows what the model gets and nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any

from clozekit.data.batch import (
    ANSWER_TAGS,
    AnswerTaggingBatch,
    Batch,
    EmbeddingBatch,
    MaskedLMBatch,
    MultipleChoiceBatch,
    QuestionAnsweringBatch,
    TaggingBatch,
)
from clozekit.data.files.rows import MISSING_LABEL
from clozekit.inspection.shown import ShownSequence
from clozekit.inspection.vocabulary import Vocabulary
from clozekit.pages.marks import Chip

VIEWS = ("anchor", "positive", "hard negative")


class BatchView:
    """Shows the sequences of a batch.

    Args:
        batch: The batch.
        vocabulary: Shows its tokens.
        label_names: The classes in the order of their ids, if any.
    """

    def __init__(
        self, batch: Batch, vocabulary: Vocabulary, label_names: Sequence[str] = ()
    ) -> None:
        self.batch = batch
        self.vocabulary = vocabulary
        self.label_names = label_names
        self.ids: list[int] = batch.input_ids.tolist()
        self.bounds: list[int] = batch.packing.cu_seqlens.tolist()
        self._segments: list[int] = batch.token_type_ids.tolist()
        self._notes: dict[int, str] = {}
        self._kinds: dict[int, list[str]] = {}
        for kind, describe in _DESCRIBED:
            if isinstance(batch, kind):
                describe(self)

    def sequence(self, number: int, title: str) -> ShownSequence:
        """Returns a sequence.

        Args:
            number: Its number in the batch.
            title: What it is.
        """
        begin, end = self.bounds[number], self.bounds[number + 1]
        counted = f"{end - begin:,} tokens"
        tokens = tuple(self._token(place) for place in range(begin, end))
        return ShownSequence(f"{title}, {counted}" if title else counted, tokens)

    def titles(self) -> list[str]:
        """Returns what each of the sequences is."""
        batch, number = self.batch, self.batch.batch_size
        if isinstance(batch, MultipleChoiceBatch):
            right = [label for label in batch.labels.tolist() for _ in range(batch.num_choices)]
            choices = [place % batch.num_choices for place in range(number)]
            return [
                f"choice {choice}{' (right)' if choice == label else ''}"
                for choice, label in zip(choices, right, strict=True)
            ]
        if isinstance(batch, EmbeddingBatch):
            return [VIEWS[place % batch.views] for place in range(number)]
        answers = self._answers()
        if number == 1 and not answers:
            return [""]
        return [
            f"window {place + 1} of {number}{answers[place] if answers else ''}"
            for place in range(number)
        ]

    def note(self, place: int, text: str, *kinds: str) -> None:
        """Adds a remark and classes to the token at a place in the packed tokens."""
        if text:
            self._notes[place] = text
        self._kinds.setdefault(place, []).extend(kinds)

    def others(self, targets: Sequence[int], kind: str) -> None:
        """Adds a class to all tokens but the targets and the special ones."""
        chosen = set(targets)
        for place, token_id in enumerate(self.ids):
            if place not in chosen and token_id not in self.vocabulary.special:
                self.note(place, "", kind)

    def _answers(self) -> list[str]:
        """Returns whether each window has the answer; empty for other tasks."""
        batch = self.batch
        if isinstance(batch, QuestionAnsweringBatch):
            starts = batch.start_positions.tolist()
            has_answer = [start > 0 for start in starts]
        elif isinstance(batch, AnswerTaggingBatch):
            tagged = [p for p, t in _pairs(batch.positions, batch.labels) if t]
            has_answer = [
                any(begin <= place < end for place in tagged)
                for begin, end in zip(self.bounds, self.bounds[1:], strict=False)
            ]
        else:
            return []
        return [" with the answer" if has else " without an answer" for has in has_answer]

    def _token(self, place: int) -> Chip:
        token_id = self.ids[place]
        kinds = list(self._kinds.get(place, ()))
        if token_id == self.vocabulary.unknown:
            kinds.append("unknown")
        elif token_id in self.vocabulary.special and not kinds:
            kinds.append("special")
        if self._segments[place]:
            kinds.insert(0, "second")
        text = self.vocabulary.shown(token_id)
        return Chip(text, self._notes.get(place, ""), tuple(dict.fromkeys(kinds)))


def _masked(view: BatchView) -> None:
    batch = view.batch
    assert isinstance(batch, MaskedLMBatch)
    for place, label in _pairs(batch.masked_lm_positions, batch.masked_lm_labels):
        token_id = view.ids[place]
        if token_id == label:
            view.note(place, "unchanged", "kept")
        else:
            kind = "masked" if token_id == view.vocabulary.mask else "replaced"
            view.note(place, view.vocabulary.shown(label), kind)


def _tagged(view: BatchView) -> None:
    batch = view.batch
    assert isinstance(batch, TaggingBatch)
    names = view.label_names
    for place, label in _pairs(batch.positions, batch.labels):
        view.note(place, "no tag" if label == MISSING_LABEL else names[label], "target")
    view.others(batch.positions.tolist(), "ignored")


def _with_span(view: BatchView) -> None:
    batch = view.batch
    assert isinstance(batch, QuestionAnsweringBatch)
    starts, ends = batch.start_positions.tolist(), batch.end_positions.tolist()
    for begin, start, end in zip(view.bounds, starts, ends, strict=False):
        if start == 0:  # that of [CLS]: there is no answer
            continue
        for place in range(start, end + 1):
            view.note(begin + place, "", "answer")
        view.note(begin + start, "start", "target")
        view.note(begin + end, "start, end" if start == end else "end", "target")


def _with_answer_tags(view: BatchView) -> None:
    batch = view.batch
    assert isinstance(batch, AnswerTaggingBatch)
    for place, label in _pairs(batch.positions, batch.labels):
        if label:
            view.note(place, ANSWER_TAGS[label], "answer")
    view.others(batch.positions.tolist(), "ignored")


def _pairs(places: Any, labels: Any) -> list[tuple[int, int]]:
    return list(zip(places.tolist(), labels.tolist(), strict=True))


_DESCRIBED: tuple[tuple[type[Batch], Callable[[BatchView], None]], ...] = (
    (MaskedLMBatch, _masked),
    (TaggingBatch, _tagged),
    (QuestionAnsweringBatch, _with_span),
    (AnswerTaggingBatch, _with_answer_tags),
)
