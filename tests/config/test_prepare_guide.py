"""The commands of docs/prepare.md are composed and checked as the command does."""

import re
from pathlib import Path

from clozekit.config.composition.overrides import as_overrides
from clozekit.config.prepare import PrepareConfig
from tests.docs.pages import commands_in
from tests.programs.commands import compose_values

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "prepare.md").read_text()


def prepared(*overrides: str) -> PrepareConfig:
    return PrepareConfig.model_validate(
        compose_values("prepare", *as_overrides("prepare", list(overrides)))
    )


def test_the_commands_choose_the_duplicates_that_the_guide_says() -> None:
    configs = [prepared(*command[1:]) for command in commands_in(GUIDE)]
    methods = [config.dedup.method for config in configs]
    assert methods == ["exact", "none", "near", "near"]
    assert configs[-1].dedup.model_dump()["num_buckets"] == 20


def test_the_rules_of_the_guide_are_keys() -> None:
    (example,) = re.findall(r"`(source\.path=[^`]*filters\.[^`]*)`", GUIDE)
    filters = prepared("out=data/a", *example.split()).filters
    assert (filters.min_words, filters.max_duplicate_sentence_fraction) == (50, 0.3)
    rules = re.findall(r"^\| `(\w+)` \|", GUIDE.partition("`filters.`")[2], re.MULTILINE)
    assert sorted(rules) == sorted(type(filters).model_fields)
