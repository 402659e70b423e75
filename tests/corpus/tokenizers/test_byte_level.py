"""A byte-level BPE vocabulary, trained from counts of words."""

import hashlib
import subprocess
import sys
import unicodedata

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from clozekit.config.prepare import BPEConfig
from clozekit.corpus.tokenizers.byte_level import count_byte_words, train_byte_level
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.corpus.tokenizers.tokenizer_files import tokenizer_from_json
from tests.kinds_of_tokenizers import SENTENCES
from tests.programs.commands import environment_with_tests

CONFIG = BPEConfig(type="bpe", vocab_size=320)


def trained(config: BPEConfig = CONFIG) -> Tokenizer:
    sentences = SENTENCES * 3
    begins = np.arange(len(sentences)) == 0
    return train_byte_level(count_byte_words(pa.array(sentences), begins, config), config)


def test_it_has_our_special_tokens_all_bytes_and_pieces() -> None:
    tokenizer = trained()
    assert tokenizer.get_vocab_size() == 320
    assert SpecialTokens.from_tokenizer(tokenizer) == SpecialTokens(0, 1, 2, 3, 4)
    assert "Ġhorse" in tokenizer.get_vocab()
    assert tokenizer_from_json(tokenizer.to_str(), "it").to_str() == tokenizer.to_str()


@given(st.text(max_size=40))
def test_every_text_is_encoded_without_loss(text: str) -> None:
    tokenizer = trained_once()
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == unicodedata.normalize("NFC", text)


_once: list[Tokenizer] = []


def trained_once() -> Tokenizer:
    if not _once:
        _once.append(trained())
    return _once[0]


def test_it_depends_on_the_counts_alone() -> None:
    config = CONFIG
    counts = count_byte_words(pa.array(SENTENCES), np.zeros(len(SENTENCES), bool), config)
    backwards = dict(reversed(counts.items()))
    expected = train_byte_level(counts, config).to_str()
    assert train_byte_level(backwards, config).to_str() == expected
    code = (
        "from tests.corpus.tokenizers.test_byte_level import *\n"
        "import hashlib\n"
        "print(hashlib.sha256(trained().to_str().encode()).hexdigest(), end='')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment_with_tests() | {"PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == hashlib.sha256(trained().to_str().encode()).hexdigest()


def test_text_is_lowercased_and_the_first_word_has_a_space_if_configured() -> None:
    config = BPEConfig(type="bpe", vocab_size=320, lowercase=True, add_prefix_space=True)
    tokenizer = trained(config)
    first, later = tokenizer.encode("The").tokens, tokenizer.encode("a the").tokens
    assert first[1:-1] == later[-2:-1] == ["Ġthe"]


def test_offsets_are_without_the_space() -> None:
    encoding = trained().encode("The old horse", "feeds")
    assert all(begin == end or "The old horse"[begin] != " " for begin, end in encoding.offsets)
    assert encoding.type_ids[-1] == 1
