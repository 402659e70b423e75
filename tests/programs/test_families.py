"""Training, prediction and export from folders of families that are not BERT."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from pydantic import ValidationError

import clozekit
from clozekit.config.export import ExportConfig
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.errors import ConfigError
from clozekit.export import export
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.interop.families import of_name
from tests.programs.commands import QUIET, TINY, train_config
from tests.programs.exported_models import check_masked_words
from tests.programs.task_files import FILES, OVERRIDES, group_of, write_task, write_unlabelled

LENGTH = 48
STEPS = ("data.max_seq_length=48", "global_batch_size=8", "micro_batch_size=4", *QUIET)
ROBERTA = {"max_position_embeddings": LENGTH + 1, "type_vocab_size": 1}
CHANGES: dict[str, dict[str, Any]] = {
    "Camembert": ROBERTA,
    "DistilBert": {"max_position_embeddings": LENGTH},
    "Electra": {"max_position_embeddings": LENGTH},
}
CLASSES = {
    "classification": "ForSequenceClassification",
    "regression": "ForSequenceClassification",
    "tagging": "ForTokenClassification",
    "question_answering": "ForQuestionAnswering",
    "multiple_choice": "ForMultipleChoice",
}


def trained(folder: Path, name: str, *options: str) -> Path:
    train(train_config(f"name={name}", f"runs_dir={folder}", *STEPS, *options))
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module", params=CHANGES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def published(family: str, folder: Path, corpus: Path) -> Path:
    """A folder of transformers with the corpus's tokenizer."""
    tokenizer = load_tokenizer(corpus / "tokenizer.json")
    changes = {**CHANGES[family], "vocab_size": tokenizer.get_vocab_size()}
    of_name(family).folder(folder / f"{family}-published", "ForMaskedLM", "small", **changes)
    (folder / f"{family}-published" / "vocab.txt").unlink()
    shutil.copy(corpus / "tokenizer.json", folder / f"{family}-published")
    return folder / f"{family}-published"


@pytest.fixture(scope="module")
def pretrained(family: str, published: Path, folder: Path, corpus: Path) -> Path:
    """A run that went on from it, with next sentences."""
    options = (f"encoder.pretrained={published}", f"data.path={corpus}", "max_steps=3")
    return trained(folder, f"{family}-more", *options, "validate_every_n_steps=3")


def test_pretraining_goes_on_with_both_losses(pretrained: Path) -> None:
    results = json.loads((pretrained / "results.json").read_text())
    assert math.isfinite(results["validation/mlm_loss"] + results["validation/nsp_loss"])


def test_the_family_is_kept_when_masked_words_are_exported(
    family: str, pretrained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / f"{family}-exported"
    export(ExportConfig(checkpoint=str(pretrained), out=out))
    assert "next_sentence_head: no class of transformers has this head; it is left out" in (
        capsys.readouterr().out
    )
    check_masked_words(out, pretrained, f"{family}ForMaskedLM")


@pytest.mark.parametrize("task", FILES)
def test_a_task_is_trained_predicted_with_and_exported(
    task: str, family: str, pretrained: Path, folder: Path
) -> None:
    rows, validation = (write_task(folder, task, n, seed) for n, seed in ((16, 1), (8, 2)))
    kind = group_of(task)
    run = trained(
        folder,
        *(f"{family}-{task}", f"task={kind}", f"data={kind}", *OVERRIDES.get(task, ())),
        *(f"data.train={rows}", f"data.validation={validation}", "max_steps=2"),
        f"encoder.pretrained={pretrained}",
    )
    unlabelled = write_unlabelled(folder / f"{family}-{task}.jsonl", task, validation)
    given = [json.loads(line) for line in unlabelled.read_text().splitlines()]
    assert len(clozekit.load(run).predict(given)) == len(given)
    out = folder / f"{family}-{task}-exported"
    export(ExportConfig(checkpoint=str(run), out=out))
    config = json.loads((out / "config.json").read_text())
    end = CLASSES.get(kind, "Model")
    assert config["architectures"] == [f"{family}{end}"]
    loaded, report = getattr(transformers, f"{family}{end}").from_pretrained(
        out, output_loading_info=True, **({} if end != "Model" else without_pooler(family))
    )
    assert not any(report.values()), report
    exported = clozekit.load(out)
    weights = exported.encoder.state_dict()
    for name, tensor in load_checkpoint(run).weights("model.encoder.").items():
        name = name.removeprefix("model.encoder.")
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=0)
    assert loaded.config.model_type == config["model_type"]


