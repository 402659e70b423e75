"""The page of an evaluation: metrics, confusion by class, and the most confident errors first."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.inference.evaluation_figures import Confusion
from clozekit.inference.judging import judged
from clozekit.inference.prediction_views import PredictionView, Shown
from clozekit.inference.row_predictor import Prediction
from clozekit.pages.charts import heat_table, share_bar
from clozekit.pages.elements import Html, element, joined
from clozekit.pages.layout import facts, page, table
from clozekit.tasks.embedding import EmbeddingModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.regression import RegressionModule
from clozekit.tasks.tagging import TaggingModule

PAGE = "evaluation.html"
"""The name of the page in the folder of an evaluation."""

MOST_ERRORS = 100
MOST_RIGHT = 20
MOST_CLASSES = 30
"""The most classes of a confusion matrix; if there are more, those with the most errors."""

Scores = Mapping[str, Mapping[str, float]]


def evaluation_page(
    module: FineTuningModule[Any],
    examples: Sequence[Any],
    golds: Sequence[Any],
    predictions: Sequence[Prediction],
    values: Mapping[str, float],
    known: Mapping[str, Any],
    scores: Mapping[str, Scores],
    confusion: Confusion | None,
) -> str:
    """Returns the page.

    Args:
        module: The evaluated module.
        examples: The rows.
        golds: Their labels, in the format of the predictions.
        predictions: The predictions.
        values: The metrics.
        known: What else is known of the evaluation, such as the name of the data.
        scores: Precision, recall, F1 and support by class, under the name of the table.
        confusion: The classes, and the counts `[gold, predicted]`; None if there are no classes.
    """
    sections = [("Metrics", _metrics(values, known))]
    if confusion is not None:
        sections.append(("Confusion by class", _confusion(*confusion)))
    sections += [(_HEADINGS.get(name, name), _scores(each)) for name, each in scores.items()]
    sections += _rows(module, examples, golds, predictions)
    return page(str(known.get("data", "evaluation")), f"{len(examples):,} rows", sections)


_HEADINGS = {"per_class": "Scores by class", "per_entity_type": "Scores by type of entity"}


def _metrics(values: Mapping[str, float], known: Mapping[str, Any]) -> Html:
    rows = [(name, f"{value:.4f}") for name, value in values.items()]
    numbers = {
        "rows": f"{known.get('num_examples', 0):,}",
        "truncated": f"{known.get('num_truncated', 0):,}",
        "left out, without label": f"{known.get('num_unlabelled', 0):,}",
    }
    unknown = known.get("unknown_labels")
    if unknown:
        numbers["labels unknown to the model"] = ", ".join(
            f"{name} ({count:,})" for name, count in unknown.items()
        )
    return joined((table(("metric", "value"), rows, numbers=(1,)), facts(numbers)))


def _confusion(names: Sequence[str], counts: NDArray[np.int64]) -> Html:
    chosen = np.arange(len(names))
    note = Html()
    if len(names) > MOST_CLASSES:
        errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
        chosen = np.sort(np.argsort(-errors, kind="stable")[:MOST_CLASSES])
        text = f"The {MOST_CLASSES} of {len(names):,} classes with the most errors."
        note = element("p", text, class_="subtitle")
    of_chosen = counts[np.ix_(chosen, chosen)].tolist()
    return joined((note, heat_table([names[i] for i in chosen.tolist()], of_chosen)))


def _scores(scores: Scores) -> Html:
    columns = ("class", "", "F1", "precision", "recall", "support")
    rows = [
        (
            name,
            share_bar(of_class["f1"]),
            *(f"{of_class[key]:.3f}" for key in ("f1", "precision", "recall")),
            f"{of_class['support']:,.0f}",
        )
        for name, of_class in scores.items()
    ]
    return table(columns, rows, numbers=(2, 3, 4, 5))


def _rows(
    module: FineTuningModule[Any],
    examples: Sequence[Any],
    golds: Sequence[Any],
    predictions: Sequence[Prediction],
) -> Iterator[tuple[str, Html]]:
    """Yields the sections with rows."""
    view = PredictionView(module.scheme if isinstance(module, TaggingModule) else None)
    verdicts = judged(module, golds, predictions)
    if verdicts is None:
        shown = [
            Shown(example.id, example, prediction, gold, is_judged=True)
            for example, prediction, gold in zip(examples, predictions, golds, strict=True)
        ]
        yield _heading("Rows", len(shown), MOST_ERRORS), view.all(shown[:MOST_ERRORS])
        return
    has_classes = not isinstance(module, RegressionModule | EmbeddingModule)

    def of(places: Sequence[int]) -> Html:
        return view.all(
            [
                Shown(
                    examples[i].id,
                    examples[i],
                    predictions[i],
                    golds[i],
                    is_judged=True,
                    is_wrong=has_classes and verdicts[i].is_wrong,
                    hint=verdicts[i].hint,
                )
                for i in places
            ]
        )

    wrong = [i for i, verdict in enumerate(verdicts) if verdict.is_wrong]
    wrong.sort(key=lambda i: -verdicts[i].weight)
    title = "Errors, the most confident first" if has_classes else "The largest errors first"
    yield _heading(title, len(wrong), MOST_ERRORS), of(wrong[:MOST_ERRORS])
    right = [i for i, verdict in enumerate(verdicts) if not verdict.is_wrong]
    if right:
        yield _heading("Right predictions", len(right), MOST_RIGHT), of(right[:MOST_RIGHT])


def _heading(title: str, number: int, most: int) -> str:
    if number > most:
        return f"{title} ({most:,} of {number:,})"
    return f"{title} ({number:,})"
