"""How a prediction is shown on a page: marked in its text, or beside it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clozekit.data.labelled.embedding import SimilarTexts
from clozekit.data.labelled.multiple_choice import ChoiceQuestion
from clozekit.data.labelled.paragraphs import Question
from clozekit.data.labelled.tagged_rows import TaggedWords
from clozekit.inference.row_predictor import Prediction
from clozekit.metrics.tag_schemes import Entity, Scheme, entities_of
from clozekit.pages.charts import probabilities, share_bar
from clozekit.pages.elements import Html, element, isolated, joined, shortened
from clozekit.pages.layout import card, named, table
from clozekit.pages.marks import Chip, Mark, chips, colour, marked

MOST_CHARACTERS = 4000
"""The most characters of a text. Of a longer paragraph, the part around its answers is shown."""

MOST_SCORES = 5
MOST_NUMBERS = 8
"""The number of values of a vector that are shown."""

BEFORE_ANSWER = 1000
"""The characters of a long paragraph that are shown before its first answer."""


@dataclass(frozen=True)
class Shown:
    """A row with its prediction.

    Attributes:
        row_id: The row's id.
        inputs: The row: an example of a task, or the columns of a row for a pretrained model.
        prediction: The prediction.
        gold: The label, in the format of predictions.
        is_judged: Whether there is a label to compare with.
        is_wrong: Whether the prediction differs from the label.
        hint: What is said beside the row, such as the confidence.
    """

    row_id: str | int
    inputs: Any
    prediction: Prediction
    gold: Any = None
    is_judged: bool = False
    is_wrong: bool = False
    hint: str = ""


class PredictionView:
    """Shows predictions; each type of entity has the same colour on the whole page.

    Args:
        scheme: The scheme of tags, if any.
    """

    def __init__(self, scheme: Scheme | None = None) -> None:
        self.scheme = scheme
        self._colours: dict[str, str] = {}

    def all(self, shown: Sequence[Shown]) -> Html:
        """Shows predictions of one task: as cards, or as a table if each fits in a line."""
        if not shown:
            return element("p", "none", class_="subtitle")
        if isinstance(shown[0].inputs, TaggedWords | Question | ChoiceQuestion):
            return joined(self.card(each) for each in shown)
        return _table(shown)

    def card(self, shown: Shown) -> Html:
        """Shows a prediction in a box."""
        inputs = shown.inputs
        if isinstance(inputs, TaggedWords):
            content = self._tagged(inputs, shown)
        elif isinstance(inputs, Question):
            content = _answered(inputs, shown)
        else:
            content = _chosen(inputs, shown)
        title = f"row {shown.row_id}"
        return card(title, *content, hint=shown.hint, is_wrong=shown.is_wrong)

    def _tagged(self, example: TaggedWords, shown: Shown) -> list[Html]:
        prediction, scheme = shown.prediction, self.scheme
        if "entities" not in prediction or (shown.is_judged and scheme is None):
            return [_words(example, shown)]
        found = [Entity(e["type"], e["start"], e["end"]) for e in prediction["entities"]]
        if not shown.is_judged:
            return [self._entities(example.words, found, None)]
        assert scheme is not None
        golds = entities_of([tag or "O" for tag in shown.gold], scheme)
        predicted = self._entities(example.words, found, golds)
        if not shown.is_wrong:
            return [predicted]
        gold = self._entities(example.words, golds, golds)
        return [named("predicted", predicted), named("gold", gold)]

    def _entities(
        self, words: Sequence[str], entities: Sequence[Entity], golds: Sequence[Entity] | None
    ) -> Html:
        starts, length = [], 0
        for word in words:
            starts.append(length)
            length += len(word) + 1
        marks = []
        for entity in entities:
            kind = self._colours.setdefault(entity.kind, colour(len(self._colours)))
            classes = kind if golds is None or entity in golds else f"{kind} doubtful"
            end = starts[entity.end - 1] + len(words[entity.end - 1])
            marks.append(Mark(starts[entity.start], end, entity.kind, classes))
        return marked(" ".join(words), marks)


def _words(example: TaggedWords, shown: Shown) -> Html:
    """Shows a tag below each word, and the right one where it differs."""
    golds = shown.gold if shown.is_judged else [None] * len(example.words)
    tokens = []
    for word, tag, gold in zip(example.words, shown.prediction["tags"], golds, strict=True):
        is_wrong = gold is not None and gold != tag
        note = f"{tag} (gold: {gold})" if is_wrong else tag
        tokens.append(Chip(word, note, ("mistaken",) if is_wrong else ("plain",)))
    return chips(tokens)


def _answered(example: Question, shown: Shown) -> list[Html]:
    prediction = shown.prediction
    marks = []
    if prediction["start"] is not None and prediction["answer"]:
        kind = "mistaken" if shown.is_wrong else "predicted"
        marks.append(Mark(prediction["start"], prediction["end"], "predicted", kind))
    places = (
        list(zip(example.answer_start, example.answers, strict=True)) if shown.is_judged else []
    )
    for number, (begin, text) in enumerate(places):
        marks.append(Mark(begin, begin + len(text), "" if number else "gold", "gold"))
    content = [
        named("question", shortened(example.question, MOST_CHARACTERS)),
        named("paragraph", _paragraph(example.context, marks)),
        named("answer", prediction["answer"] or "(none)"),
    ]
    if shown.is_judged:
        golds = list(dict.fromkeys(example.answers))
        content.append(named("gold", " · ".join(golds) or "(none)"))
    candidates = prediction["candidates"][:MOST_SCORES]
    ranked = {f"{c['text']}": c["probability"] for c in reversed(candidates)}
    content.append(named("candidates", probabilities(ranked, MOST_SCORES)))
    return content


def _paragraph(context: str, marks: Sequence[Mark]) -> Html:
    """Shows a paragraph; of a long one, the part around its marks."""
    begin = 0
    if len(context) > MOST_CHARACTERS and marks:
        begin = max(0, min(mark.start for mark in marks) - BEFORE_ANSWER)
    end = begin + MOST_CHARACTERS
    moved = [Mark(m.start - begin, m.end - begin, m.label, m.kind) for m in marks if m.end <= end]
    before = element("span", f"({begin:,} characters before) ", class_="name") if begin else Html()
    rest = len(context) - end
    after = element("span", f" ({rest:,} more characters)", class_="name") if rest > 0 else Html()
    return element("div", before, marked(context[begin:end], moved), after)


def _chosen(example: ChoiceQuestion, shown: Shown) -> list[Html]:
    rows = []
    scores, label = shown.prediction["scores"], shown.prediction["label"]
    for place, (choice, score) in enumerate(zip(example.choices, scores, strict=True)):
        said = ["predicted"] if place == label else []
        said += ["gold"] if shown.is_judged and place == shown.gold else []
        text = isolated(shortened(choice, MOST_CHARACTERS))
        rows.append((str(place), text, share_bar(score), f"{score:.3f} {', '.join(said)}"))
    context = shortened(example.context, MOST_CHARACTERS)
    return [named("context", context), table(("", "choice", "", "probability"), rows)]


def _table(shown: Sequence[Shown]) -> Html:
    """Shows texts beside their predictions."""
    is_judged = any(each.is_judged for each in shown)
    columns = ["row", "text", "prediction", *(["gold"] if is_judged else []), "probabilities"]
    has_details = any(_has_scores(each.prediction) for each in shown)
    rows = []
    for each in shown:
        class_ = "wrong-text" if each.is_wrong else None
        cells = [
            isolated(str(each.row_id)),
            _texts(each.inputs),
            joined((isolated(_said(each.prediction), class_), _hint(each.hint))),
        ]
        if is_judged:
            cells.append(isolated(_gold(each.gold), "gold-text" if each.is_wrong else None))
        if has_details:
            cells.append(_scores(each.prediction))
        rows.append(cells)
    return table(columns if has_details else columns[:-1], rows)


def _hint(hint: str) -> Html:
    return element("div", element("small", isolated(hint))) if hint else Html()


def _texts(inputs: Any) -> Html:
    """Shows the texts of an example or a row, each on its own line."""
    if isinstance(inputs, Mapping):
        values = {str(name): value for name, value in inputs.items()}
    elif isinstance(inputs, SimilarTexts):
        values = {str(i): text for i, text in enumerate(dict.fromkeys(inputs.texts))}
    else:
        values = inputs.inputs()
    texts = [value for value in values.values() if value is not None and value != ""]
    shown = (shortened(t if isinstance(t, str) else _as_json(t), MOST_CHARACTERS) for t in texts)
    return joined(element("div", isolated(text)) for text in shown)


def _has_scores(prediction: Prediction) -> bool:
    return isinstance(prediction.get("scores"), dict) or "words" in prediction


def _scores(prediction: Prediction) -> Html:
    """Shows the probabilities of classes, or of the words at each [MASK]."""
    if isinstance(prediction.get("scores"), dict):
        return probabilities(prediction["scores"], MOST_SCORES)
    words = [each for each in prediction.get("words", ()) if isinstance(each, list)]
    return joined(
        probabilities({w["word"]: w["probability"] for w in of_mask}, MOST_SCORES)
        for of_mask in words
    )


def _said(prediction: Prediction) -> str:
    """Returns a prediction in a few words."""
    if "label" in prediction:
        return str(prediction["label"])
    if "labels" in prediction:
        return ", ".join(map(str, prediction["labels"])) or "(none)"
    for name in ("score", "similarity", "follows", "in_order"):
        if name in prediction:
            return f"{'' if name == 'score' else f'{name} '}{prediction[name]:.4f}"
    if "vector" in prediction:
        vector = prediction["vector"]
        more = ", …" if len(vector) > MOST_NUMBERS else ""
        numbers = ", ".join(f"{value:.3f}" for value in vector[:MOST_NUMBERS])
        return f"{numbers}{more} ({len(vector):,} values)"
    if "words" in prediction:
        return " · ".join(each[0]["word"] for each in prediction["words"] if each)
    return shortened(_as_json(prediction), MOST_CHARACTERS)


def _gold(gold: Any) -> str:
    if isinstance(gold, float):
        return f"{gold:.4g}"
    if isinstance(gold, list):
        return ", ".join(map(str, gold)) or "(none)"
    return "" if gold is None else str(gold)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
