"""Tokens that the files beside a vocabulary or a `tokenizer.json` add to it, as in transformers."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from clozekit.corpus.tokenizers.special_tokens import SETTINGS_FILES, read_roles
from clozekit.documents import is_text, read_json_object
from clozekit.errors import DataError

ADDED_FILE = "added_tokens.json"
_DECODER = "added_tokens_decoder"
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_EXTRA = ("additional_special_tokens", "extra_special_tokens")


def add_tokens_beside(tokenizer: Tokenizer, folder: Path) -> None:
    """Adds the tokens that the other files of a tokenizer's folder name, in place.

    `added_tokens_decoder` in `tokenizer_config.json` counts more than the tokenizer's own tokens;
    without it, `added_tokens.json` names more of them.

    Args:
        tokenizer: The tokenizer.
        folder: Its folder.

    Raises:
        DataError: A file is damaged, or gives a token another id than it would have.
    """
    file = folder / "tokenizer_config.json"
    settings = read_json_object(file)
    if _DECODER in settings:
        named = _of_decoder(settings[_DECODER], file)
        tokenizer.add_tokens([named[number] for number in sorted(named)])
        ids = {token.content: number for number, token in named.items()}
    else:
        file = folder / ADDED_FILE
        ids = _of_file(file)
        special = {*read_roles(folder).values(), *_extra_tokens(folder)}
        new = sorted(ids.keys() - added_texts(tokenizer), key=ids.__getitem__)
        tokenizer.add_tokens([_token(text, special=text in special) for text in new])
    for text, number in ids.items():
        if (found := tokenizer.token_to_id(text)) != number:
            raise DataError(
                f"{file} gives the token {text!r} the id {number}, but with the vocabulary it has "
                f"{found}; both should be the same"
            )
    # The vocabulary may have one, but would split its text.
    added, known = added_texts(tokenizer), tokenizer.get_vocab()
    extra = [text for text in _extra_tokens(folder) if text in known and text not in added]
    tokenizer.add_tokens([_token(text, special=True) for text in extra])


def added_texts(tokenizer: Tokenizer) -> set[str]:
    """Returns the texts of tokens that are found before a text is split."""
    tokens: Any = tokenizer.get_added_tokens_decoder().values()
    return {token.content for token in tokens}


def _token(text: str, special: bool) -> AddedToken:
    return AddedToken(text, normalized=not special, special=special)


def _of_decoder(decoder: object, file: Path) -> dict[int, Any]:
    if not isinstance(decoder, dict):
        raise DataError(f"{file}: {_DECODER}={decoder!r}; it should map ids to tokens")
    tokens: dict[int, Any] = {}
    for number, token in decoder.items():
        if not number.isdecimal() or not _is_token(token):
            raise DataError(
                f"{file}: {_DECODER} has {number!r}: {token!r}; it should map ids to tokens with a "
                f"content and {', '.join(_FLAGS)}"
            )
        flags = {flag: token[flag] for flag in _FLAGS if flag in token}
        tokens[int(number)] = AddedToken(token["content"], **flags)
    return tokens


def _is_token(token: object) -> bool:
    return (
        isinstance(token, Mapping)
        and is_text(token.get("content"))
        and all(isinstance(token.get(flag, False), bool) for flag in _FLAGS)
    )


def _of_file(file: Path) -> dict[str, int]:
    ids = read_json_object(file)
    for text, number in ids.items():
        if type(number) is not int or not is_text(text):
            raise DataError(f"{file} has {text!r}: {number!r}; it should map tokens to ids")
    return ids


def _extra_tokens(folder: Path) -> Iterator[str]:
    """Yields special tokens without a role, such as marks of entities."""
    for name in SETTINGS_FILES:
        settings = read_json_object(folder / name)
        for key in _EXTRA:
            values = settings.get(key) or []
            if not isinstance(values, list | dict):
                raise DataError(f"{folder / name}: {key}={values!r}; it should be a list of tokens")
            for value in values.values() if isinstance(values, dict) else values:
                text = value.get("content") if isinstance(value, dict) else value
                if not is_text(text):
                    raise DataError(f"{folder / name}: {key} has {value!r}; it should be a token")
                yield text
