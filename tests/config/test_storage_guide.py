"""The commands of docs/storage.md mean what the guide says (tests/docs: that they are valid)."""

import re

from clozekit.config.composition.overrides import as_overrides
from tests.docs.pages import ROOT, commands_in
from tests.programs.commands import compose_values

GUIDE = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")


def test_corpora_are_in_the_store() -> None:
    paths = []
    for verb, *rest in commands_in(GUIDE):
        values = compose_values(verb, *as_overrides(verb, rest))
        paths.append(values["out"] if verb == "prepare" else values["data"]["path"])
    assert paths == ["s3://my-bucket/corpus"] * 4


def test_a_mirror_may_have_the_name_of_the_run_in_it() -> None:
    (override,) = re.findall(r"`'(callbacks\.checkpoints\.mirror=.*?)'`", GUIDE)
    overrides = as_overrides("train", ["name=a", "data.path=b", "max_steps=1", override])
    values = compose_values("train", *overrides)
    assert values["callbacks"]["checkpoints"]["mirror"] == "s3://my-bucket/runs/a"
