import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.normalizers import BertNormalizer

from clozekit.config.prepare import WordPieceConfig
from clozekit.corpus.tokenizers.special_tokens import SPECIAL_TOKENS, SpecialTokens
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.corpus.tokenizers.vocabulary import count_words
from clozekit.corpus.tokenizers.word_cache import Encoder, Words
from clozekit.errors import DataError
from tests.corpus.made_texts import make_documents, train_wordpiece

CONFIG = WordPieceConfig(vocab_size=300)
TEXTS = [" ".join(sentences) for sentences in make_documents(200)]
# Characters that normalisers and pre-tokenisers treat in special ways, and any others.
UNICODE = st.text(
    st.one_of(
        st.sampled_from(
            "aB1 .,'-[]éÉßİſΣς中國ㄅ한ｱ\u0301\u0327\u200b\u00ad\ufffd\u0000\u2028　—“$😀"
        ),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return train_wordpiece(TEXTS, CONFIG)


def test_special_tokens_come_first_and_the_size_is_kept(trained: Tokenizer) -> None:
    assert [trained.id_to_token(index) for index in range(5)] == list(SPECIAL_TOKENS)
    assert SpecialTokens.from_tokenizer(trained) == SpecialTokens(0, 1, 2, 3, 4)
    assert trained.get_vocab_size() == 300
    assert sorted(trained.get_vocab().values()) == list(range(300))


def test_the_same_text_gives_the_same_bytes_in_any_order_and_process(trained: Tokenizer) -> None:
    backwards = train_wordpiece(reversed(TEXTS), CONFIG)
    assert backwards.to_str() == trained.to_str()
    program = (
        "from tests.corpus.tokenizers.test_vocabulary import *;"
        "print(train_wordpiece(TEXTS, CONFIG).to_str(), end='')"
    )
    for _ in range(2):
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        assert other.stdout.decode() == trained.to_str()


def test_a_whole_tokenizer_is_saved(trained: Tokenizer, tmp_path: Path) -> None:
    trained.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path / "tokenizer.json")
    pair = tokenizer.encode("Bak", "Do")
    inner = [token for token in pair.tokens if token not in SPECIAL_TOKENS]
    assert pair.tokens[0] == "[CLS]"
    assert pair.tokens[-1] == "[SEP]"
    assert pair.tokens.count("[SEP]") == 2
    assert "".join(inner).replace("##", "") == "bakdo"
    second = pair.tokens.index("[SEP]") + 1
    assert pair.type_ids == [0] * second + [1] * (len(pair.tokens) - second)
    assert tokenizer.decode(pair.ids) == "bak do"


def test_merges_come_from_the_most_frequent_pairs() -> None:
    tokenizer = train_wordpiece(["banana banana banana xyz"], WordPieceConfig(vocab_size=64))
    assert tokenizer.encode("banana", add_special_tokens=False).tokens == ["banana"]
    # A word that occurs once teaches nothing.
    assert tokenizer.encode("xyz", add_special_tokens=False).tokens == ["x", "##y", "##z"]


def test_the_alphabet_covers_what_is_asked_and_fits() -> None:
    texts = ["a" * 50 + " " + "b" * 49 + " " + "c"]
    covering = WordPieceConfig(vocab_size=64, character_coverage=0.99)
    vocabulary = train_wordpiece(texts, covering).get_vocab()
    assert {"a", "b"} <= vocabulary.keys()
    assert "c" not in vocabulary
    everything = WordPieceConfig(vocab_size=64, character_coverage=1.0)
    assert "c" in train_wordpiece(texts, everything).get_vocab()
    many = "".join(chr(0x430 + index) for index in range(32)) + "abcdefghijklmnopqrstuvwxyz"
    assert train_wordpiece([many], everything).get_vocab_size() <= 64


@pytest.mark.parametrize(
    ("changes", "text", "expected"),
    [
        ({}, "Été 中國", ["ete", "中", "國"]),
        ({"strip_accents": False}, "Été", ["été"]),
        ({"lowercase": False}, "Été", ["Été"]),
        ({"lowercase": False, "strip_accents": True}, "Été", ["Ete"]),
        ({"handle_chinese_chars": False}, "中國", ["中國"]),
    ],
)
def test_text_is_normalised_as_configured(
    changes: dict[str, bool], text: str, expected: list[str]
) -> None:
    config = WordPieceConfig(vocab_size=64, **changes)
    assert list(count_words(pa.array([text]), config)) == expected
    tokenizer = train_wordpiece([f"{text} {text}"], config)
    assert tokenizer.encode(text, add_special_tokens=False).tokens == expected


@settings(deadline=None)
@given(sentences=st.lists(UNICODE, max_size=5), chinese=st.booleans(), lowercase=st.booleans())
def test_encoding_by_words_is_encoding(
    trained: Tokenizer, sentences: list[str], chinese: bool, lowercase: bool
) -> None:
    tokenizer = Tokenizer.from_str(trained.to_str())
    tokenizer.normalizer = BertNormalizer(handle_chinese_chars=chinese, lowercase=lowercase)
    sentences = [" ".join(sentence.split()) for sentence in sentences]
    tokens, offsets = Encoder(tokenizer).encode(pa.array(sentences, pa.string()))
    encodings = tokenizer.encode_batch(sentences, add_special_tokens=False)
    assert tokens.tolist() == [token for encoding in encodings for token in encoding.ids]
    assert np.diff(offsets).tolist() == [len(encoding.ids) for encoding in encodings]


def test_words_are_cut_at_blanks_punctuation_and_chinese_characters() -> None:
    words = Words.split(pa.array(["don't 中國x", "", "don't"]), BertNormalizer())
    spelled = [words.distinct[index] for index in words.indices if words.distinct[index]]
    assert spelled == ["don", "'", "t", "中", "國", "x", "don", "'", "t"]


def test_another_kind_of_tokenizer_sees_whole_sentences() -> None:
    # A token that spans a blank cannot be found a word at a time.
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, "new", "york"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_tokens([AddedToken("new york", normalized=False)])
    tokens, offsets = Encoder(tokenizer).encode(pa.array(["new york new", "york"]))
    assert tokens.tolist() == [7, 5, 6]
    assert offsets.tolist() == [0, 2, 3]


def test_a_special_token_in_the_text_is_text(trained: Tokenizer) -> None:
    tokens, _ = Encoder(trained).encode(pa.array(["[MASK] ba [SEP][PAD]"]))
    assert not {0, 2, 3, 4} & set(tokens.tolist())


def test_a_vocabulary_file_is_loaded_with_its_switches(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "x", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "É", "e"]) + "\n")
    plain = load_tokenizer(path)
    assert SpecialTokens.from_tokenizer(plain) == SpecialTokens(0, 2, 3, 4, 5)
    assert plain.encode("É").tokens == ["[CLS]", "e", "[SEP]"]
    assert load_tokenizer(path, lowercase=False).encode("É").tokens == ["[CLS]", "É", "[SEP]"]


def test_truncation_and_padding_of_a_tokenizer_file_are_left_out(
    trained: Tokenizer, tmp_path: Path
) -> None:
    other = Tokenizer.from_str(trained.to_str())
    other.enable_truncation(4)
    other.enable_padding(length=9)
    other.post_processor = None  # type: ignore[assignment]
    other.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert loaded.encode("ba be bi bo da").tokens == trained.encode("ba be bi bo da").tokens


def test_an_unusable_tokenizer_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    with pytest.raises(DataError, match=r"vocab.txt does not exist"):
        load_tokenizer(path)
    path.write_text("[PAD]\n[UNK]\n[CLS]\nword\n")
    with pytest.raises(DataError, match=r"vocab.txt lacks \[SEP\], \[MASK\]; .+ are required"):
        load_tokenizer(path)
    path.write_text("[PAD]\nx\nx\n")
    with pytest.raises(DataError, match=r"vocab.txt:3: duplicate token 'x'"):
        load_tokenizer(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not UTF-8"):
        load_tokenizer(path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match=r"is not a tokenizer.json: .+"):
        load_tokenizer(tmp_path / "tokenizer.json")
