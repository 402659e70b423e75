"""Reads the tokenizer of a file or a folder. Nothing in it is executed."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from clozekit.corpus.tokenizers.added_tokens import ADDED_FILE, add_tokens_beside, added_texts
from clozekit.corpus.tokenizers.special_tokens import (
    SETTINGS_FILES,
    read_roles,
    role_names,
    with_roles,
)
from clozekit.corpus.tokenizers.tokenizer_check import check_encodes, check_parts, refusing
from clozekit.corpus.tokenizers.tokenizer_class import (
    BYTE_LEVEL,
    WORDPIECE,
    adds_prefix_space,
    apply_settings,
    check_class,
    switches,
)
from clozekit.corpus.tokenizers.vocabulary import bert_normalizer, bert_tokenizer
from clozekit.documents import read_json
from clozekit.errors import DataError

JSON_FILE, WORDPIECE_FILE, BPE_FILES = "tokenizer.json", "vocab.txt", ("vocab.json", "merges.txt")
FILES_BESIDE = (*SETTINGS_FILES, ADDED_FILE, "config.json")
"""The files of a folder that say how the tokenizer's own files are used."""
# Byte-level BPE never joins "</" and "w", which is a letter.
_END_OF_WORD = re.compile(r".+</w>", re.DOTALL)
_NOT_IN_TEMPLATE = ("pad", "mask")
_ROBERTA_ROLES = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}


def find_tokenizer(path: Path) -> Path | None:
    """Returns the file of the tokenizer in a folder, or the file that was given.

    A byte-level BPE tokenizer in two files is found by its `vocab.json`.
    """
    if not path.is_dir():
        return path
    if (path / JSON_FILE).is_file():
        return path / JSON_FILE
    if all((path / name).is_file() for name in BPE_FILES):
        return path / BPE_FILES[0]
    return path / WORDPIECE_FILE if (path / WORDPIECE_FILE).is_file() else None


