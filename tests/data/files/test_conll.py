"""CoNLL files: sentences with their lines, and what is refused."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.files.conll import read_conll
from clozekit.errors import DataError
from tests.data.labelled.written_rows import read


def conll(folder: Path, content: str | bytes, name: str = "a.conll") -> list[dict[str, Any]]:
    path = folder / name
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    rows = read_conll(str(path), "tokens", "tags")
    start = f"{path}, the sentence at line "
    return [{**row, "line": int(place.removeprefix(start))} for place, row in rows]


def sentence(line: int, words: str, tags: str) -> dict[str, Any]:
    """The sentence at a line, as `conll` gives it."""
    return {"tokens": words.split("|"), "tags": tags.split(), "line": line}


CONLL: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "blanks": (
        "U.N. B\nhere O\n\nAnn B\n",
        [sentence(1, "U.N.|here", "B O"), sentence(4, "Ann", "B")],
    ),
    "tabs": (
        "New York\tB-LOC\n10\u00a0000\tO\n\n\n",
        [sentence(1, "New York|10\u00a0000", "B-LOC O")],
    ),
    "a tab after the last column": (
        "a\tX\t\nb\tY\t\n\nc\tX\t\n",
        [sentence(1, "a|b", "X Y"), sentence(4, "c", "X")],
    ),
    "four columns": (
        "-DOCSTART- -X- -X- O\n\na DT I O\nb NN I B-X\n",
        [sentence(3, "a|b", "O B-X")],
    ),
    "Windows": ("a X\r\n\r\nb Y\r\n", [sentence(1, "a", "X"), sentence(3, "b", "Y")]),
    "a byte order mark": ("\ufeffa\tX\nb\tY\n", [sentence(1, "a|b", "X Y")]),
    "no end of line": ("a X\nb Y", [sentence(1, "a|b", "X Y")]),
    "blank lines with blanks": ("a X\n \t\nb Y\n", [sentence(1, "a", "X"), sentence(3, "b", "Y")]),
    "columns aligned by blanks": (" a   X  \n bc  Y\n", [sentence(1, "a|bc", "X Y")]),
    "another space in a word": (
        "10\u00a0000 X\n\u3000 Y\n",
        [sentence(1, "10\u00a0000|\u3000", "X Y")],
    ),
    "comments, tabs": (
        "# newdoc id = x\n# text = a\na\tX\n#\tSYM\n\n# newdoc id = y\n#\tSYM\nb\tX\n",
        [sentence(3, "a|#", "X SYM"), sentence(7, "#|b", "SYM X")],
    ),
    "comments, blanks": (
        "# newdoc id = x\na X\n# X\n\n# newdoc id = y\n# X\n#hash X\nb X\n",
        [sentence(2, "a|#", "X X"), sentence(6, "#|#hash|b", "X X X")],
    ),
    # As the files of MultiCoNER have it.
    "comments of as many columns": (
        "# id 12ab domain=train\na _ _ B-X\n\n# id 34cd domain=train\nb _ _ O\n",
        [sentence(2, "a", "B-X"), sentence(5, "b", "O")],
    ),
    "metadata without a blank": (
        "#newdoc id=x\n#text=a\na X\n\n#sent_id = 3\n#hash X\n",
        [sentence(3, "a", "X"), sentence(6, "#hash", "X")],
    ),
    "a first word with a hash": (
        "#hash\tX\nNew York\tY\n",
        [sentence(1, "#hash|New York", "X Y")],
    ),
    "words with a hash only": ("#a X\n#b Y\n", [sentence(1, "#a|#b", "X Y")]),
    "CoNLL-U": (
        "# sent_id = 1\n# text = It's\n1-2\tIt's\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "1\tIt\tit\tPRON\tPRP\t_\t0\troot\t_\t_\n2\t's\tbe\tAUX\tVBZ\t_\t1\tcop\t_\t_\n"
        "2.1\tx\tx\tVERB\t_\t_\t_\t_\t_\t_\n\n1\t2\t2\tNUM\tCD\t_\t0\troot\t_\t_\n",
        [sentence(4, "It|'s", "PRON AUX"), sentence(8, "2", "NUM")],
    ),
    "CoNLL-U without a part of speech": (
        "1\tA\ta\t_\t_\t_\t0\troot\t_\t_\n2\tb\tb\tX\t_\t_\t1\tdep\t_\t_\n",
        [{"tokens": ["A", "b"], "tags": ["", "X"], "line": 1}],
    ),
    "numbers as words": ("1 NUM\n2 NUM\n3 NUM\n", [sentence(1, "1|2|3", "NUM NUM NUM")]),
    "no tags": (
        "a\nb\n\n# a comment\nc\n",
        [
            {"tokens": ["a", "b"], "tags": ["", ""], "line": 1},
            {"tokens": ["c"], "tags": [""], "line": 5},
        ],
    ),
    "an empty tag": ("a\tX\nb\t\n", [{"tokens": ["a", "b"], "tags": ["X", ""], "line": 1}]),
}


@pytest.mark.parametrize(("content", "expected"), CONLL.values(), ids=list(CONLL))
@pytest.mark.parametrize("name", ["a.conll", "a.txt.gz"])
def test_conll(content: str, expected: list[dict[str, Any]], name: str, tmp_path: Path) -> None:
    assert conll(tmp_path, content, name) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a X\nb\n", "line 2 has 1 columns but must have 2"),
        ("a\tX\n\nb\tX\tY\n", "line 3 has 3 columns but must have 2"),
        ("a\n\nb X\n", "line 3 has 2 columns but the words of the first sentence have no tags"),
        (b"a X\n\xe9 X\n", "line 2: the line is not UTF-8"),
        ("", "has no rows"),
        ("# a comment\n\n", "has no rows"),
        ("a\tX\nb\rc\tY\n", "line 2 has a carriage return"),
        (
            "#begin document (bc/cctv/00/cctv_0000); part 000\nbc/cctv 0 0 In IN (TOP* - - -\n",
            "is in the format of CoNLL-2012, which is not read",
        ),
        ("# n-tv.de\n1\tA\tO\tO\n2\tb\tB-PER\tO\n", "has the numbers of the words"),
        ("1\tAnna\tB-PER\n\n1\tBob\tB-PER\n2\tsees\tO\n", "has the numbers of the words"),
        ("1\tAnna\tB-PER\n\n1\tBob\tB-PER\n", "has the numbers of the words"),
        ("1-2\tdu\t_\n1\tde\tADP\n2\tle\tDET\n", "has the numbers of the words"),
        ("1\tanna\n2\tsees\n\n1\trome\n", "has the numbers of the words"),
        ("0 a\n1 b\n2 c\n\n0 d\n1 a\n", "has the numbers of the words"),
        ("1\tOh\n\n1\tthe\n2\tsea\n", "has the numbers of the words"),
        ("1\ta\n2\tb\n3\tc\n4\td\n5\te\n", "has the numbers of the words"),
        ("1-2\tdu\n1\tde\n2\tle\n\n1\tau\n", "has the numbers of the words"),
        (
            "1\tA\ta\tX\t_\t_\t0\troot\t_\t_\n\nx\tb\tb\tX\t_\t_\t1\tdep\t_\t_\n",
            "line 3 starts with 'x', not with the number of a word",
        ),
    ],
)
def test_a_conll_file_that_cannot_be_read_is_told_with_its_line(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        conll(tmp_path, content)


def test_a_sentence_that_is_a_number_does_not_count_words(tmp_path: Path) -> None:
    rows = conll(tmp_path, "1 CD O\n\n1 CD O\nhorse NN O\n")
    assert [row["tokens"] for row in rows] == [["1"], ["1", "horse"]]
    assert conll(tmp_path, "1 CD O\n")[0]["tokens"] == ["1"]


@pytest.mark.parametrize(
    "content",
    [
        "1 B-X\n",
        "1 B-X\n2 I-X\n",
        "1 X\n2 Y\n3 Z\n4 X\n",
        "1 B-X\n\n1 O\n",
        "1 B-X\n2 I-X\n\n3 O\n4 O\n",
        "1 B-X\n2 I-X\n\na O\n",
        "1 B-X\n2 I-X\nmen O\n\n1 B-X\n",
        # Numbers, all with the tag of numbers.
        "1 NUM\n2 NUM\n3 NUM\n4 NUM\n5 NUM\n6 NUM\n\n1 NUM\n2 NUM\n",
        "0 O\n1 B-X\n2 I-X\n3 O\n4 S-Y\n5 U-Y\n\n0 L-X\n1 E-X\n",
    ],
)
def test_words_that_are_numbers_may_have_tags(content: str, tmp_path: Path) -> None:
    words = [line.split(" ")[0] for line in content.split("\n") if line]
    found = conll(tmp_path, content)
    assert [word for row in found for word in row["tokens"]] == words


def test_a_conll_file_whose_gzip_is_spoilt_is_told(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{number} X\n\n" for number in range(9999)).encode())
    for spoilt in (whole[:2000], whole[:1000] + b"\xff" * 50 + whole[1050:], b"a X\n"):
        (tmp_path / "a.conll.gz").write_bytes(spoilt)
        with pytest.raises(DataError, match=r"a\.conll\.gz cannot be read"):
            read(read_conll(str(tmp_path / "a.conll.gz"), "tokens", "tags"))
