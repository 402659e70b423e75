"""`filters` of `clozekit prepare`: each rule alone, and as a whole."""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from clozekit.config.filters import FiltersConfig
from clozekit.corpus.texts import filters as filters_module
from clozekit.corpus.texts.filters import Filter, failed_rules, has_known_tokens
from clozekit.corpus.texts.languages import check_language
from clozekit.corpus.tokenized import TokenizedDocuments
from clozekit.errors import ConfigError, DataError
from clozekit.prepare import prepare
from tests.corpus.made_texts import config, decoded, make_documents, prepare_text, write_text

ENGLISH = "The committee has decided that the work on the bridge will begin in the spring."
GERMAN = "Der Ausschuss hat beschlossen, dass die Arbeiten an der Brücke im Frühjahr beginnen."


def failed_rule(sentences: list[str], filters: FiltersConfig) -> str | None:
    (rule,) = failed_rules([sentences], filters)
    return rule


@pytest.mark.parametrize(
    ("rule", "limit", "kept", "dropped"),
    [
        ("min_words", 3, ["One, two.", "Three!"], ["One - two..."]),
        ("min_words", 3, ["北京市"], ["北京"]),
        ("max_words", 3, ["One, two - three."], ["One two", "three four"]),
        ("max_symbol_word_ratio", 0.5, ["#a b", "... c d"], ["#a #b", "c"]),
        ("max_symbol_word_ratio", 0.5, ["a… b", "c d …"], ["a… b...", "c"]),
        ("max_symbol_word_ratio", 0, ["a"], ["#"]),
        ("max_duplicate_sentence_fraction", 0.25, ["a", "b", "c", "a"], ["a", "b", "a"]),
        ("max_duplicate_sentence_fraction", 0, ["a", "b"], ["a", "a"]),
        ("max_top_2_gram_fraction", 0.5, ["ab cd ef gh"], ["ab cd", "ab cd", "ef"]),
        ("max_top_2_gram_fraction", 0.5, ["ab cd ab cd ef gh ij kl"], ["ab cd ab, cd. e"]),
        ("max_top_3_gram_fraction", 0.5, ["a b c a b", "d"], ["a b c a b c", "d"]),
        ("max_top_4_gram_fraction", 0, ["a b c a b c"], ["a b c d a", "B C D"]),
        ("language", "en", [ENGLISH], [GERMAN]),
    ],
)
def test_a_rule(rule: str, limit: Any, kept: list[str], dropped: list[str]) -> None:
    filters = FiltersConfig.model_validate({rule: limit})
    assert failed_rule(kept, filters) is None
    assert failed_rule(dropped, filters) == rule


def test_the_first_rule_that_is_not_met_is_counted() -> None:
    filters = FiltersConfig(min_words=3, max_symbol_word_ratio=0, max_words=100)
    assert failed_rule(["#"], filters) == "min_words"
    assert failed_rule(["# one two three"], filters) == "max_symbol_word_ratio"


def test_documents_of_several_batches_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters_module, "_CHARACTERS_AT_ONCE", 20)
    documents = [(row, [f"word {row}"] * (1 + row % 3)) for row in range(50)]
    keep = Filter(FiltersConfig(min_words=4))
    assert list(keep(iter(documents))) == [d for d in documents if d[0] % 3]
    assert keep.counts == {"min_words": 17}
    assert list(keep(iter([]))) == []


def test_a_language_with_a_low_score_is_dropped() -> None:
    filters = FiltersConfig(language="en", min_language_score=0.9)
    assert failed_rule([ENGLISH] * 3, filters) is None
    assert failed_rule(["bridge work"], FiltersConfig(language="en")) is None
    assert failed_rule(["bridge work"], filters) == "min_language_score"


@pytest.mark.parametrize("sentences", [["..."], ["1"], ["a"], ["\u0301"]])
def test_documents_of_few_words_pass_the_rules_of_repetition(sentences: list[str]) -> None:
    names = [f"max_top_{size}_gram_fraction" for size in (2, 3, 4)]
    values = dict.fromkeys((*names, "max_duplicate_sentence_fraction"), 0.0)
    assert failed_rule(sentences, FiltersConfig.model_validate(values)) is None


def test_unknown_tokens_are_counted_per_document() -> None:
    documents = TokenizedDocuments(
        ids=pa.array(["a", "b", "c"]),
        tokens=np.array([1, 5, 1, 5, 5, 5, 1, 1], np.uint16),
        sentence_offsets=np.array([0, 1, 2, 6, 8]),
        document_offsets=np.array([0, 2, 3, 4]),
    )
    assert has_known_tokens(documents, 1, 0.25).tolist() == [False, True, False]
    assert has_known_tokens(documents, 1, 0.5).tolist() == [True, True, False]
    assert has_known_tokens(documents, 1, 1).tolist() == [True, True, True]