def load_tokenizer(
    path: Path,
    lowercase: bool | None = None,
    strip_accents: bool | None = None,
    handle_chinese_chars: bool | None = None,
) -> Tokenizer:
    """Loads a `tokenizer.json`, a `vocab.txt` (one WordPiece per line), or a folder with one.

    The roles of special tokens are read from the files beside it, if there are any.

    Args:
        path: The file or the folder. A folder may also have a byte-level BPE tokenizer as
            `vocab.json` and `merges.txt`.
        lowercase: For a `vocab.txt`, whether to lowercase text; None means the value in the
            folder's `tokenizer_config.json`, or true.
        strip_accents: For a `vocab.txt`, whether to remove accents; None means the value in the
            folder's `tokenizer_config.json`, or that of `lowercase`.
        handle_chinese_chars: For a `vocab.txt`, whether to treat each Chinese character as a
            separate word; None means the value in the folder's `tokenizer_config.json`, or true.

    Raises:
        DataError: The file does not exist, is not a tokenizer with the special tokens that are
            needed, is a vocabulary of a class that uses it in another way, or has a normalizer of
            its own, which the arguments cannot change.
    """
    file = find_tokenizer(path)
    if file is None:
        raise DataError(
            f"{path} has no {JSON_FILE}, no {WORDPIECE_FILE}, and no {' with a '.join(BPE_FILES)}; "
            "other formats, such as sentencepiece models, are converted by transformers: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    if not file.is_file():
        raise DataError(f"the tokenizer {file} does not exist")
    given = {
        "lowercase": lowercase,
        "strip_accents": strip_accents,
        "handle_chinese_chars": handle_chinese_chars,
    }
    if file.suffix == ".json":
        _refuse_normalizer_keys(file, given)
    if file.name == BPE_FILES[0]:
        return _byte_level_bpe(file.parent)
    if file.suffix == ".json":
        return tokenizer_from_json(_text_of(file), str(file), file.parent)
    check_class(file, WORDPIECE)
    saved = switches(file.parent) if path.is_dir() else (None,) * len(given)
    pairs = zip(given.values(), saved, strict=True)
    lower, strip, chinese = (in_file if value is None else value for value, in_file in pairs)
    normalizer = bert_normalizer(lower is not False, strip, chinese is not False)
    roles = read_roles(file.parent)
    known = {role: token for role, token in roles.items() if role in _ROBERTA_ROLES}
    tokenizer = bert_tokenizer(_read_vocabulary(file), normalizer, str(file), known)
    add_tokens_beside(tokenizer, file.parent)
    return tokenizer


def tokenizer_from_json(text: str, name: str, folder: Path | None = None) -> Tokenizer:
    """Reads a tokenizer from JSON.

    Args:
        text: The JSON.
        name: The tokenizer's name for error messages.
        folder: A folder with other files of the tokenizer, which count too.

    Raises:
        DataError: It is not a tokenizer, lacks a special token that is needed, or has parts that
            do not fit together.
    """
    with refusing(f"{name} is not a tokenizer.json"):
        tokenizer = Tokenizer.from_str(text)
    roles: Mapping[str, str] = {}
    if folder is not None:
        roles = read_roles(folder)
        apply_settings(tokenizer, folder)
        add_tokens_beside(tokenizer, folder)
    return _checked(tokenizer, roles, name, is_of_folder=folder is not None)


def _checked(
    tokenizer: Tokenizer, roles: Mapping[str, str], name: str, is_of_folder: bool = True
) -> Tokenizer:
    """Returns a tokenizer that knows its roles, and whose parts fit together."""
    check_parts(tokenizer, name)
    # That of a checkpoint stays as it is: a run that is resumed has the same tokenizer.
    if is_of_folder:
        roles = {**_roles_of_roberta(tokenizer, roles), **roles}
    tokenizer = with_roles(tokenizer, roles, name)
    check_encodes(tokenizer, name)
    return tokenizer


def _roles_of_roberta(tokenizer: Tokenizer, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the roles that no file names, of a tokenizer whose texts begin as those of RoBERTa.

    The classes of RoBERTa, XLM-R and CamemBERT in transformers know these names, so the files of
    published models often leave them out.
    """
    known = {**role_names(tokenizer), **given}
    added = added_texts(tokenizer)
    if known.get("cls") != _ROBERTA_ROLES["cls"]:
        return {}
    return {
        role: token
        for role, token in _ROBERTA_ROLES.items()
        if role in _NOT_IN_TEMPLATE and role not in known and token in added
    }


def _refuse_normalizer_keys(file: Path, given: Mapping[str, bool | None]) -> None:
    for key, value in given.items():
        if value is not None:
            there = file.with_name(WORDPIECE_FILE)
            instead = there if there.is_file() else f"a {WORDPIECE_FILE}"
            raise DataError(
                f"tokenizer.{key}={str(value).lower()} cannot change {file}, which has its own "
                f"normalizer; set {key} only with {instead}"
            )


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{file} is not a tokenizer.json: it is not UTF-8") from None


def _read_vocabulary(path: Path) -> dict[str, int]:
    vocabulary: dict[str, int] = {}
    try:
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a vocab.txt: it is not UTF-8") from None
    # A final newline does not start another token.
    for number, token in enumerate(lines if lines[-1] else lines[:-1], start=1):
        if token in vocabulary:
            raise DataError(f"{path}:{number}: duplicate token {token!r}")
        vocabulary[token] = number - 1
    return vocabulary


def _byte_level_bpe(folder: Path) -> Tokenizer:
    """Reads a tokenizer in the two files of GPT-2 and RoBERTa."""
    vocabulary_file, merges_file = (folder / name for name in BPE_FILES)
    check_class(vocabulary_file, BYTE_LEVEL)
    # Checked before the library reads it, whose messages do not name the file.
    vocabulary = read_json(vocabulary_file)
    if not isinstance(vocabulary, dict):
        raise DataError(f"{vocabulary_file} is not a JSON object of tokens and ids")
    if suffixed := next(filter(_END_OF_WORD.fullmatch, vocabulary), None):
        raise DataError(
            f"{vocabulary_file}: {suffixed!r} marks the end of a word, as byte-level BPE does not; "
            "a tokenizer.json says how such a vocabulary is used, which transformers writes: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )
    with refusing(f"{vocabulary_file} and {merges_file.name}"):
        tokenizer = Tokenizer(BPE.from_file(str(vocabulary_file), str(merges_file)))
    check_parts(tokenizer, str(vocabulary_file))
    add_tokens_beside(tokenizer, folder)
    names = {**_ROBERTA_ROLES, **read_roles(folder)}
    special = {r: t for r, t in names.items() if tokenizer.token_to_id(t) is not None}
    adds_space = adds_prefix_space(folder)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    tokenizer.decoder = decoders.ByteLevel()
    if {"cls", "sep"} <= special.keys():
        state = json.loads(tokenizer.to_str())
        ends = {r: [special[r], tokenizer.token_to_id(special[r])] for r in ("sep", "cls")}
        keys = {"trim_offsets": True, "add_prefix_space": adds_space}
        state["post_processor"] = {"type": "RobertaProcessing", **ends, **keys}
        tokenizer = Tokenizer.from_str(json.dumps(state))
    mask, added = special.get("mask"), added_texts(tokenizer)
    new = (token for token in dict.fromkeys(special.values()) if token not in added)
    tokenizer.add_special_tokens(
        [AddedToken(token, lstrip=token == mask, normalized=False) for token in new]
    )
    return _checked(tokenizer, special, str(vocabulary_file))
