"""`clozekit predict` on files and texts: order, bad rows, what is never overwritten, memory."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from clozekit.config.predict import PredictConfig
from clozekit.errors import ConfigError, DataError
from clozekit.predict import ROWS_AT_ONCE, predict
from clozekit.train import train
from tests.data.labelled.written_rows import written
from tests.programs.commands import QUIET, TINY, child_environment, train_config
from tests.programs.task_files import OVERRIDES, group_of, write_task

TASKS = ("classification", "regression", "tagging", "question_answering", "multiple_choice")


@pytest.fixture(scope="module")
def models(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of three steps, a task each."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for task in (
        "classification",
        "regression",
        "tagging",
        "question_answering",
        "multiple_choice",
    ):
        train(
            train_config(
                f"name={task}",
                f"runs_dir={folder}",
                f"task={group_of(task)}",
                f"data={group_of(task)}",
                *TINY,
                *QUIET,
                *OVERRIDES.get(task, ()),
                f"data.train={write_task(folder, task, 40, 1)}",
                f"data.tokenizer={corpus / 'tokenizer.json'}",
                "max_steps=3",
                "global_batch_size=8",
                "micro_batch_size=8",
            )
        )
        found[task] = folder / task
    return found


def run(checkpoint: Path, **options: object) -> None:
    predict(PredictConfig.model_validate({"checkpoint": str(checkpoint), **options}))


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_keeps_its_order_whatever_the_lengths(
    models: dict[str, Path], tmp_path: Path
) -> None:
    texts = ["the horse " * (index * 7 % 19 + 1) for index in range(ROWS_AT_ONCE + 50)]
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(
        gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode())
    )
    run(models["classification"], input=str(path), output=tmp_path / "new" / "out.jsonl")
    predictions = lines_of(tmp_path / "new" / "out.jsonl")
    assert [p["id"] for p in predictions] == list(range(len(texts)))
    by_text = {text: p["scores"] for text, p in zip(texts, predictions, strict=True)}
    for text, prediction in zip(texts, predictions, strict=True):
        assert prediction["scores"] == pytest.approx(by_text[text], abs=1e-5)
    assert len({json.dumps(scores) for scores in by_text.values()}) > 5
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.jsonl"]


def test_a_text_may_be_written_too(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    run(models["classification"], text="the sea", output=out)
    assert capsys.readouterr().out == f"wrote 1 prediction to {out}\n"
    assert len(lines_of(out)) == 1


def test_csv_with_other_columns_and_ids(models: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('key,review\na,"the old\nhorse"\nb,the sea\n')
    options = {"text_column": "review", "id_column": "key"}
    run(
        models["classification"],
        input=str(path),
        output=tmp_path / "out.jsonl",
        data_options=options,
    )
    assert [p["id"] for p in lines_of(tmp_path / "out.jsonl")] == ["a", "b"]


def test_a_bad_row_ends_it_or_is_passed_over_by_its_line(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": 7}\n{"text": \n["a"]\n{"text": "b"}\n')
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match=r"rows\.jsonl, line 3: text is 7 but must be text"):
        run(models["classification"], input=str(path), output=out)
    assert not out.exists(), "nothing half-written has the file's name"
    run(models["classification"], input=str(path), output=out, on_bad_row="skip")
    assert [p["id"] for p in lines_of(out)] == [0, 4]
    reported = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1].rpartition(" ")[2] for line in reported] == ["3", "4", "5"]


def test_a_row_of_a_table_with_other_columns_is_told(
    models: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na,b\nc\n")
    with pytest.raises(DataError, match=r"rows\.csv, line 3: the row has 1 columns, but .* has 2"):
        run(models["classification"], input=str(tmp_path / "rows.csv"), output=tmp_path / "out")
    (tmp_path / "rows.csv").write_text("review\na\n")
    with pytest.raises(DataError, match=r"rows\.csv, line 2: there is no 'text'; .* has review"):
        run(models["classification"], input=str(tmp_path / "rows.csv"), output=tmp_path / "out")


def test_a_quote_that_nothing_closes_does_not_swallow_the_rows_behind_it(
    models: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text('text\na\n"b\nc\nd\n')
    with pytest.raises(DataError, match=r"rows\.csv, line 3: a quotation mark is never closed"):
        run(models["classification"], input=str(tmp_path / "rows.csv"), output=tmp_path / "out")


def test_half_of_a_surrogate_pair_is_a_bad_row(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"key": "a", "text": "good \ud83d film"},
        {"key": "b\ude00", "text": "good film"},
        {"key": "c", "text": "good film", "other": "\ud83d"},
        {"key": "d", "text": "good \U0001f600 film"},
    ]
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"input": str(path), "output": out, "data_options": {"id_column": "key"}}
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1: text has half of a surrogate pair"):
        run(models["classification"], **options)
    run(models["classification"], **options, on_bad_row="skip")
    assert [p["id"] for p in lines_of(out)] == ["c", "d"]
    first, second = capsys.readouterr().err.splitlines()
    assert "line 1: text has half" in first and "line 2: the id has half" in second
    with pytest.raises(ConfigError, match="text has half of a surrogate pair"):
        run(models["classification"], text="good \udcff")


@pytest.mark.parametrize(
    "name", ["rows.jsonl", "rows.csv", "rows.tsv", "rows.json", "rows.parquet"]
)
def test_every_format_of_training_can_be_predicted_on(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    path = written(tmp_path, name.partition(".")[2], [("the horse", "0001"), ("the cow", "1.0")])
    options = {"input": path, "output": tmp_path / "out.jsonl"}
    run(models["classification"], **options, data_options={"id_column": "label"})
    assert [p["id"] for p in lines_of(tmp_path / "out.jsonl")] == ["0001", "1.0"]


def test_squad_and_conll_files_can_be_predicted_on(models: dict[str, Path], tmp_path: Path) -> None:
    for task in ("question_answering", "tagging"):
        path = write_task(tmp_path, task, 5, 2)
        run(models[task], input=str(path), output=tmp_path / f"{task}.jsonl")
        assert len(lines_of(tmp_path / f"{task}.jsonl")) == 5


def test_nested_brackets_are_a_bad_row(models: dict[str, Path], tmp_path: Path) -> None:
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"text": ' + "[" * 100_000 + '\n{"text": "a"}\n')
    with pytest.raises(DataError, match=r"line 1: the line is not JSON: it is nested more than 64"):
        run(models["classification"], input=str(path), output=out)
    run(models["classification"], input=str(path), output=out, on_bad_row="skip")
    assert [p["id"] for p in lines_of(out)] == [1]


def test_what_is_there_is_not_overwritten(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match=r"output=.* already exists"):
        run(models["classification"], text="a", output=tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.csv", "out.npz"])
def test_a_file_is_not_named_as_what_it_is_not(
    name: str, models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=rf"output=\S*{name}: predictions are JSON lines"):
        run(models["classification"], text="a", output=tmp_path / name)


def test_options_that_a_task_has_not_are_told(models: dict[str, Path]) -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown key 'data_options.txt'; the keys in data_options are .*text_column",
    ):
        run(models["classification"], text="a", data_options={"txt": "a"})
    with pytest.raises(ConfigError, match=r"data_options.max_seq_length=2: it should be .*8"):
        run(models["classification"], text="a", data_options={"max_seq_length": 2})
    with pytest.raises(ConfigError, match=r"unknown key .task_options\.n_best"):
        run(models["classification"], text="a", task_options={"n_best": 3})


def test_a_pretrained_model_reads_named_columns_too(reference_run: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows = [
        {"key": "a7", "review": "the [MASK] cow", "next": "the sea", "text": "no"},
        {"key": 8, "review": "the cow [MASK]"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    options = {"text_column": "review", "text_pair_column": "next", "id_column": "key"}
    run(reference_run, input=str(path), output=out, data_options=options)
    first, second = lines_of(out)
    assert (first["id"], second["id"]) == ("a7", 8)
    assert "follows" in first and "follows" not in second
    for key, value, message in (
        ("data_options", {"id_column": "number"}, "no column 'number', which id_column names"),
        ("data_options", {"label_column": "x"}, "unknown key 'data_options.label_column'"),
        ("task_options", {"n_best": 3}, r"task_options=\{'n_best': 3\} has no effect"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            run(reference_run, input=str(path), output=tmp_path / "other.jsonl", **{key: value})


def test_a_text_is_shown_as_its_task_has_it(
    models: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    context = "the old horse feeds the cow . the sailor sails the ship ."
    shown = {}
    for task, options in {
        "classification": {"text": "the horse"},
        "regression": {"text": "the horse", "text_pair": "the cow"},
        "tagging": {"text": "the old horse"},
        "question_answering": {"text": "who feeds ?", "text_pair": context},
    }.items():
        capsys.readouterr()
        run(models[task], **options)
        shown[task] = capsys.readouterr().out.splitlines()
    assert shown["classification"][0] == "the horse" and len(shown["classification"]) == 2
    assert shown["regression"][0] == "the horse | the cow"
    assert shown["regression"][1].startswith("  score ")
    assert [line.split(":")[0].strip() for line in shown["tagging"][1:]] == ["the", "old", "horse"]
    answer = shown["question_answering"][1].removeprefix("  answer: ")
    assert answer == "(none)" or answer in context


def test_rows_that_are_not_texts_are_asked_for_as_a_file(models: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"context, choices, question; put them in a file"):
        run(models["multiple_choice"], text="a")
    with pytest.raises(ConfigError, match="text_pair is missing; text must be the question"):
        run(models["question_answering"], text="a")


def test_a_file_without_rows_gives_one_without_predictions(
    models: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    run(models["tagging"], input=str(tmp_path / "rows.jsonl"), output=tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == ""


PEAK = """
import re, sys
from pathlib import Path
from clozekit.config.predict import PredictConfig
from clozekit.predict import predict
predict(PredictConfig(checkpoint=sys.argv[1], input=sys.argv[2], output=sys.argv[3]))
# Not getrusage: its figure begins with that of the process that started this one.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a peak so")
def test_memory_does_not_grow_with_the_file(models: dict[str, Path], tmp_path: Path) -> None:
    peaks = []
    for number in (ROWS_AT_ONCE, 4 * ROWS_AT_ONCE):
        rows = tmp_path / f"{number}.jsonl"
        line = json.dumps({"text": "the old horse", "left": "x" * 24_000}) + "\n"
        rows.write_text(line * number)
        arguments = (str(models["classification"]), str(rows), str(tmp_path / f"{number}.out"))
        finished = subprocess.run(
            [sys.executable, "-c", PEAK, *arguments],
            capture_output=True,
            text=True,
            env=child_environment(),
            check=True,
        )
        peaks.append(int(finished.stdout.splitlines()[-1]) * 1024)
    larger_file = 3 * ROWS_AT_ONCE * 24_000
    assert peaks[1] - peaks[0] < larger_file / 3, "in bytes"
