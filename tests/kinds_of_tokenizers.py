"""Small tokenizers of the kinds that published encoders have, and their folders."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram, WordPiece
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer

from clozekit.corpus.tokenizers.special_tokens import ROLES
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer

TEXT = (
    "The old horse feeds the field, and the cow plays in the older field. "
    "Horses and cows are fed; the feeding took place (at noon) in Mayfield. "
    "A café near the Rhône sells crêpes: über-good ones, it's said. "
    "Don't play with horse-power or with 12345 numbers! 北京大学 is far away."
)
SENTENCES = [piece.strip() + "." for piece in TEXT.split(".") if piece.strip()]
BERT_NAMES = {role: f"[{role.upper()}]" for role in ROLES}
ROBERTA_NAMES = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
GEMMA_NAMES = {"pad": "<pad>", "unk": "<unk>", "cls": "<bos>", "sep": "<eos>", "mask": "<mask>"}
NAMES = {
    "wordpiece": BERT_NAMES,
    "modernbert": BERT_NAMES,
    "roberta": ROBERTA_NAMES,
    "xlmr": ROBERTA_NAMES,
    "gemma": GEMMA_NAMES,
}
KINDS = tuple(NAMES)


def _template(tokenizer: Tokenizer, names: dict[str, str], between: int, b: int) -> object:
    cls, sep = names["cls"], names["sep"]
    return processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {' '.join([sep] * between)} $B:{b} {sep}:{b}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )


@cache
def plain_tokenizer(kind: str) -> Tokenizer:
    """Trains a tokenizer as the libraries make it. Not to be changed."""
    names = NAMES[kind]
    special = [*names.values()]
    if kind == "wordpiece":
        tokenizer = Tokenizer(WordPiece({}, unk_token=names["unk"]))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        trainer = WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False)
    elif kind in ("modernbert", "roberta"):
        tokenizer = Tokenizer(BPE())
        tokenizer.normalizer = normalizers.NFC() if kind == "modernbert" else None
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = BpeTrainer(
            vocab_size=340,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    elif kind == "xlmr":
        tokenizer = Tokenizer(Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        tokenizer.decoder = decoders.Metaspace()
        trainer = UnigramTrainer(
            vocab_size=120, special_tokens=special[:-1], unk_token="<unk>", show_progress=False
        )
    else:
        tokenizer = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
        trainer = BpeTrainer(vocab_size=100, special_tokens=special, show_progress=False)
    if kind == "gemma":  # trained on words, as it splits them
        words = [f"▁{word}" for word in TEXT.split()] + TEXT.split()
        learner = Tokenizer(BPE(unk_token="<unk>"))
        learner.train_from_iterator(words * 3, trainer)
        tokenizer.model = learner.model
        tokenizer.add_special_tokens(special)
    else:
        tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    if kind == "modernbert":
        tokenizer.add_tokens([AddedToken("  ", normalized=False), AddedToken("   ")])
    if kind in ("roberta", "xlmr"):
        tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    if kind == "roberta":
        ends = ((names[role], tokenizer.token_to_id(names[role])) for role in ("sep", "cls"))
        tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    else:
        between, b = {"xlmr": (2, 0), "gemma": (1, 1)}.get(kind, (1, 1))
        tokenizer.post_processor = _template(tokenizer, names, between, b)
    return tokenizer


def write_tokenizer(folder: Path, kind: str, **settings: object) -> Path:
    """Writes the folder of a tokenizer as transformers does."""
    folder.mkdir(parents=True, exist_ok=True)
    plain_tokenizer(kind).save(str(folder / "tokenizer.json"))
    keys = {f"{role}_token": token for role, token in NAMES[kind].items()}
    keys |= {"tokenizer_class": "PreTrainedTokenizerFast", **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(keys))
    return folder


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    """A tokenizer as clozekit loads it from a folder. Not to be changed."""
    with tempfile.TemporaryDirectory() as folder:
        return load_tokenizer(write_tokenizer(Path(folder), kind))


@cache
def reference(kind: str) -> Any:
    """The same in transformers."""
    # Commands that tests start cannot import transformers.
    from transformers import PreTrainedTokenizerFast

    names = {f"{role}_token": token for role, token in NAMES[kind].items()}
    copy = Tokenizer.from_str(plain_tokenizer(kind).to_str())
    return PreTrainedTokenizerFast(tokenizer_object=copy, **names)
