"""`clozekit evaluate` of pretrained models: the metrics of training, of any checkpoint."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.merge import MergeConfig
from clozekit.config.prepare import PrepareConfig
from clozekit.errors import ConfigError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.merge import merge
from clozekit.prepare import prepare
from clozekit.runs.checkpoint_file import load_checkpoint
from tests.programs.commands import compose_values, run_clozekit
from tests.programs.texts import write_labelled

FULL = "full_sentences_mlm_loss"


@pytest.fixture
def last(reference_run: Path) -> Path:
    """The last checkpoint, whose metrics the results of a pretraining run are."""
    return reference_run / "checkpoints" / "last.ckpt"


def of_training(run: Path) -> dict[str, float]:
    results = json.loads((run / "results.json").read_text())
    return {name.partition("/")[2]: value for name, value in results.items() if name != "step"}


def evaluated(folder: Path, checkpoint: Path, **more: Any) -> dict[str, float]:
    config = EvaluateConfig(checkpoint=str(checkpoint), out=folder / "evaluation", **more)
    return evaluate(config)


def test_the_command_gives_the_metrics_of_training(
    reference_run: Path, last: Path, tmp_path: Path
) -> None:
    out = tmp_path / "evaluation"
    finished = run_clozekit("evaluate", f"checkpoint={last}", f"out={out}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert not finished.stderr
    assert "mlm_loss" in finished.stdout
    written = json.loads((out / "metrics.json").read_text())
    assert written["split"] == "validation"
    loss = written["metrics"].pop(FULL)
    assert written["metrics"] == pytest.approx(of_training(reference_run))
    assert loss != written["metrics"]["mlm_loss"]


def test_the_number_of_sequences_in_a_batch_does_not_matter(
    reference_run: Path, last: Path, tmp_path: Path
) -> None:
    values = evaluated(tmp_path, last, batch_size=3)
    del values[FULL]
    assert values == pytest.approx(of_training(reference_run), rel=1e-4)


def test_a_merged_checkpoint_and_one_of_transformers(
    reference_run: Path, last: Path, corpus: Path, tmp_path: Path
) -> None:
    export(ExportConfig(checkpoint=str(last), out=tmp_path / "bert"))
    length = {"max_seq_length": load_checkpoint(last).group("data")["max_seq_length"]}
    values = evaluated(tmp_path, tmp_path / "bert", input=str(corpus), data_options=length)
    del values[FULL]
    assert values == pytest.approx(of_training(reference_run), rel=1e-4)
    same = shutil.copy(last, tmp_path / "copy.ckpt")
    merge(MergeConfig(checkpoints=[str(last), str(same)], out=tmp_path / "merged"))
    values = evaluated(tmp_path / "of_merged", tmp_path / "merged")
    del values[FULL]
    assert values == pytest.approx(of_training(reference_run), rel=1e-4)


def test_each_source_of_a_mixture(reference_run: Path, corpus: Path, tmp_path: Path) -> None:
    paths = {name: {"path": str(corpus)} for name in ("news", "mails")}
    values = evaluated(tmp_path, reference_run, data_options={"path": paths})
    assert values["news/mlm_loss"] == pytest.approx(values["mlm_loss"], abs=0.2)
    assert "mails/mlm_loss" in values
    written = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert written["data"] == {"news": str(corpus), "mails": str(corpus)}


def test_a_corpus_of_another_tokenizer_is_refused(reference_run: Path, tmp_path: Path) -> None:
    text = "\n\n".join(f"number {n} is here\nthe word {n * 7} follows it" for n in range(60))
    (tmp_path / "other.txt").write_text(text)
    given = ("source=text", f"source.path={tmp_path / 'other.txt'}", f"out={tmp_path / 'other'}")
    small = ("tokenizer.vocab_size=80",)
    prepare(PrepareConfig.model_validate(compose_values("prepare", *given, *small)))
    with pytest.raises(ConfigError, match=r"^checkpoint=.* has another vocabulary than the data"):
        evaluated(tmp_path, reference_run, input=str(tmp_path / "other"))
    assert not (tmp_path / "evaluation").exists()


def test_what_has_no_effect_is_refused(reference_run: Path, tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "rows.csv", 4)
    export(ExportConfig(checkpoint=str(reference_run), out=tmp_path / "bert"))
    for checkpoint, more, message in (
        (reference_run, {"split": "test"}, "has the validation split of a corpus only"),
        (reference_run, {"format": "html"}, "has no predictions to show"),
        (reference_run, {"task_options": {"n_best": 3}}, "has no options of a task"),
        (reference_run, {"input": str(rows)}, "is a file, but .* is a pretrained model"),
        (reference_run, {"data_options": {"max_seq_length": 100_000}}, "max_seq_length=100000"),
        (reference_run, {"data_options": {"masks": 1}}, "unknown key 'data.masks'"),
        (tmp_path / "bert", {}, "input is missing: set input=… to the folder of a corpus"),
    ):
        with pytest.raises(ConfigError, match=message):
            evaluated(tmp_path, checkpoint, **more)
    assert not (tmp_path / "evaluation").exists()
