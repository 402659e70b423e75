"""Writes a tokenizer so that transformers makes the same of it."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from clozekit.config.encoder import EncoderConfig
from clozekit.corpus.tokenizers.segments import has_segments, with_segments
from clozekit.corpus.tokenizers.special_tokens import ROLES, role_names
from clozekit.corpus.tokenizers.tokenizer_check import post_processors
from clozekit.corpus.tokenizers.vocabulary import MAX_WORD_LENGTH, bert_template
from clozekit.files import write_json, write_text


def save_tokenizer(tokenizer: Tokenizer, folder: Path, encoder: EncoderConfig) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`, and a `vocab.txt` if it is BERT's.

    Args:
        tokenizer: The tokenizer.
        folder: An existing folder.
        encoder: The encoder that it belongs to.
    """
    gives_segments = encoder.type_vocab_size > 1 and has_segments(tokenizer)
    if gives_segments:
        tokenizer = with_segments(tokenizer)
    tokenizer.save(str(folder / "tokenizer.json"))
    content = json.loads(tokenizer.to_str())
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": encoder.longest_sequence,
        "model_input_names": [
            "input_ids",
            *(["token_type_ids"] if gives_segments else []),
            "attention_mask",
        ],
        **{f"{role}_token": token for role, token in role_names(tokenizer).items()},
    }
    pre_tokenizer = content["pre_tokenizer"] or {}
    if pre_tokenizer.get("type") == "ByteLevel":
        # transformers 4 would otherwise set it to false.
        config["add_prefix_space"] = pre_tokenizer["add_prefix_space"]
    if _is_of_bert(tokenizer, content):
        normalizer = content["normalizer"]
        config |= {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": normalizer["lowercase"],
            "strip_accents": normalizer["strip_accents"],
            "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        }
        ids = tokenizer.get_vocab()
        if sorted(ids.values()) == list(range(len(ids))):
            lines = "".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__))
            write_text(folder / "vocab.txt", lines)
    write_json(folder / "tokenizer_config.json", config)


def _is_of_bert(tokenizer: Tokenizer, content: dict[str, Any]) -> bool:
    """Whether a tokenizer is the one that `BertTokenizer` makes of its vocabulary and switches.

    transformers 5 makes all other parts anew, and takes the names of BERT for missing roles.
    """
    model, normalizer, names = content["model"], content["normalizer"] or {}, role_names(tokenizer)
    if model["type"] != "WordPiece" or normalizer.get("type") != "BertNormalizer":
        return False
    if content["pre_tokenizer"] != {"type": "BertPreTokenizer"} or not normalizer["clean_text"]:
        return False
    prefix, longest = model["continuing_subword_prefix"], model["max_input_chars_per_word"]
    if (prefix, longest) != ("##", MAX_WORD_LENGTH) or names.keys() != set(ROLES):
        return False
    if model["unk_token"] != names["unk"]:
        return False
    template = json.loads(bert_template(tokenizer, names["cls"], names["sep"]).__getstate__())
    keys = ("type", "single", "pair")
    wanted = [{key: template[key] for key in keys}]
    return [{key: each.get(key) for key in keys} for each in post_processors(tokenizer)] == wanted
