"""The pages of the documentation, and the commands and files that they show."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
)
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.md"))
PAGES = (*GUIDES, *EXPERIMENTS)

_INLINE = re.compile(
    r"(?<!`)`((?:clozekit \w+ \S*=|make \w|python (?:-m )?(?:experiments|docs)\b|pip install )"
    r"[^`\n]*)`(?!`)"
)


def blocks_of(text: str, *languages: str) -> list[str]:
    """Returns the blocks of code in some languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands_of(text: str) -> list[list[str]]:
    """Returns the words of each command, in blocks of `sh` and within lines."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    inline = [shlex.split(found) for found in _INLINE.findall(outside) if "VERB" not in found]
    return [*in_blocks(text), *inline]


def commands_in(text: str) -> list[list[str]]:
    """Returns the arguments of each `clozekit` command in the blocks of `sh`."""
    return [words[1:] for words in in_blocks(text) if words[0] == "clozekit"]


def in_blocks(text: str) -> list[list[str]]:
    """Returns the words of each command in the blocks of `sh`, which may have several lines."""
    commands, begun = [], ""
    for line in "".join(blocks_of(text, "sh")).replace("\\\n", " ").splitlines():
        begun += line
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:  # a quotation that ends in a later line
            begun += "\n"
            continue
        commands += [words] if words else []
        begun = ""
    assert not begun, f"a quotation does not end: {begun}"
    return commands


def write_files(text: str, folder: Path) -> list[str]:
    """Writes every block that names its file in its first line; returns the names."""
    names = []
    for block in blocks_of(text, "python", "yaml"):
        first, _, rest = block.partition("\n")
        if re.fullmatch(r"# [\w/]+\.(py|yaml)", first):
            path = folder / first[2:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest)
            names.append(first[2:])
    return names
