import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.corpus.texts import minhash
from clozekit.corpus.texts.minhash import band_hash, estimated_similarity, shingles, signatures
from clozekit.corpus.texts.normalized_words import normalized_words
from clozekit.rng import hash64

SENTENCES = st.lists(st.text("aB 1é,.-_#中\u0301\n", max_size=12), max_size=4)


def words_of(documents: list[list[str]]) -> list[list[str]]:
    words = normalized_words(pa.array(documents, pa.list_(pa.string())))
    return [
        [words.distinct[index] for index in words.indices[first:last]]
        for first, last in zip(words.offsets[:-1], words.offsets[1:], strict=True)
    ]


def sign(documents: list[str], ngram_size: int, num_hashes: int) -> np.ndarray:
    words = normalized_words(pa.array([[text] for text in documents]))
    return signatures(*shingles(words, ngram_size), num_hashes)


@pytest.mark.parametrize(
    ("sentences", "words"),
    [
        (["Don't stop, it's 3.5 %!", "", "OK?"], ["don", "t", "stop", "it", "s", "3", "5", "ok"]),
        (["snake_case - Élan E\u0301lan"], ["snake", "case", "élan", "élan"]),
        (["東京へ行く BERT"], ["東", "京", "へ", "行", "く", "bert"]),
        (["नमस्ते दुनिया"], ["नमस्ते", "दुनिया"]),
        (["...", " "], []),
        ([], []),
    ],
)
def test_words_are_lowercase_and_without_punctuation(
    sentences: list[str], words: list[str]
) -> None:
    assert words_of([sentences]) == [words]


@given(st.lists(SENTENCES, max_size=4))
def test_words_are_runs_of_letters_marks_and_digits(documents: list[list[str]]) -> None:
    def naive(sentences: list[str]) -> list[str]:
        text = unicodedata.normalize("NFC", "\n".join(sentences)).lower().replace("中", " 中 ")
        kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text)
        return "".join(kept).split()

    # A mark after the Chinese character would belong to it.
    documents = [[s.replace("中\u0301", "中") for s in sentences] for sentences in documents]
    assert words_of(documents) == [naive(sentences) for sentences in documents]


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=9), max_size=5), st.integers(1, 4))
def test_shingles_are_equal_if_their_words_are(documents: list[list[str]], size: int) -> None:
    texts = pa.array([[" ".join(d)] for d in documents], pa.list_(pa.string()))
    hashes, offsets = shingles(normalized_words(texts), size)
    ngrams = [
        tuple(document[start : start + size])
        for document in documents
        for start in range(max(bool(document), len(document) - size + 1))
    ]
    counts = [max(bool(d), len(d) - size + 1) for d in documents]
    assert offsets.tolist() == np.cumsum([0, *counts]).tolist()
    assert len(set(zip(ngrams, hashes.tolist(), strict=True))) == len(set(ngrams))
    assert len(set(hashes.tolist())) == len(set(ngrams))


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=6), max_size=6))
def test_a_signature_is_the_minimum_of_each_hash_function(documents: list[list[int]]) -> None:
    hashes = np.array([value for document in documents for value in document], np.uint64)
    offsets = np.cumsum([0, *map(len, documents)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minhash, "_SHINGLES_AT_ONCE", 4)
        found = signatures(hashes, offsets, 3)
    factors, summands = (hash64(part, np.arange(3)).tolist() for part in (1, 2))
    for document, signature in zip(documents, found.tolist(), strict=True):
        for number in range(3 if document else 0):
            values = (factors[number] * (v >> 32) + summands[number] for v in document)
            assert signature[number] == min(value % 2**64 >> 32 for value in values)


def test_the_signature_of_a_text_never_changes() -> None:
    text = "It is the first day of the week, and the sun shines."
    assert sign([text], 5, 3).tolist() == [[160102630, 27268198, 109495205]]


@pytest.mark.parametrize("common", [0, 100, 200, 300, 380, 400])
def test_the_estimate_is_near_the_jaccard_index(common: int) -> None:
    words = [f"w{number}" for number in range(800 - common)]
    signed = sign([" ".join(words[:400]), " ".join(words[-400:])], 1, 1024)
    jaccard = common / (800 - common)
    deviation = (jaccard * (1 - jaccard) / 1024) ** 0.5
    (estimate,) = estimated_similarity(signed[:1], signed[1:])
    assert abs(estimate - jaccard) <= 4 * deviation


def test_a_band_is_equal_only_if_all_its_values_are() -> None:
    part = np.array([[1, 2], [2, 1], [1, 2], [1, 3]], np.uint32)
    hashes = band_hash(part)
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 3
