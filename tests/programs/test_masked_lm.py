"""MLM alone through the verbs: trained, exported, predicted with, and gone on from."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812
from transformers import BertForMaskedLM, BertForPreTraining

import clozekit
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.predict import PredictConfig
from clozekit.data.batch import MaskedLMBatch
from clozekit.data.packing import Packing
from clozekit.errors import ConfigError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.predict import predict
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from clozekit.training.assembly import make_datamodule
from tests.interop.folders import random_model
from tests.models.models import logits_of
from tests.programs.commands import QUIET, TINY, run_clozekit, train_config
from tests.programs.texts import write_labelled

MASKED_LM = ("task=masked_lm", "data=masked_lm")


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that the command made."""
    folder = tmp_path_factory.mktemp("masked_lm")
    finished = run_clozekit(
        "train",
        "name=words",
        *MASKED_LM,
        f"data.path={corpus}",
        *TINY,
        "max_steps=60",
        "global_batch_size=8",
        "micro_batch_size=4",
        "validate_every_n_steps=20",
        "optimizer.lr=3e-3",
        cwd=folder,
    )
    assert finished.returncode == 0, finished.stderr
    assert "samples" in finished.stdout and "next" not in finished.stdout
    return folder / "runs" / "words"


def test_it_learns_and_leaves_what_every_run_leaves(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    assert results.keys() == {
        "step",
        *(f"validation/{name}" for name in ("loss", "mlm_loss", "mlm_accuracy", "perplexity")),
    }
    with (run / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation/loss"]]
    losses = [float(row["validation/loss"]) for row in rows]
    assert len(losses) == 3 and losses[-1] < losses[0] - 0.2
    assert results["validation/loss"] == results["validation/mlm_loss"]
    assert (run / "curves.png").exists()
    weights = load_checkpoint(run).weights("model.")
    assert not any("pooler" in name or "next_sentence" in name for name in weights)


def test_an_export_is_transformers_own_masked_lm(run: Path, tmp_path: Path) -> None:
    export(ExportConfig(checkpoint=str(run), out=tmp_path / "bert"))
    bert, loading = BertForMaskedLM.from_pretrained(tmp_path / "bert", output_loading_info=True)
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model = clozekit.load(run)
    ids = torch.tensor([[2, 7, 4, 9, 3], [2, 4, 8, 3, 0]])
    mask = (ids > 0).long()
    packing = Packing.from_attention_mask(mask)
    with torch.inference_mode():
        theirs = bert.eval()(input_ids=ids, attention_mask=mask).logits
        ours = logits_of(model.model, packing.unpad(ids), None, packing)
    torch.testing.assert_close(ours, packing.unpad(theirs), rtol=1e-5, atol=1e-5)

    back = clozekit.load(tmp_path / "bert")
    assert (model.task, back.task) == ("masked_lm", "masked_lm")
    text = "the old [MASK] feeds the cow ."
    assert back.predict([text]) == model.predict([text])


def test_words_are_predicted_and_pairs_are_not_judged(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(PredictConfig(checkpoint=str(run), text="the sailor [MASK] the ship ."))
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 2 and shown[1].startswith("  [MASK]: ")
    (prediction,) = clozekit.load(run).predict([("the [MASK]", "the sea")])
    assert prediction.keys() == {"words"}
    for row in ("the sea", ("the sea", "the ship")):
        with pytest.raises(ConfigError, match=r"needs a \[MASK\] in it$"):
            clozekit.load(run).predict([row])


def test_its_evaluation_is_its_validation(run: Path, tmp_path: Path) -> None:
    values = evaluate(EvaluateConfig(checkpoint=str(run), out=tmp_path / "evaluation"))
    results = json.loads((run / "results.json").read_text())
    loss = values.pop("full_sentences_mlm_loss")
    assert values == pytest.approx(
        {name.removeprefix("validation/"): results[name] for name in results if name != "step"}
    )
    assert loss == pytest.approx(values["mlm_loss"]), "the same samples, with the seed of the run"


def test_a_fine_tuned_task_begins_with_its_encoder(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(
        train_config(
            "name=topics",
            "task=classification",
            "data=classification",
            f"runs_dir={tmp_path}",
            f"data.train={write_labelled(tmp_path / 'rows.csv', 40)}",
            f"encoder.pretrained={run}",
            "data.max_seq_length=48",
            "max_steps=1",
            "global_batch_size=8",
            "micro_batch_size=8",
            "optimizer.lr=1e-12",
            *QUIET,
        )
    )
    assert (
        "has no weights for encoder.pooler; these are initialized randomly"
        in capsys.readouterr().out
    )
    before = load_checkpoint(run).weights("model.encoder.")
    after = load_checkpoint(tmp_path / "topics").weights("model.encoder.")
    assert after.keys() - before.keys() == {"pooler.weight", "pooler.bias"}
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-6)


def test_it_goes_on_from_a_bert_with_that_berts_loss(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bert = random_model(BertForPreTraining, vocab_size=320, max_position_embeddings=64)
    bert.save_pretrained(tmp_path / "bert")
    shutil.copy(corpus / "tokenizer.json", tmp_path / "bert")
    config = train_config(
        "name=more",
        *MASKED_LM,
        f"runs_dir={tmp_path}",
        f"data.path={corpus}",
        f"encoder.pretrained={tmp_path / 'bert'}",
        "encoder.hidden_dropout_prob=0",
        "encoder.attention_probs_dropout_prob=0",
        "data.max_seq_length=48",
        "max_steps=1",
        "global_batch_size=8",
        "micro_batch_size=8",
        "trainer.log_every_n_steps=1",
        *QUIET,
    )
    train(config)
    assert "initialized randomly" not in capsys.readouterr().out
    (batch,) = next(iter(make_datamodule(config, None).train_dataloader())).micro_batches
    assert isinstance(batch, MaskedLMBatch) and batch.batch_size > 8
    with torch.inference_mode():
        logits = bert(**batch.padded()).prediction_logits
    masked = batch.packing.unpad(logits)[batch.masked_lm_positions]
    expected = float(F.cross_entropy(masked, batch.masked_lm_labels))
    with (tmp_path / "more" / "metrics.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert float(first["train/mlm_loss"]) == pytest.approx(expected, abs=1e-5)
