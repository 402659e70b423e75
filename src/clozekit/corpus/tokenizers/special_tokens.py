"""The special tokens of a tokenizer, found by their roles.

A role is what a token is for, whatever it is called: the mask token is `[MASK]` in BERT and
`<mask>` in RoBERTa. The folders of transformers name the roles in `tokenizer_config.json` and
`special_tokens_map.json`. A `tokenizer.json` has only some of them: its post-processor puts the
first and last tokens around a text. So that a single `tokenizer.json` is enough later, for a corpus
or a checkpoint, roles that cannot be found in it are kept in its post-processor, as entries such as
`mask_token` in the table of special tokens, which no other program uses.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer

from clozekit.corpus.tokenizers.tokenizer_check import post_processors
from clozekit.documents import is_text, read_json_object
from clozekit.errors import DataError

ROLES = ("pad", "unk", "cls", "sep", "mask")
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The names in tokenizers that say nothing of roles, such as a `vocab.txt`."""
SETTINGS_FILES = ("special_tokens_map.json", "tokenizer_config.json")
"""The files of a folder that name roles; the later one counts."""
_REQUIRED = ("cls", "sep")
_INSTEAD = {"cls": "bos", "sep": "eos"}
_TEMPLATES = ("TemplateProcessing", "BertProcessing", "RobertaProcessing")


@dataclass(frozen=True)
class SpecialTokens:
    """The ids of the special tokens, by role.

    Attributes:
        pad: Fills up shorter sequences; None if there is none.
        unk: For words that the vocabulary cannot represent; None if it can represent all.
        cls: At the start of a sequence.
        sep: After each segment.
        mask: Replaces tokens to predict; None if there is none.
    """

    pad: int | None
    unk: int | None
    cls: int
    sep: int
    mask: int | None

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer, name: str = "the tokenizer") -> Self:
        """Looks up the special tokens.

        Args:
            tokenizer: The tokenizer.
            name: The tokenizer's name for error messages.

        Raises:
            DataError: It has no token for the start or the end of a sequence.
        """
        names = _names_in(tokenizer, {})
        check_required(names, name)
        return cls(**{role: _id_of(tokenizer, names.get(role)) for role in ROLES})  # type: ignore[arg-type]

    @property
    def ids(self) -> list[int]:
        """The ids of those that there are."""
        return [i for i in (self.pad, self.unk, self.cls, self.sep, self.mask) if i is not None]


def role_names(tokenizer: Tokenizer) -> dict[str, str]:
    """Returns the token of each role that the tokenizer has."""
    return _names_in(tokenizer, {})


def read_roles(folder: Path) -> dict[str, str]:
    """Reads the tokens of roles, such as `mask` or `bos`, that the files of a folder name.

    Raises:
        DataError: A file is damaged.
    """
    roles: dict[str, str] = {}
    for file in SETTINGS_FILES:
        settings = read_json_object(folder / file)
        for role in (*ROLES, *_INSTEAD.values()):
            key = f"{role}_token"
            given = settings.get(key)
            token = given.get("content") if isinstance(given, dict) else given
            if token is not None and not is_text(token):
                raise DataError(f"{folder / file}: {key}={given!r}; it should be a token")
            if token is not None:
                roles[role] = token
    return roles


def with_roles(tokenizer: Tokenizer, given: Mapping[str, str], name: str) -> Tokenizer:
    """Returns the tokenizer with a post-processor that adds special tokens and knows all roles.

    A tokenizer whose own files say as much is returned as it is.

    Args:
        tokenizer: The tokenizer.
        given: The tokens of roles that the files beside it name.
        name: The tokenizer's name for error messages.

    Raises:
        DataError: A required role is missing, or a token is not in the vocabulary.
    """
    for role, token in given.items():
        if role in ROLES and tokenizer.token_to_id(token) is None:
            raise DataError(f"{name} has no token {token!r}, which is its {role}_token")
    knows_unknown = "unk" in given or "unk" in _kept_roles(post_processors(tokenizer))
    names = _names_in(tokenizer, given, looks_into_model=not knows_unknown)
    check_required(names, name)
    # The file may enable these, which would truncate or pad every sentence.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    adds_tokens = bool(tokenizer.num_special_tokens_to_add(False))
    if adds_tokens and _names_in(tokenizer, {}) == names:
        return tokenizer
    content = json.loads(tokenizer.to_str())
    content["post_processor"] = post_processor_of(tokenizer, names, adds_tokens)
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def check_required(names: Mapping[str, str], name: str) -> None:
    """Checks that there are tokens for the start and the end of a sequence.

    Raises:
        DataError: One is missing.
    """
    if missing := [f"{role}_token" for role in _REQUIRED if role not in names]:
        raise DataError(
            f"{name} lacks a {' and a '.join(missing)}; name it in the tokenizer_config.json "
            "beside the tokenizer.json"
        )


