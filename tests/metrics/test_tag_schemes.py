"""Schemes of entity tags: recognised from the tags, and read as seqeval reads them."""

import pytest
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import Tokens

from clozekit.metrics.tag_schemes import (
    BILOU,
    IOB1,
    IOB2,
    IOBES,
    Scheme,
    completed,
    converted,
    entities_of,
    is_iob1,
    outside_of,
    recognised,
    scheme_of_labels,
    to_iob2,
    types_of,
)

TYPES = ["LOC", "MISC-X", "PER"]
ORACLES = [
    (IOB2, seqeval.scheme.IOB2),
    (IOBES, seqeval.scheme.IOBES),
    (BILOU, seqeval.scheme.BILOU),
]


def tags_of(scheme: Scheme) -> st.SearchStrategy[list[str]]:
    tags = ["O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in scheme.prefixes)]
    # Bare tags and empty types too.
    return st.lists(st.sampled_from([*tags, *scheme.prefixes, "B-"]), max_size=8)


@pytest.mark.parametrize(("scheme", "theirs"), ORACLES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_entities_are_those_of_seqeval(scheme: Scheme, theirs: type, data: st.DataObject) -> None:
    tags = data.draw(tags_of(scheme))
    expected = [(entity.tag, entity.start, entity.end) for entity in Tokens(tags, theirs).entities]
    assert entities_of(tags, scheme) == expected


@pytest.mark.parametrize(
    ("scheme", "sentence", "entities"),
    [
        (IOB2, "", []),
        (IOB2, "B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        (IOB2, "I-PER I-PER O", []),
        (IOB2, "B-PER I-LOC I-PER", [("PER", 0, 1)]),
        (IOB2, "B I O B", [("_", 0, 2), ("_", 3, 4)]),
        (IOB2, "B-X-Y I-X-Y", [("X-Y", 0, 2)]),
        (IOBES, "B-PER I-PER E-PER S-LOC", [("PER", 0, 3), ("LOC", 3, 4)]),
        (IOBES, "B-PER I-PER O", []),
        (IOBES, "B-PER B-PER E-PER", [("PER", 1, 3)]),
        (IOBES, "E-PER S-PER E-PER", [("PER", 1, 2)]),
        (BILOU, "B-PER L-PER U-LOC", [("PER", 0, 2), ("LOC", 2, 3)]),
        # Gold tags that a model does not have may be of any form.
        (IOB2, "B-PER NOUN b-per I-PER", [("PER", 0, 1)]),
    ],
)
def test_entities_of_a_sentence(
    scheme: Scheme, sentence: str, entities: list[tuple[str, int, int]]
) -> None:
    assert entities_of(sentence.split(), scheme) == entities


@pytest.mark.parametrize(
    ("names", "scheme"),
    [
        ("O B-PER I-PER", IOB2),
        ("I-PER", IOB2),
        ("B-A-B", IOB2),
        ("O B-", IOB2),
        ("O B I", IOB2),
        ("O B-PER E-PER", IOBES),
        ("O S-PER", IOBES),
        ("O B-PER I-PER E-PER S-LOC", IOBES),
        ("O B-PER L-PER U-PER", BILOU),
        ("O U-PER", BILOU),
        ("O", None),
        ("", None),
        ("B I", None),
        ("O I-PER E-PER", None),
        ("O B-PER S-PER U-PER", None),
        ("O PER", None),
        ("O B-PER BIG", None),
        ("NOUN VERB", None),
        ("o B-PER", None),
        ("O b-per i-per", None),
    ],
)
def test_a_scheme_is_recognised_from_its_tags(names: str, scheme: Scheme | None) -> None:
    assert recognised(names.split()) is scheme
    assert recognised(iter(names.split())) is scheme


def test_every_type_gets_all_tags_of_its_scheme() -> None:
    assert completed({"I-b", "B-a"}, IOB2) == ["O", "B-a", "I-a", "B-b", "I-b"]
    assert completed({"S-a", "O"}, IOBES) == ["O", "B-a", "I-a", "E-a", "S-a"]
    assert completed({"U", "O"}, BILOU) == ["O", "B", "I", "L", "U"]
    assert types_of(["O", "B-b", "S-a", "NOUN"], IOBES) == ["a", "b"]


def test_a_tag_of_another_scheme_is_found() -> None:
    assert outside_of(IOB2, ["O", "B-a", "S-a"]) == "S-a"
    assert outside_of(IOBES, ["O", "B-a", "S-a"]) is None


@pytest.mark.parametrize(
    ("sentences", "answer"),
    [
        (["I-PER I-PER O I-LOC B-LOC"], True),
        (["I-PER", "O"], True),
        (["B-PER I-PER O B-LOC B-LOC"], False),
        (["O O"], False),
        ([""], False),
        # One entity that begins with B is enough: the other is a mistake in IOB2.
        (["I-PER O", "B-PER"], False),
        (["I O", "I B"], True),
        (["I-X NOUN I-X B-X"], True),
    ],
)
def test_iob1_is_recognised_from_all_sentences(sentences: list[str], answer: bool) -> None:
    assert is_iob1([sentence.split() for sentence in sentences]) is answer


def test_a_missing_tag_tells_nothing_of_what_comes_after_it() -> None:
    assert not is_iob1([[None, "I-PER"], ["B-LOC", None, "I-LOC"]])
    assert is_iob1([["I-PER", None, "B-PER"]])
    assert to_iob2(["I-PER", None, "I-PER", "I-PER"]) == ["B-PER", None, "B-PER", "I-PER"]


@pytest.mark.parametrize(
    ("iob1", "iob2"),
    [
        ("", ""),
        ("I-PER I-PER O I-LOC", "B-PER I-PER O B-LOC"),
        ("I-PER I-LOC", "B-PER B-LOC"),
        ("I-PER B-PER I-PER", "B-PER B-PER I-PER"),
        ("I-PER B-PER B-PER I-LOC", "B-PER B-PER B-PER B-LOC"),
        ("O I-MISC-X I-MISC-X", "O B-MISC-X I-MISC-X"),
        ("I I B O", "B I B O"),
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
    entities = []
    before = ""
    for kind, length in layout:
        if kind:
            first = "B-" if kind == before else "I-"
            entities.append((kind, len(iob1), len(iob1) + length))
            iob1 += [first + kind] + [f"I-{kind}"] * (length - 1)
        else:
            iob1 += ["O"] * length
        before = kind
    iob2 = [tag or "" for tag in to_iob2(iob1)]
    assert to_iob2(iob2) == iob2
    assert entities_of(iob2) == entities
    assert is_iob1([iob1]) == bool(entities)
    theirs = Tokens(iob1, seqeval.scheme.IOB1).entities
    assert [(entity.tag, entity.start, entity.end) for entity in theirs] == entities
    assert entities_of(iob1, IOB1) == entities
    schemes = {IOB1: iob1, IOB2: iob2}
    for scheme in (IOBES, BILOU):
        schemes[scheme] = [tag or "" for tag in converted(iob1, IOB1, scheme)]
    for given_scheme, tags in schemes.items():
        assert entities_of(tags, given_scheme) == entities
        for wanted, expected in schemes.items():
            assert converted(tags, given_scheme, wanted) == expected


def test_tags_in_no_entity_are_not_converted() -> None:
    tags = ["NOUN", "I-PER", None, "B-PER", "S-LOC"]
    assert converted(tags, IOB2, IOBES) == ["NOUN", "I-PER", None, "S-PER", "S-LOC"]
    assert converted(tags, IOB2, IOB1) == ["NOUN", "I-PER", None, "I-PER", "S-LOC"]


@pytest.mark.parametrize(
    ("names", "scheme"),
    [
        ("O I-PER B-PER", IOB2),
        ("O I-PER B-PER B-LOC", IOB2),
        ("O I-PER B-PER I-LOC", IOB1),
        ("O I-PER", IOB1),
        ("O I B", IOB2),
        ("O I", IOB1),
        ("O B-PER I-PER E-PER", IOBES),
        ("INTJ NOUN", None),
    ],
)
def test_a_model_that_lacks_a_b_is_one_of_iob1(names: str, scheme: Scheme | None) -> None:
    assert scheme_of_labels(names.split()) == scheme
