"""Entities are scored as by seqeval in its strict mode, type by type, on any number of processes.

`test_squad.py` runs the metric on several processes.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB1, IOB2, Tokens

from clozekit.errors import DataError
from clozekit.metrics.entities import EntityF1, entities_of, is_bio, to_iob2
from tests.metrics.processes import SENTENCES, entity_f1

TYPES = ["LOC", "MISC-X", "PER"]
TAGS = ["O", *(prefix + kind for kind in TYPES for prefix in ("B-", "I-"))]

Sentence = tuple[list[str], list[str]]

# Any order of tags, so that most sentences hold an I- that continues nothing.
tags = st.lists(st.sampled_from(TAGS), max_size=7)
sentences = st.lists(
    st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=7).map(
        lambda pairs: ([a for a, _ in pairs], [b for _, b in pairs])
    ),
    min_size=1,
    max_size=5,
)


def metric_of(pairs: list[Sentence]) -> EntityF1:
    metric = EntityF1(TYPES)
    metric.update([predicted for predicted, _ in pairs], [gold for _, gold in pairs])
    return metric


def computed(metric: EntityF1) -> dict[str, float]:
    return {name: value.item() for name, value in metric.compute().items()}


def scan(sentence: list[str]) -> set[tuple[str, int, int]]:
    """All spans that are an entity by the definition of IOB2, tried one by one."""
    found = set()
    for start, tag in enumerate(sentence):
        for end in range(start + 1, len(sentence) + 1):
            kind, after = tag[2:], [*sentence, "O"][end]
            inside = all(other == f"I-{kind}" for other in sentence[start + 1 : end])
            if tag.startswith("B-") and inside and after != f"I-{kind}":
                found.add((kind, start, end))
    return found


@pytest.mark.parametrize(
    ("sentence", "entities"),
    [
        ("", set()),
        ("O O", set()),
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 1), ("PER", 1, 3)}),
        ("I-PER I-PER O", set()),
        ("B-PER I-LOC I-PER", {("PER", 0, 1)}),
        ("O I-LOC B-LOC I-LOC", {("LOC", 2, 4)}),
        ("B-MISC-X I-MISC-X", {("MISC-X", 0, 2)}),
    ],
)
def test_entities_of_a_sentence(sentence: str, entities: set[tuple[str, int, int]]) -> None:
    assert entities_of(sentence.split()) == entities


@settings(max_examples=100, deadline=None)
@given(tags)
def test_entities_are_those_of_the_definition(sentence: list[str]) -> None:
    assert entities_of(sentence) == scan(sentence)


@settings(max_examples=100, deadline=None)
@given(sentences)
def test_scores_are_those_of_seqeval(pairs: list[Sentence]) -> None:
    predicted, gold = [p for p, _ in pairs], [g for _, g in pairs]
    options = {"mode": "strict", "scheme": IOB2, "average": "micro", "zero_division": 0}
    metric = metric_of(pairs)
    if not any(entities_of(sentence) for sentence in predicted + gold):
        # seqeval fails where there is no entity at all.
        assert computed(metric) == {"f1": 0.0, "precision": 0.0, "recall": 0.0}
        return
    assert computed(metric) == {
        "f1": pytest.approx(f1_score(gold, predicted, **options)),
        "precision": pytest.approx(precision_score(gold, predicted, **options)),
        "recall": pytest.approx(recall_score(gold, predicted, **options)),
    }
    report = classification_report(
        gold, predicted, mode="strict", scheme=IOB2, output_dict=True, zero_division=0
    )
    absent = {"f1-score": 0, "precision": 0, "recall": 0, "support": 0}
    for kind, scores in metric.per_type().items():
        theirs = report.get(kind, absent)
        assert scores == {
            "f1": pytest.approx(theirs["f1-score"]),
            "precision": pytest.approx(theirs["precision"]),
            "recall": pytest.approx(theirs["recall"]),
            "support": theirs["support"],
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


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (["O", "B-PER", "I-PER"], True),
        (["I-PER"], True),
        (["B-A-B"], True),
        (["O"], False),
        ([], False),
        (["O", "B-"], False),
        (["O", "B-PER", "E-PER"], False),
        (["O", "PER"], False),
        (["O", "B-PER", "BIG"], False),
        (["NOUN", "VERB"], False),
        (["o", "B-PER"], False),
    ],
)
def test_is_bio(names: list[str], answer: bool) -> None:
    assert is_bio(names) is answer
    assert is_bio(iter(names)) is answer


@pytest.mark.parametrize(
    ("iob1", "iob2"),
    [
        ("", ""),
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER I-LOC", "B-PER B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER B-PER B-PER I-LOC", "B-PER B-PER B-PER B-LOC"),
        ("O I-MISC-X I-MISC-X", "O B-MISC-X I-MISC-X"),
        ("B-PER I-PER O B-LOC B-LOC", "B-PER I-PER O B-LOC B-LOC"),
    ],
)
def test_iob1_becomes_iob2(iob1: str, iob2: str) -> None:
    assert to_iob2(iob1.split()) == iob2.split()


# Runs of words: outside, or an entity of a type.
runs = st.lists(st.tuples(st.sampled_from(["", *TYPES]), st.integers(1, 3)), max_size=6)


@settings(max_examples=100, deadline=None)
@given(runs)
def test_entities_survive_the_conversion(layout: list[tuple[str, int]]) -> None:
    iob1: list[str] = []
    iob2: list[str] = []
    entities = set()
    before = ""
    for kind, length in layout:
        start = len(iob2)
        if kind:
            first = "B-" if kind == before else "I-"
            iob1 += [first + kind] + [f"I-{kind}"] * (length - 1)
            iob2 += [f"B-{kind}"] + [f"I-{kind}"] * (length - 1)
            entities.add((kind, start, start + length))
        else:
            iob1 += ["O"] * length
            iob2 += ["O"] * length
        before = kind
    assert to_iob2(iob1) == iob2 == to_iob2(iob2)
    assert entities_of(iob2) == entities
    theirs = Tokens(iob1, scheme=IOB1).entities
    assert {(entity.tag, entity.start, entity.end) for entity in theirs} == entities
