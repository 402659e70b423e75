"""What a cell means to a task."""

import contextlib
import datetime
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data.files.cells import (
    RowError,
    as_id,
    as_name,
    as_text,
    is_missing,
    list_in,
    ordered_names,
)


@pytest.mark.parametrize(("value", "missing"), [(None, True), ("", True)])
def test_what_is_missing_is_null_or_empty(value: object, missing: bool) -> None:
    assert is_missing(value) == missing


@pytest.mark.parametrize(
    "value", ["NaN", "nan", "NA", "None", "null", "-100", -100, -100.0, math.nan, " ", 0, False, []]
)
def test_nothing_else_is_missing(value: object) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("01", "01"),
        (" a ", " a "),
        (1, "1"),
        (1.0, "1"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (1e300, "1e+300"),
        (2**70, str(2**70)),
        (True, "true"),
        (False, "false"),
        (np.int64(3), "3"),
        (np.float32(2), "2"),
        (np.bool_(True), "true"),
        (Decimal("1.10"), "1.10"),
        (datetime.date(2024, 1, 1), "2024-01-01"),
        (datetime.datetime(2024, 1, 1, 2), "2024-01-01 02:00:00"),
    ],
)
def test_a_class_has_the_name_that_a_csv_file_has(value: Any, name: str) -> None:
    assert as_name(value) == name


@pytest.mark.parametrize("value", [math.nan, math.inf, [1], {"a": 1}, b"a", None, Decimal("NaN")])
def test_other_values_name_no_class(value: object) -> None:
    with pytest.raises(RowError, match=r"the label is .* but must be text or a number"):
        as_name(value)


@given(st.integers(-(2**50), 2**50))
def test_a_whole_number_has_one_name(number: int) -> None:
    assert as_name(float(number)) == as_name(number) == as_name(str(number)) == str(number)


@pytest.mark.parametrize(
    ("value", "row_id"), [("0001", "0001"), (1, 1), (1.0, "1"), (True, "true"), (2**70, 2**70)]
)
def test_ids_are_texts_and_whole_numbers(value: object, row_id: object) -> None:
    assert as_id(value) == row_id and type(as_id(value)) is type(row_id)
    with pytest.raises(RowError, match=r"the id is \[1\] but must be text"):
        as_id([1])


def test_half_of_a_surrogate_pair_is_told_with_its_column_and_place() -> None:
    assert as_text("good \U0001f600", "text") == "good \U0001f600"
    assert as_text(None, "text") == ""
    for half in ("\ud83d", "\ude00", "\udcff"):
        with pytest.raises(RowError, match=r"text has half of a surrogate pair, .* at character 6"):
            as_text(f"good {half}", "text")
        for reader in (as_name, as_id):
            with pytest.raises(RowError, match="has half of a surrogate pair"):
                reader(half)
    with pytest.raises(RowError, match="text is 7 but must be text"):
        as_text(7, "text")


def test_a_text_without_an_end_is_refused_in_formats_without_lines_too() -> None:
    assert as_text("a" * 2**20, "text")
    with pytest.raises(RowError, match=r"text has 16,777,217 characters, more than 16,777,216"):
        as_text("a" * (2**24 + 1), "text")


def test_a_long_value_is_shortened_in_messages() -> None:
    with pytest.raises(RowError) as caught:
        as_text(["a" * 10**6], "text")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        ({"b", "a"}, ["a", "b"]),
        ({"10", "9", "-1"}, ["-1", "9", "10"]),
        ({"10", "9", "x"}, ["10", "9", "x"]),
        ({"1", "01", "0"}, ["0", "01", "1"]),
        ({"2.10", "2.1", "3.0"}, ["2.1", "2.10", "3.0"]),
        ({"--1", "1"}, ["--1", "1"]),
        ({"-", "1"}, ["-", "1"]),
        ({"٣", "1"}, ["1", "٣"]),
        ({"9" * 5000, "1"}, ["1", "9" * 5000]),
    ],
)
def test_classes_are_ordered_by_value_if_all_are_whole_numbers(
    names: set[str], ordered: list[str]
) -> None:
    assert ordered_names(names) == ordered


words = st.text(st.sampled_from("a'\"\\é,[] \n\U0001f600B-"), max_size=6)


@given(st.lists(words, max_size=5))
def test_lists_printed_by_python_json_and_numpy_are_read_back(values: list[str]) -> None:
    array = np.array(values, dtype=object)
    for text in (str(values), json.dumps(values), str(array), repr(array), str(list(array))):
        assert list_in(text, "tags") == values, text
    assert list_in(values, "tags") == list_in(array, "tags") == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("['Anna', 'sees', 'Rome']", ["Anna", "sees", "Rome"]),
        ("['Anna' 'sees'\n 'Rome']", ["Anna", "sees", "Rome"]),
        ("[3 0 12]", [3, 0, 12]),
        ("[ 3  0 12]", [3, 0, 12]),
        ("[0. 1.5]", [0.0, 1.5]),
        ("[1, 2]", [1, 2]),
        ("('a', 'b')", ["a", "b"]),
        ("('a',)", ["a"]),
        ("[None, 'a']", [None, "a"]),
        ('[null, "a", true]', [None, "a", True]),
        ("[np.str_('a'), np.int64(3)]", ["a", 3]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("array(['a', 'b'], dtype='<U1')", ["a", "b"]),
        ("[]", []),
    ],
)
def test_lists_in_text_are_read(text: str, values: list[Any]) -> None:
    assert list_in(text, "tags") == values


@pytest.mark.parametrize(
    "text", ["a b", "[ laughs ] well", "[CLS] a", "[ laughs ]", "[bold]", "(a b)", "", "{x}", "[a"]
)
def test_other_text_is_no_list(text: str) -> None:
    assert list_in(text, "tags") is None


@pytest.mark.parametrize(
    "text",
    [
        "['a', 'b'",
        "['a' 'b', 'c']",
        "['a''b']",
        "['a' ... 'b']",
        "[0 1 ... 9]",
        "[1 2 x]",
        "['a', nan]",
        "['a', open('x')]",
        "['a' + 'b']",
        "[a, b, c]",
        "{'a', 'b'}",
        '{"a": 1}',
        "[b'a']",
        "[" * 200 + "'a'" + "]" * 200,
        "['a', " + "[" * 100_000,
    ],
)
def test_a_list_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RowError, match="tags is"):
        list_in(text, "tags")


@pytest.mark.parametrize("value", [3, None, {"a": 1}, True])
def test_what_is_neither_a_list_nor_text_is_refused(value: object) -> None:
    with pytest.raises(RowError, match=r"tags is .* but must be a list"):
        list_in(value, "tags")


@pytest.mark.parametrize("text", ["('\"," * 10**5, "[[" * 10**5, "['a', " * 10**5, "{'" * 10**5])
def test_a_long_cell_of_brackets_is_read_once(text: str) -> None:
    # A pattern that goes back and forth would take hours.
    with contextlib.suppress(RowError):
        assert list_in(text, "tags") is None