def test_every_rule_counts_what_it_drops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    words = [sentence.split() for document in make_documents(100) for sentence in document]
    good = [[" ".join(["The", *rng.choice(words), str(row)])] for row in range(60)]
    bad = [
        *[["short"], ["too", "short"]],
        [" ".join(map(str, range(50)))],
        ["# # # # and some words that follow"],
        ["One sentence here."] * 5,
        ["so it goes and so it goes"],
        ["\U0001f600" + " \U0001f601" * 20 + " and three words"],
    ]
    filters = {"min_words": 3, "max_words": 40, "max_symbol_word_ratio": 0.1}
    filters |= {"max_duplicate_sentence_fraction": 0.3, "max_top_3_gram_fraction": 0.5}
    filters |= {"max_unknown_fraction": 0.5}
    path = write_text(tmp_path / "a.txt", good + bad)
    corpus = prepare_text(tmp_path / "out", path, filters=filters)
    assert corpus.manifest.filtered_documents == {
        "min_words": 2,
        "max_words": 1,
        "max_symbol_word_ratio": 1,
        "max_duplicate_sentence_fraction": 1,
        "max_top_3_gram_fraction": 1,
        "max_unknown_fraction": 1,
    }
    assert len(decoded(corpus)) == 60
    assert sum(split.documents for split in corpus.manifest.splits.values()) == 60
    assert corpus.manifest.splits["train"].unknown_tokens < 20
    assert corpus.manifest.empty_documents == 0
    written = " ".join(capsys.readouterr().out.split())
    assert "filtered: 1 by max_duplicate_sentence_fraction, 1 by max_symbol_word_ratio" in written


def test_the_language_is_identified(tmp_path: Path) -> None:
    english = [[f"{ENGLISH} Report {row}."] for row in range(20)]
    german = [[f"{GERMAN} Bericht {row}."] for row in range(5)]
    path = write_text(tmp_path / "a.txt", english + german)
    corpus = prepare_text(tmp_path / "out", path, filters={"language": "en"})
    assert corpus.manifest.filtered_documents == {"language": 5}


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"min_words": 1000}, r"does not contain any text; filters drop 30 by min_words$"),
        ({"max_words": 3}, r"has only 1 distinct documents .*; filters drop 29 by max_words; only"),
    ],
)
def test_filters_that_leave_too_little_are_named(
    tmp_path: Path, filters: dict[str, Any], message: str
) -> None:
    documents = [["A few words."], *([f"One more document {row}."] for row in range(29))]
    path = write_text(tmp_path / "a.txt", documents)
    with pytest.raises(DataError, match=message):
        prepare_text(tmp_path / "out", path, filters=filters)
    assert list((tmp_path / "out").iterdir()) == []


def test_unknown_tokens_that_leave_too_little_are_named(tmp_path: Path) -> None:
    first = prepare_text(tmp_path / "a", write_text(tmp_path / "a.txt", make_documents(20)))
    greek = write_text(tmp_path / "b.txt", [[f"αβγ δεζ {row}"] for row in range(20)])
    with pytest.raises(DataError, match=r"only 0 .*; filters drop 20 by max_unknown_fraction$"):
        prepare_text(
            tmp_path / "b",
            greek,
            tokenizer={"path": str(first.tokenizer_file)},
            filters={"max_unknown_fraction": 0.1},
        )


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"min_words": 5, "max_words": 4}, r"min_words=5 is greater than max_words=4"),
        ({"min_language_score": 0.5}, r"min_language_score=0.5 requires filters.language"),
        ({"max_unknown_fraction": 1.5}, r"less than or equal to 1"),
        ({"min_words": 0}, r"greater than or equal to 1"),
        ({"max_symbol_ratio": 0.1}, r"Extra inputs"),
    ],
)
def test_impossible_values_are_refused(filters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FiltersConfig.model_validate(filters)


def test_an_unknown_language_and_a_missing_package_are_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "a.txt", make_documents(20))
    source = {"format": "text", "path": str(path)}
    with pytest.raises(
        ConfigError, match=r"filters.language=xx is not .*; it knows .*, de, .*, zu"
    ):
        prepare(config(tmp_path / "out", source, filters={"language": "xx"}))
    from clozekit.corpus.texts import languages

    languages._identifier.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(
        ConfigError, match=r"requires the package py3langid: .*clozekit\[language\]"
    ):
        check_language("en")
    assert not (tmp_path / "out").exists()
