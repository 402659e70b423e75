"""RoBERTa and XLM-R with tokenizers of their own kinds: continued, fine-tuned and exported."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from clozekit.config.export import ExportConfig
from clozekit.config.prepare import PrepareConfig
from clozekit.export import export
from clozekit.loading import load
from clozekit.prepare import prepare
from clozekit.train import train
from tests.kinds_of_tokenizers import tokenizer_of, write_tokenizer
from tests.programs.commands import QUIET, compose_values, train_config
from tests.programs.texts import make_documents, write_documents

FAMILIES = {"roberta": "Roberta", "xlmr": "XLMRoberta"}
STEPS = (*QUIET, "max_epochs=null", "max_steps=3", "global_batch_size=8", "micro_batch_size=8")
PAIRS = (
    ("The old horse feeds.", "A café is far away!"),
    ("It's (at noon) in Mayfield", "  12345  numbers"),
    ("cows", "Rhône 北京 cows and horses, and cows"),
)


@pytest.fixture(scope="module", params=FAMILIES)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def published(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of transformers with random weights."""
    folder = tmp_path_factory.mktemp(kind) / "model"
    tokenizer = tokenizer_of(kind)
    name = FAMILIES[kind]
    ids = {
        "pad_token_id": tokenizer.token_to_id("<pad>"),
        "bos_token_id": tokenizer.token_to_id("<s>"),
        "eos_token_id": tokenizer.token_to_id("</s>"),
    }
    config = getattr(transformers, f"{name}Config")(
        vocab_size=352,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64 + ids["pad_token_id"] + 1,
        type_vocab_size=1,
        initializer_range=0.3,
        **ids,
    )
    torch.manual_seed(0)
    getattr(transformers, f"{name}ForMaskedLM")(config).save_pretrained(folder)
    write_tokenizer(folder, kind)
    return folder


@pytest.fixture(scope="module")
def continued(published: Path) -> Path:
    """A run that went on from it on text."""
    folder = published.parent
    write_documents(folder / "text.txt", make_documents(60))
    values = compose_values(
        "prepare",
        f"source.path={folder / 'text.txt'}",
        f"out={folder / 'corpus'}",
        "tokenizer=existing",
        f"tokenizer.path={published}",
        "workers=1",
    )
    prepare(PrepareConfig.model_validate(values))
    config = train_config(
        *STEPS,
        "name=more",
        f"runs_dir={folder}",
        "experiment=continue",
        f"data.path={folder / 'corpus'}",
        f"encoder.pretrained={published}",
        "data.max_seq_length=48",
    )
    train(config)
    return folder / "more"


def exported(run: Path, out: Path, kind: str, task: str) -> tuple[Any, Any]:
    values = compose_values("export", f"checkpoint={run}", f"out={out}")
    export(ExportConfig.model_validate(values))
    model, notes = getattr(transformers, f"{FAMILIES[kind]}{task}").from_pretrained(
        out, output_loading_info=True
    )
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    return model.eval(), AutoTokenizer.from_pretrained(out)


def test_words_at_the_mask_are_those_of_transformers(
    continued: Path, published: Path, kind: str, tmp_path: Path
) -> None:
    model, after = exported(continued, tmp_path / "out", kind, "ForMaskedLM")
    before = AutoTokenizer.from_pretrained(published)
    text = f"the old {after.mask_token} feeds"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    with torch.inference_mode():
        given = after(text, return_tensors="pt")
        logits = model(**given).logits[0, given["input_ids"][0].tolist().index(after.mask_token_id)]
    found = [word["probability"] for word in load(continued).predict([text])[0]["words"][0]]
    np.testing.assert_allclose(found, logits.softmax(-1).topk(len(found)).values, atol=1e-5)


def test_labels_of_pairs_are_those_of_transformers(
    continued: Path, kind: str, tmp_path: Path
) -> None:
    """With the tokenizer's own form of a pair, which has two separators between its texts."""
    rows = "".join(f'"{a}","{b}",{index % 2}\n' for index, (a, b) in enumerate(PAIRS * 4))
    (tmp_path / "pairs.csv").write_text(f"a,b,label\n{rows}", encoding="utf-8")
    config = train_config(
        *STEPS,
        "name=pairs",
        f"runs_dir={tmp_path}",
        "task=classification",
        "data=classification",
        f"data.train={tmp_path / 'pairs.csv'}",
        f"data.validation={tmp_path / 'pairs.csv'}",
        "data.text_column=a",
        "data.text_pair_column=b",
        "data.max_seq_length=64",
        f"encoder.pretrained={continued}",
        "optimizer.lr=1e-2",
    )
    train(config)
    model, after = exported(tmp_path / "pairs", tmp_path / "out", kind, "ForSequenceClassification")
    given = after(*map(list, zip(*PAIRS, strict=True)), padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(**given).logits.softmax(-1)
    predictions = load(tmp_path / "pairs").predict(PAIRS)
    found = [[prediction["scores"][label] for label in "01"] for prediction in predictions]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(np.array(found)[:, 0]) > 1e-3, "the pairs should differ by more than rounding"
