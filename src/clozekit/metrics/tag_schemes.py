"""Schemes of entity tags: how a scheme is recognised, and which entities tags stand for.

A tag is `O`, or a prefix that tells the place of a word in its entity, with the entity's type:
`B-PER`. A tag without a type, such as `B`, stands for an entity of the type `_`.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

OUTSIDE = "O"
NO_TYPE = "_"

SchemeName = Literal["iob1", "iob2", "iobes", "bilou"]


class Scheme(NamedTuple):
    """A scheme of entity tags; all but IOB1 begin an entity of several words with B.

    Attributes:
        name: The name of the scheme.
        prefixes: The prefixes, in the order of the tags' ids.
        last: The prefix of the last of several words; None if it is I.
        single: The prefix of an entity of one word; None if it is B.
    """

    name: SchemeName
    prefixes: str
    last: str | None = None
    single: str | None = None


IOB1 = Scheme("iob1", "BI")
IOB2 = Scheme("iob2", "BI")
IOBES = Scheme("iobes", "BIES", last="E", single="S")
BILOU = Scheme("bilou", "BILU", last="L", single="U")
SCHEMES: dict[str, Scheme] = {scheme.name: scheme for scheme in (IOB2, IOBES, BILOU)}
"""The schemes of trained models. IOB1 is not among them: its files are converted to IOB2."""


class Entity(NamedTuple):
    """An entity in a sentence.

    Attributes:
        kind: Its type.
        start: Its first word.
        end: The word after its last.
    """

    kind: str
    start: int
    end: int


def recognised(names: Iterable[str]) -> Scheme | None:
    """Returns the scheme of a set of tags; None if they are of no scheme, such as parts of speech.

    Tags of IOB1 and IOB2 are the same; see `is_iob1`.
    """
    distinct = set(names)
    tags = distinct - {OUTSIDE}
    if not tags or not all(map(_has_form, tags)):
        return None
    if OUTSIDE not in distinct and any(len(tag) == 1 for tag in tags):
        return None  # Single letters are more often names of classes.
    prefixes = {tag[0] for tag in tags}
    for scheme in SCHEMES.values():
        begins = {"B", scheme.single, None if scheme.last else "I"}
        if prefixes <= set(scheme.prefixes) and prefixes & begins:
            return scheme
    return None


def scheme_of_labels(label_names: Iterable[str]) -> Scheme | None:
    """Returns the scheme of all tags of a model.

    A model in IOB2 needs B for each type that has I. One that lacks it was published with IOB1.
    """
    names = set(label_names)
    scheme = recognised(names)
    if scheme is IOB2 and any(
        name[0] == "I" and f"B{name[1:]}" not in names for name in names if name
    ):
        return IOB1
    return scheme


def outside_of(scheme: Scheme, names: Iterable[str]) -> str | None:
    """Returns the first tag that is not of a scheme, if any."""
    return next((name for name in names if name != OUTSIDE and not _is_of(scheme, name)), None)


def completed(names: Iterable[str], scheme: Scheme) -> list[str]:
    """Returns `O` and all tags of each type that occurs, sorted by type."""
    types = {name[1:] for name in names if name != OUTSIDE}
    return [OUTSIDE, *(prefix + kind for kind in sorted(types) for prefix in scheme.prefixes)]


def types_of(names: Iterable[str], scheme: Scheme) -> list[str]:
    """Returns the types of entities in a set of tags, sorted."""
    return sorted({_type(name) for name in names if _is_of(scheme, name)})


def entities_of(tags: Sequence[str], scheme: Scheme = IOB2) -> list[Entity]:
    """Finds the entities of a sentence, as seqeval does in its strict mode.

    An entity that does not begin or end as its scheme demands is ignored.

    Args:
        tags: The tags of the sentence's words. Tags of another scheme count as `O`.
        scheme: The scheme.
    """
    if scheme is IOB1:
        tags = [tag or OUTSIDE for tag in to_iob2(tags)]
    entities, place = [], 0
    while place < len(tags):
        start, kind = place, _type(tags[place])
        place += 1
        if not _is_of(scheme, tags[start]) or tags[start][0] not in ("B", scheme.single):
            continue
        prefix = tags[start][0]
        while prefix in "BI" and place < len(tags) and _continues(tags[place], kind, scheme):
            prefix = tags[place][0]
            place += 1
        if scheme.last is None or prefix in (scheme.last, scheme.single):
            entities.append(Entity(kind, start, place))
    return entities


def is_iob1(sentences: Iterable[Sequence[str | None]]) -> bool:
    """Whether the tags of a file are IOB1.

    There, an entity begins with I, and with B only directly after one of the same type.

    Tags that are of neither IOB1 nor IOB2 count as `O`. No entity begins after a missing tag, as
    far as one can tell.
    """
    begins_with_inside = False
    for tags in sentences:
        before: str | None = OUTSIDE
        for tag in tags:
            if tag is not None and before is not None and _is_of(IOB2, tag):
                is_after_its_like = _is_of(IOB2, before) and _type(before) == _type(tag)
                if tag[0] == "B" and not is_after_its_like:
                    return False
                begins_with_inside |= tag[0] == "I" and not is_after_its_like
            before = tag
    return begins_with_inside


def to_iob2(tags: Sequence[str | None]) -> list[str | None]:
    """Converts IOB1 to IOB2, where every entity begins with B.

    IOB2 tags are returned unchanged, and so are tags that are of neither scheme.
    """
    converted: list[str | None] = []
    before: str | None = OUTSIDE
    for tag in tags:
        if tag is not None and _is_of(IOB2, tag) and tag[0] == "I":
            is_new = before is None or not _is_of(IOB2, before) or _type(before) != _type(tag)
            converted.append("B" + tag[1:] if is_new else tag)
        else:
            converted.append(tag)
        before = tag
    return converted


def converted(tags: Sequence[str | None], given: Scheme, wanted: Scheme) -> list[str | None]:
    """Converts the tags of a sentence's entities from one scheme to another.

    Tags that are in no entity of the given scheme are returned unchanged.
    """
    if given is wanted:
        return list(tags)
    result, before = list(tags), None
    for entity in entities_of([tag or OUTSIDE for tag in tags], given):
        number = entity.end - entity.start
        is_next = before is not None and before.end == entity.start and before.kind == entity.kind
        first = "I" if wanted is IOB1 and not is_next else "B"
        prefixes = [first, *"I" * (number - 1)]
        if wanted.last is not None:
            prefixes[-1] = wanted.last
        if number == 1 and wanted.single is not None:
            prefixes[0] = wanted.single
        for place, prefix in enumerate(prefixes, entity.start):
            result[place] = prefix + (tags[place] or "")[1:]
        before = entity
    return result


def _continues(tag: str, kind: str, scheme: Scheme) -> bool:
    return _is_of(scheme, tag) and tag[0] in ("I", scheme.last) and _type(tag) == kind


def _is_of(scheme: Scheme, tag: str) -> bool:
    return _has_form(tag) and tag[0] in scheme.prefixes


def _has_form(tag: str) -> bool:
    return len(tag) == 1 or tag[1:2] == "-"


def _type(tag: str) -> str:
    return tag[1:].strip("-") or NO_TYPE
