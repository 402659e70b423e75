"""Entities are scored as by seqeval in its strict mode, type by type, on any number of processes.

`test_squad.py` runs the metric on several processes.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import BILOU, IOB2, IOBES

from clozekit.errors import DataError
from clozekit.metrics import tag_schemes
from clozekit.metrics.entities import EntityF1
from clozekit.metrics.tag_schemes import entities_of
from tests.metrics.processes import SENTENCES, entity_f1

TYPES = ["LOC", "MISC-X", "PER"]

Sentence = tuple[list[str], list[str]]


def sentences_of(prefixes: str) -> st.SearchStrategy[list[Sentence]]:
    """Tags in any order, so that most sentences hold one that continues nothing."""
    tags = st.sampled_from(["O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in prefixes)])
    sentence = st.lists(st.tuples(tags, tags), max_size=7)
    pairs = sentence.map(lambda pairs: ([a for a, _ in pairs], [b for _, b in pairs]))
    return st.lists(pairs, min_size=1, max_size=5)


sentences = sentences_of("BI")


def metric_of(pairs: list[Sentence]) -> EntityF1:
    metric = EntityF1(TYPES)
    metric.update([predicted for predicted, _ in pairs], [gold for _, gold in pairs])
    return metric


def computed(metric: EntityF1) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


@pytest.mark.parametrize(
    ("scheme", "theirs"),
    [(tag_schemes.IOB2, IOB2), (tag_schemes.IOBES, IOBES), (tag_schemes.BILOU, BILOU)],
)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_scores_are_those_of_seqeval(
    scheme: tag_schemes.Scheme, theirs: type, data: st.DataObject
) -> None:
    pairs = data.draw(sentences_of(scheme.prefixes))
    predicted, gold = [p for p, _ in pairs], [g for _, g in pairs]
    options = {"mode": "strict", "scheme": theirs, "average": "micro", "zero_division": 0}
    metric = EntityF1(TYPES, scheme)
    metric.update(predicted, gold)
    if not any(entities_of(sentence, scheme) for sentence in predicted + gold):
        # seqeval fails where there is no entity at all.
        assert computed(metric) == {"f1": 0.0, "precision": 0.0, "recall": 0.0}
        return
    assert computed(metric) == {
        "f1": pytest.approx(f1_score(gold, predicted, **options)),
        "precision": pytest.approx(precision_score(gold, predicted, **options)),
        "recall": pytest.approx(recall_score(gold, predicted, **options)),
    }
    report = classification_report(
        gold, predicted, mode="strict", scheme=theirs, output_dict=True, zero_division=0
    )
    absent = {"f1-score": 0, "precision": 0, "recall": 0, "support": 0}
    for kind, scores in metric.per_type().items():
        expected = report.get(kind, absent)
        assert scores == {
            "f1": pytest.approx(expected["f1-score"]),
            "precision": pytest.approx(expected["precision"]),
            "recall": pytest.approx(expected["recall"]),
            "support": expected["support"],
        }


def test_an_entity_is_right_only_as_a_whole() -> None:
    metric = metric_of(
        [
            (["B-PER", "I-PER", "O"], ["B-PER", "I-PER", "I-PER"]),  # an end too early
            (["B-LOC", "I-LOC"], ["B-PER", "I-PER"]),  # another type
            (["B-PER", "O"], ["B-PER", "O"]),
        ]
    )
    assert computed(metric) == pytest.approx({"f1": 1 / 3, "precision": 1 / 3, "recall": 1 / 3})
    per_type = metric.per_type()
    assert list(per_type) == TYPES
    assert per_type["PER"] == pytest.approx(
        {"f1": 2 / 5, "precision": 1 / 2, "recall": 1 / 3, "support": 3}
    )
    assert per_type["LOC"] == {"f1": 0.0, "precision": 0.0, "recall": 0.0, "support": 0}


@settings(max_examples=50, deadline=None)
@given(sentences, st.integers(0, 5))
def test_merged_states_equal_one_over_all(pairs: list[Sentence], cut: int) -> None:
    whole, first, second = map(metric_of, (pairs, pairs[:cut], pairs[cut:]))
    first.merge_state(second)
    assert computed(first) == computed(whole)
    assert first.per_type() == whole.per_type()


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_updates_add_up_and_reset_forgets() -> None:
    whole = EntityF1(["LOC", "PER"])
    whole.update([p for p, _ in SENTENCES], [g for _, g in SENTENCES])
    metric = entity_f1(SENTENCES)
    assert computed(metric) == computed(whole)
    metric.reset()
    assert set(computed(metric).values()) == {0.0}


@pytest.mark.parametrize("side", [0, 1])
def test_an_unknown_type_is_refused_and_changes_nothing(side: int) -> None:
    metric = entity_f1(SENTENCES)
    before = metric.per_type()
    sentence = [["B-PER"], ["B-PER"]]
    sentence[side] = ["B-ORG"]
    with pytest.raises(DataError, match=r"'ORG'.*LOC, PER"):
        metric.update([sentence[0]], [sentence[1]])
    assert metric.per_type() == before


def test_sentences_of_unequal_length_are_refused() -> None:
    metric = EntityF1(TYPES)
    with pytest.raises(ValueError, match="1 tags for 2 words"):
        metric.update([["O"]], [["O", "O"]])
    with pytest.raises(ValueError, match="zip"):
        metric.update([["O"]], [["O"], ["O"]])
