"""A published encoder with byte-level BPE is continued in two commands, and exported."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    ModernBertConfig,
    ModernBertForMaskedLM,
)

from clozekit.config.export import ExportConfig
from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard
from clozekit.export import export
from clozekit.loading import load
from clozekit.prepare import prepare
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.kinds_of_tokenizers import tokenizer_of, write_tokenizer
from tests.programs.commands import QUIET, compose_values, train_config
from tests.programs.texts import make_documents, write_documents

STEPS = (
    "max_epochs=null",
    "max_steps=3",
    "global_batch_size=8",
    "micro_batch_size=8",
    "data.max_seq_length=48",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random ModernBERT in the format of transformers, and text."""
    folder = tmp_path_factory.mktemp("base")
    tokenizer = tokenizer_of("modernbert")
    ids = {f"{n}_token_id": tokenizer.token_to_id(f"[{n.upper()}]") for n in ("pad", "cls", "sep")}
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=352,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        local_attention=16,
        bos_token_id=ids["cls_token_id"],
        eos_token_id=ids["sep_token_id"],
        **ids,
    )
    ModernBertForMaskedLM(config).save_pretrained(folder / "model")
    write_tokenizer(folder / "model", "modernbert")
    write_documents(folder / "text.txt", make_documents(60))
    return folder


def prepared(base: Path, out: Path, *overrides: str) -> Path:
    values = compose_values(
        "prepare", f"source.path={base / 'text.txt'}", f"out={out}", "workers=1", *overrides
    )
    prepare(PrepareConfig.model_validate(values))
    return out


def continued(base: Path, corpus: Path, folder: Path, *overrides: str) -> Path:
    config = train_config(
        *QUIET,
        *STEPS,
        "name=more",
        f"runs_dir={folder}",
        "experiment=continue",
        f"data.path={corpus}",
        f"encoder.pretrained={base / 'model'}",
        "data.whole_word_mask=true",
        *overrides,
    )
    train(config)
    return folder / "more"


def exported(run: Path, out: Path) -> tuple[Any, Any]:
    values = compose_values("export", f"checkpoint={run}", f"out={out}")
    export(ExportConfig.model_validate(values))
    return AutoModelForMaskedLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)


def test_two_commands_continue_and_the_export_loads(base: Path, tmp_path: Path) -> None:
    tokenizer = f"tokenizer.path={base / 'model'}"
    corpus = prepared(base, tmp_path / "corpus", "tokenizer=existing", tokenizer)
    shard = Shard.open(corpus / Corpus.open(corpus).manifest.splits["train"].shards[0].file)
    first = shard.tokens[: int(shard.sentence_offsets[shard.document_offsets[1]])]
    plain = AutoTokenizer.from_pretrained(base / "model")
    text = plain.decode(first.tolist())
    assert plain(text, add_special_tokens=False)["input_ids"] == first.tolist()

    run = continued(base, corpus, tmp_path)
    assert load_checkpoint(run).config["optimizer"]["lr"] == 5e-5
    model, after = exported(run, tmp_path / "out")
    assert type(model) is ModernBertForMaskedLM
    assert after("A café, far away.")["input_ids"] == plain("A café, far away.")["input_ids"]
    assert {k: after.special_tokens_map[k] for k in ("mask_token", "cls_token")} == {
        "mask_token": "[MASK]",
        "cls_token": "[CLS]",
    }
    words = load(run).predict(["the old [MASK] feeds"])[0]["words"]
    with torch.inference_mode():
        given = after("the old [MASK] feeds", return_tensors="pt")
        logits = model(**given).logits[0, given["input_ids"][0].tolist().index(after.mask_token_id)]
    expected = logits.softmax(-1).topk(5).values
    np.testing.assert_allclose([w["probability"] for w in words[0]], expected, atol=1e-5)


def test_an_extended_vocabulary_is_trained_and_exported(base: Path, tmp_path: Path) -> None:
    overrides = ("tokenizer=extend", f"tokenizer.base={base / 'model'}", "tokenizer.add=40")
    corpus = prepared(base, tmp_path / "corpus", *overrides)
    run = continued(base, corpus, tmp_path, "optimizer.lr=1e-12", "optimizer.weight_decay=0")
    model, after = exported(run, tmp_path / "out")
    before = ModernBertForMaskedLM.from_pretrained(base / "model")
    plain = AutoTokenizer.from_pretrained(base / "model")
    assert len(after) == len(plain) + 40
    assert model.config.vocab_size >= len(after)
    text = "(12345) numbers"
    ids = plain(text, return_tensors="pt")
    assert after(text)["input_ids"] == plain(text)["input_ids"]
    with torch.inference_mode():
        size = len(plain)
        theirs, ours = before(**ids).logits[..., :size], model(**ids).logits[..., :size]
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    manifest = json.loads((corpus / "manifest.json").read_text())
    assert manifest["configuration"]["tokenizer"]["add"] == 40