def _names_in(
    tokenizer: Tokenizer, given: Mapping[str, str], looks_into_model: bool = False
) -> dict[str, str]:
    """Returns the token of each role, from the surest source that has one in the vocabulary."""
    state = post_processors(tokenizer)
    sources: tuple[Mapping[str, str], ...] = (
        given,
        _kept_roles(state),
        _structural_roles(tokenizer, state, looks_into_model),
        {role: given[other] for role, other in _INSTEAD.items() if other in given},
        dict(zip(ROLES, SPECIAL_TOKENS, strict=True)),
    )
    names: dict[str, str] = {}
    for role in ROLES:
        tokens = (source[role] for source in sources if role in source)
        known = (token for token in tokens if tokenizer.token_to_id(token) is not None)
        token = next(known, None)
        if token is not None:
            names[role] = token
    return names


def _id_of(tokenizer: Tokenizer, token: str | None) -> int | None:
    return None if token is None else tokenizer.token_to_id(token)


def _kept_roles(state: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the roles that `with_roles` has written."""
    tables = [each["special_tokens"] for each in state if each["type"] == "TemplateProcessing"]
    return {
        role: table[f"{role}_token"]["tokens"][0]
        for table in tables
        for role in ROLES
        if f"{role}_token" in table
    }


def _structural_roles(
    tokenizer: Tokenizer, state: list[dict[str, Any]], looks_into_model: bool
) -> dict[str, str]:
    """Returns the roles that tokens have in the post-processor, the padding or the model."""
    roles: dict[str, str] = {}
    for processor in state:
        if processor["type"] in ("BertProcessing", "RobertaProcessing"):
            roles |= {role: processor[role][0] for role in _REQUIRED}
        elif processor["type"] == "TemplateProcessing":
            single = [next(iter(piece.items())) for piece in processor["single"]]
            kinds = [kind for kind, _ in single]
            table = processor["special_tokens"]
            if kinds[:1] == ["SpecialToken"]:
                roles["cls"] = table[single[0][1]["id"]]["tokens"][0]
            if kinds[-1:] == ["SpecialToken"]:
                roles["sep"] = table[single[-1][1]["id"]]["tokens"][-1]
    if (padding := tokenizer.padding) is not None:
        roles["pad"] = padding["pad_token"]
    unknown = getattr(tokenizer.model, "unk_token", None)
    if unknown is None and looks_into_model:
        model = json.loads(tokenizer.model.__getstate__())
        number = model.get("unk_id")
        unknown = None if number is None else tokenizer.id_to_token(number)
    return roles if unknown is None else roles | {"unk": unknown}


def post_processor_of(
    tokenizer: Tokenizer, names: Mapping[str, str], adds_tokens: bool
) -> dict[str, Any]:
    """Makes a post-processor in the format of `tokenizer.json`."""
    others: list[dict[str, Any]] = []
    for each in post_processors(tokenizer):
        if each["type"] == "RobertaProcessing":
            keys = {key: each[key] for key in ("add_prefix_space", "trim_offsets")}
            others.append({"type": "ByteLevel", **keys, "use_regex": True})
        elif each["type"] not in _TEMPLATES:
            others.append(each)
    template = _template(tokenizer, names, adds_tokens)
    return {"type": "Sequence", "processors": [*others, template]} if others else template


def _template(tokenizer: Tokenizer, names: Mapping[str, str], adds_tokens: bool) -> dict[str, Any]:
    given = [each for each in post_processors(tokenizer) if each["type"] == "TemplateProcessing"]
    table: dict[str, Any] = {}
    if given and adds_tokens:
        single, pair = given[0]["single"], given[0]["pair"]
        table = given[0]["special_tokens"]
    else:
        cls, sep = names["cls"], names["sep"]
        table = {name: _entry(tokenizer, name, name) for name in (cls, sep)}
        is_roberta = any(each["type"] == "RobertaProcessing" for each in post_processors(tokenizer))
        b_type = 0 if is_roberta else 1
        single = [_special(cls), _sequence("A"), _special(sep)]
        between = [_special(sep)] * (2 if is_roberta else 1)
        pair = [_special(cls), _sequence("A"), *between]
        pair += [_sequence("B", b_type), _special(sep, b_type)]
    roles = {
        f"{role}_token": _entry(tokenizer, f"{role}_token", token) for role, token in names.items()
    }
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": {**table, **roles},
    }


def _entry(tokenizer: Tokenizer, key: str, token: str) -> dict[str, Any]:
    return {"id": key, "ids": [tokenizer.token_to_id(token)], "tokens": [token]}


def _special(name: str, type_id: int = 0) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": type_id}}


def _sequence(name: str, type_id: int = 0) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": type_id}}
