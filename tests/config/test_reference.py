"""The reference of configuration keys is current and whole."""

import re
from pathlib import Path

from docs.make_reference import FILE, NO_CHOICES, reference

from clozekit.config.composition.location import conf_dir


def test_the_file_is_what_the_schemas_and_conf_say() -> None:
    assert FILE.read_text(encoding="utf-8") == reference(), "run python -m docs.make_reference"


def test_every_choice_of_every_group_is_told() -> None:
    text = FILE.read_text(encoding="utf-8")
    for folder in sorted(path for path in conf_dir().iterdir() if path.is_dir()):
        if folder.name in ("hydra", "experiment", "objective", "debug", "local"):
            continue
        (section,) = re.findall(rf"### `{folder.name}=`\n(.*?)(?=\n## |\n### |\Z)", text, re.DOTALL)
        for file in folder.rglob("*.yaml"):
            choice = Path(file).relative_to(folder).with_suffix("").as_posix()
            assert choice in NO_CHOICES or f"`{choice}`" in section


def test_every_key_has_a_type_a_default_and_a_meaning() -> None:
    rows = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"]
    assert len(rows) > 150
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 4 and all(cells), row
        assert cells[1] != "any", row