def without_pooler(family: str) -> dict[str, bool]:
    return {"add_pooling_layer": False} if family == "Camembert" else {}


def test_the_head_that_finds_replaced_tokens_is_named_once(
    folder: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vocab_size = load_tokenizer(corpus / "tokenizer.json").get_vocab_size()
    source = folder / "discriminator"
    changes = {"vocab_size": vocab_size, "max_position_embeddings": LENGTH}
    of_name("Electra").folder(source, "ForPreTraining", "small", **changes)
    (source / "vocab.txt").unlink()
    options = ("task=masked_lm", "data=masked_lm", f"data.path={corpus}", "max_steps=1")
    trained(folder, "generator", *options, f"encoder.pretrained={source}")
    printed = capsys.readouterr().out
    assert printed.count("has unused weights: discriminator_predictions.dense.bias") == 1
    assert "has no weights for masked_lm_head; these are initialized randomly" in printed


def test_a_resumed_run_is_the_uninterrupted_one(
    family: str, published: Path, folder: Path, corpus: Path
) -> None:
    options = (f"encoder.pretrained={published}", f"data.path={corpus}", "max_steps=4")
    more = ("task=masked_lm", "data=masked_lm", "validate_every_n_steps=2")
    more += ("callbacks.checkpoints.save_top_k=2",)
    whole = trained(folder, f"{family}-whole", *options, *more)
    checkpoint = whole / "checkpoints" / "step-2.ckpt"
    resumed = trained(folder, f"{family}-resumed", *options, *more, f"resume={checkpoint}")
    weights = [
        load_checkpoint(run / "checkpoints" / "last.ckpt").weights("model.")
        for run in (whole, resumed)
    ]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "architecture"),
    [
        (("encoder.position_offset=1",), "RobertaForMaskedLM"),
        (("encoder.position_offset=1", "encoder.model_type=xlm-roberta"), "XLMRobertaForMaskedLM"),
        (
            ("encoder.embedding_size=16", "encoder.classifier_activation=gelu"),
            "ElectraForMaskedLM",
        ),
        (
            ("encoder.type_vocab_size=0", "encoder.classifier_activation=relu"),
            "DistilBertForMaskedLM",
        ),
    ],
)
def test_a_family_is_trained_from_scratch(
    options: tuple[str, ...], architecture: str, folder: Path, corpus: Path
) -> None:
    run = trained(
        folder,
        *(f"{architecture}-new", f"data.path={corpus}", "task=masked_lm", "data=masked_lm"),
        *(*TINY, "max_steps=1", *options),
    )
    export(ExportConfig(checkpoint=str(run), out=folder / f"{architecture}-new-exported"))
    config = json.loads((folder / f"{architecture}-new-exported" / "config.json").read_text())
    assert config["architectures"] == [architecture]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("encoder.model_type=camembert",), "encoder.model_type=camembert has other parts"),
        (("encoder.model_type=bart",), "encoder.model_type=bart; only bert, roberta"),
        (
            ("encoder.position_offset=17",),
            "max_seq_length=48 is more than encoder.max_position_embeddings=64 minus "
            "position_offset=17",
        ),
        (("encoder.position_offset=64",), "must be less than max_position_embeddings=64"),
        (
            ("encoder.position_offset=1", "encoder.position_embedding_type=rotary"),
            "position_offset=1 has no effect with position_embedding_type=rotary",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    options: tuple[str, ...], message: str, folder: Path, corpus: Path
) -> None:
    with pytest.raises((ConfigError, ValidationError), match=message):
        trained(folder, "refused", f"data.path={corpus}", *TINY, "max_steps=1", *options)
    assert not (folder / "refused").exists()


def test_positions_that_transformers_would_count_otherwise_are_not_exported(
    folder: Path, corpus: Path
) -> None:
    options = (*TINY, "max_steps=1", "encoder.position_offset=2")
    run = trained(folder, "two", f"data.path={corpus}", *options)
    with pytest.raises(ConfigError, match=r"position_offset=2 .*the id 1, .*format=safetensors"):
        export(ExportConfig(checkpoint=str(run), out=folder / "two-exported"))
    assert not (folder / "two-exported").exists()
    export(ExportConfig(checkpoint=str(run), out=folder / "own", format="safetensors"))
    encoder = json.loads((folder / "own" / "encoder.json").read_text())
    assert encoder["position_offset"] == 2
