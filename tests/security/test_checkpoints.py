"""What a checkpoint says is data: nothing in it is imported, called or resolved."""

import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate

import clozekit
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.predict import PredictConfig
from clozekit.errors import DataError, UserError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.predict import predict
from tests.security.strangers import (
    Content,
    calls,
    config_of,
    write_checkpoint,
)

ROWS = "text,label\n" + "the cow sails,farm\nthe sea,sea\nthe pan,kitchen\n" * 4


def run_all(path: Path, **more: Any) -> list[str]:
    """Uses a checkpoint in every way; gives the messages of the errors it is to blame for."""
    folder = path.parent
    (folder / "rows.csv").write_text(ROWS)
    model = {"checkpoint": str(path), **more}
    rows = str(folder / "rows.csv")
    uses = (
        lambda: predict(PredictConfig(text="the cow", output=folder / "p", **model)),
        lambda: evaluate(EvaluateConfig(input=rows, out=folder / "e", **model)),
        lambda: evaluate(EvaluateConfig(out=folder / "s", **model)),
        lambda: clozekit.load(path, **more).predict(["the cow"]),
        lambda: export(ExportConfig(out=folder / "x", **model)),
    )
    messages = []
    for use in uses:
        try:
            use()
        except UserError as error:
            if str(error) != "data/labelled.csv does not exist":
                messages.append(str(error))
    return messages


def place(content: Content, where: str, value: Any) -> None:
    """Puts a value at a place of the configuration, such as `task.class_weights`."""
    *groups, key = where.split(".")
    inner = config_of(content)
    for group in groups:
        inner = inner[group]
    inner[key] = value


@pytest.mark.parametrize("call", ["sympify", "touch"])
def test_the_traps_work(call: str, tmp_path: Path) -> None:
    instantiate(calls(tmp_path / "executed")[call])
    assert (tmp_path / "executed").exists()


PLACES = (
    "task.class_weights",
    "task.classifier_dropout",
    "task.extra",
    "task",
    "data.text_column",
    "data.id_column",
    "data.path",
    "data.tokenizer",
    "data.extra",
    "data",
    "encoder.hidden_dropout_prob",
    "encoder.pretrained",
    "encoder",
)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("call", "nested"), [("sympify", False), ("touch", True)])
def test_a_target_in_a_group_is_not_called(
    where: str, nested: bool, call: str, tmp_path: Path, marker: Path
) -> None:
    group = calls(marker)[call]
    value = [{"a": [group]}] if nested and "." in where else group
    path = write_checkpoint(tmp_path / "a.ckpt", lambda content: place(content, where, value))
    messages = run_all(path)
    assert messages, "some use refuses it"
    assert all(str(path) in message for message in messages)
    assert all("\n" not in message for message in messages)


@pytest.mark.parametrize(
    "group", ["optimizer", "schedule", "trainer", "callbacks", "logger", "hydra"]
)
def test_groups_of_training_are_never_built(group: str, tmp_path: Path, marker: Path) -> None:
    every = {"x": calls(marker)["sympify"]}

    def change(content: Content) -> None:
        config_of(content)[group] = every

    path = write_checkpoint(tmp_path / "a.ckpt", change)
    predict(PredictConfig(checkpoint=str(path), text="the cow", output=tmp_path / "p"))


@pytest.mark.parametrize("group", ["task", "data", "encoder"])
@pytest.mark.parametrize("target", ["evilmod.X", "os.system"])
def test_a_class_of_someone_else_is_not_imported(
    group: str, target: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    code = f"from pathlib import Path\nPath({str(marker)!r}).touch()\nclass X: pass\n"
    (folder / "evilmod.py").write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    path = write_checkpoint(
        tmp_path / "a.ckpt", lambda content: place(content, f"{group}._target_", target)
    )
    module = target.split(".")[0]
    messages = run_all(path)
    expected = (
        f"{path} names {group}._target_={target}, which is not part of clozekit; if you trust "
        f"that code, set trusted_modules=[{module}]"
    )
    assert expected in messages
    assert "evilmod" not in sys.modules


@pytest.mark.parametrize("target", [3, "x", "a.b()", ["a.B"], "\x1b[2J.B"])
@pytest.mark.parametrize("group", ["task", "data", "encoder"])
def test_what_is_no_name_of_a_class_is_refused(
    group: str, target: Any, tmp_path: Path, marker: Path
) -> None:
    path = write_checkpoint(
        tmp_path / "a.ckpt", lambda content: place(content, f"{group}._target_", target)
    )
    messages = run_all(path)
    assert messages
    assert all(str(path) in message and "\x1b" not in message for message in messages)


def test_a_class_of_clozekit_of_another_kind_is_refused(tmp_path: Path) -> None:
    target = "clozekit.data.labelled.classification.ClassificationDataModule"
    path = write_checkpoint(
        tmp_path / "a.ckpt", lambda content: place(content, "task._target_", target)
    )
    with pytest.raises(DataError, match=f"task._target_={target} is not a class for task"):
        clozekit.load(path)


@pytest.mark.parametrize("where", ["data.path", "data.train", "data.text_column", "task.extra"])
def test_interpolations_stay_text(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", "the-secret-value")
    sent: list[str] = []

    def load_dataset(path: str, *arguments: Any, **options: Any) -> Any:
        sent.append(repr((path, arguments, options)))
        raise FileNotFoundError(path)

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    value = "${oc.env:A_SECRET}"
    path = write_checkpoint(tmp_path / "a.ckpt", lambda content: place(content, where, value))
    messages = run_all(path)
    assert "the-secret-value" not in repr(sent) + repr(messages)
