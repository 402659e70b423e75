"""What transformers makes of a tokenizer's files because of the class that the folder names.

A vocabulary alone does not say how text is split into words: the class does. And for the classes of
BERT and RoBERTa, keys of `tokenizer_config.json` count more than the `tokenizer.json` beside it.
"""

from collections.abc import Set
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE, WordPiece
from tokenizers.normalizers import BertNormalizer

from clozekit.corpus.tokenizers.vocabulary import bert_normalizer
from clozekit.documents import read_json_object
from clozekit.errors import DataError

_SETTINGS, _CONFIG = "tokenizer_config.json", "config.json"
_SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")

# The beginnings of the names of classes, without case; model types are called like them.
_LIKE_BERT = frozenset(
    {"bert", "convbert", "distilbert", "electra", "layoutlm", "lxmert", "mobilebert", "squeezebert"}
)
_LIKE_ROBERTA = frozenset({"bart", "gpt2", "led", "longformer", "mvp", "roberta"})
# They say nothing of how text is split.
_GENERIC = frozenset({"", "pretrained", "tokenizersbackend"})
WORDPIECE = (
    _LIKE_BERT
    | _GENERIC
    | {"dprcontextencoder", "dprquestionencoder", "dprreader", "nezha", "realm", "retribert"}
)
"""The kinds of classes that use a `vocab.txt` as BERT does."""
BYTE_LEVEL = _LIKE_ROBERTA | _GENERIC
"""The kinds of classes that use a `vocab.json` and `merges.txt` as RoBERTa and GPT-2 do."""

# Whatever class their folders name, transformers 5 takes the tokenizer.json as it is.
_TAKEN_AS_IT_IS = ("modernbert", "modernbert-decoder")


def check_class(file: Path, allowed: Set[str]) -> None:
    """Checks that the class that a folder names uses its vocabulary in a way that is known.

    Args:
        file: The vocabulary.
        allowed: The kinds of classes that do.

    Raises:
        DataError: It does not.
    """
    name = _class_name(file.parent)
    if _kind(name) not in allowed:
        raise DataError(
            f"{file}: tokenizer_class={name} splits text in its own way, which the vocabulary does "
            "not say; a tokenizer.json says it, which transformers writes for most classes: "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
        )


def switches(folder: Path) -> tuple[bool | None, ...]:
    """Returns the switches of BERT's normalizer in a folder's `tokenizer_config.json`.

    Raises:
        DataError: One is not true or false.
    """
    settings = read_json_object(folder / _SETTINGS)
    return tuple(_flag(settings, key, folder) for key in _SWITCHES)


def adds_prefix_space(folder: Path) -> bool:
    """Returns whether byte-level BPE gets a space before a text: `add_prefix_space`, or false.

    Raises:
        DataError: The key is not true or false.
    """
    return bool(_flag(read_json_object(folder / _SETTINGS), "add_prefix_space", folder))


def apply_settings(tokenizer: Tokenizer, folder: Path) -> None:
    """Gives the tokenizer of a `tokenizer.json` the settings that count more, in place.

    transformers 4 and 5 do so for these classes, with the default of a key that is missing. Where
    only one of the two changes a tokenizer, such as one with several normalizers, it stays.

    Args:
        tokenizer: The tokenizer.
        folder: Its folder.

    Raises:
        DataError: A setting is not true or false.
    """
    config = read_json_object(folder / _CONFIG)
    model_type = str(config.get("model_type") or "")
    if model_type in _TAKEN_AS_IT_IS:
        return
    kind = _kind(_class_name(folder) or model_type.replace("-", ""))
    normalizer: Any = tokenizer.normalizer
    pre_tokenizer: Any = tokenizer.pre_tokenizer
    is_wordpiece, is_bpe = (isinstance(tokenizer.model, model) for model in (WordPiece, BPE))
    if kind in _LIKE_BERT and is_wordpiece and isinstance(normalizer, BertNormalizer):
        lower, strip, chinese = switches(folder)
        made: Any = bert_normalizer(lower is not False, strip, chinese is not False)
        made.clean_text = normalizer.clean_text
        tokenizer.normalizer = made
    if kind in _LIKE_ROBERTA and is_bpe and isinstance(pre_tokenizer, pre_tokenizers.ByteLevel):
        pre_tokenizer.add_prefix_space = adds_prefix_space(folder)


def _class_name(folder: Path) -> str:
    """Returns the class that a folder names, or nothing.

    Raises:
        DataError: It is not a name.
    """
    for file in (folder / _SETTINGS, folder / _CONFIG):
        name = read_json_object(file).get("tokenizer_class")
        if not isinstance(name, str | None):
            raise DataError(f"{file}: tokenizer_class={name!r}; it should be the name of a class")
        if name:
            return name
    return ""


def _kind(name: str) -> str:
    return name.removesuffix("Fast").removesuffix("Tokenizer").lower()


def _flag(settings: dict[str, Any], key: str, folder: Path) -> bool | None:
    value = settings.get(key)
    if not isinstance(value, bool | None):
        raise DataError(f"{folder / _SETTINGS}: {key}={value!r}; it should be true or false")
    return value
