"""What a checkpoint says is data: nothing in it is imported, called or resolved."""

import contextlib
import dataclasses
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

import clozekit
from clozekit.config import stored
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.predict import PredictConfig
from clozekit.config.registry import DATA, TASKS
from clozekit.errors import ConfigError, DataError, UserError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.inference.load_predictor import make_predictor
from clozekit.predict import predict
from clozekit.runs.checkpoint_file import META_KEY, Checkpoint, load_checkpoint
from clozekit.runs.load_pretrained import from_checkpoint
from tests.security.strangers import (
    Content,
    calls,
    config_of,
    write_checkpoint,
)

Change = Callable[[Content], Any]

ROWS = "text,label\n" + "the cow sails,farm\nthe sea,sea\nthe pan,kitchen\n" * 4


@pytest.fixture
def marker(tmp_path: Path) -> Iterator[Path]:
    """A file that hostile code would create."""
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "code of the checkpoint was executed"


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


MODULE = """
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.models import Encoder
from clozekit.tasks.classification import ClassificationModule
from os import system
from subprocess import Popen

class OwnTask(ClassificationModule):
    def __init__(self, extra=None, **arguments):
        super().__init__(**arguments)
        self.extra = extra

class OwnData(ClassificationDataModule):
    pass

class OwnEncoder(Encoder):
    pass

class Part:
    def __init__(self, size):
        self.size = size
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_classes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_classes", raising=False)
    return "own_classes"


def use_own(content: Content) -> None:
    config = config_of(content)
    for group, name in (("task", "OwnTask"), ("data", "OwnData"), ("encoder", "OwnEncoder")):
        config[group]["_target_"] = f"own_classes.{name}"


def test_a_users_own_classes_need_their_trust(own: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt", use_own)
    with pytest.raises(ConfigError, match=r"set trusted_modules=\[own_classes\]"):
        clozekit.load(path)
    model = clozekit.load(path, trusted_modules=[own])
    (prediction,) = model.predict(["the cow"])
    assert prediction["label"] in ("farm", "kitchen", "sea")
    assert type(model.predictor.module).__name__ == "OwnTask"  # type: ignore[union-attr]
    assert type(model.encoder).__name__ == "OwnEncoder"


def test_an_object_in_an_argument_needs_trust_too(own: str, tmp_path: Path, marker: Path) -> None:
    def change(extra: Any) -> Change:
        def apply(content: Content) -> None:
            use_own(content)
            config_of(content)["task"]["extra"] = extra

        return apply

    part = [{"_target_": "own_classes.Part", "size": 3}]
    path = write_checkpoint(tmp_path / "a.ckpt", change(part))
    module = clozekit.load(path, trusted_modules=[own]).predictor.module  # type: ignore[union-attr]
    assert module.extra[0].size == 3
    hostile: tuple[Any, ...] = (
        calls(marker)["sympify"],
        {"a": [calls(marker)["sympify"]]},
        {"_target_": "own_classes.system", "command": f"touch {marker}"},
        {"_target_": "own_classes.Part.__init__.__globals__", "a": 1},
        {"_target_": "own_classes.Part", "_args_": [1]},
        {"_target_": "own_classes.Part", "_partial_": True, "size": 1},
    )
    for extra in hostile:
        path = write_checkpoint(tmp_path / "a.ckpt", change(extra))
        with pytest.raises(UserError):
            clozekit.load(path, trusted_modules=[own])


def test_a_class_of_a_trusted_module_must_be_of_the_kind(own: str, tmp_path: Path) -> None:
    for name in ("Popen", "system", "Part", "Nothing"):
        path = write_checkpoint(
            tmp_path / "a.ckpt", lambda c, n=name: place(c, "task._target_", f"own_classes.{n}")
        )
        with pytest.raises(ConfigError, match=r"task\._target_=own_classes\.\w+ (is not|cannot)"):
            clozekit.load(path, trusted_modules=[own])


def test_trust_in_a_module_is_none_in_one_with_a_longer_name() -> None:
    assert stored.is_trusted("my_tasks.X", ["my_tasks"])
    assert stored.is_trusted("my_tasks.sub.X", ["my_tasks"])
    assert not stored.is_trusted("my_tasks_2.X", ["my_tasks"])
    assert not stored.is_trusted("other.my_tasks.X", ["my_tasks"])
    assert not stored.is_trusted("my_tasks", ["my_tasks"])


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


def without(*parts: str) -> Change:
    def change(content: Content) -> None:
        inner = content
        for part in parts[:-1]:
            inner = inner[part]
        del inner[parts[-1]]

    return change


def replaced(value: Any, *parts: str) -> Change:
    def change(content: Content) -> None:
        inner = content
        for part in parts[:-1]:
            inner = inner[part]
        inner[parts[-1]] = value

    return change


def with_itself(content: Content) -> None:
    config = config_of(content)
    config["task"]["loop"] = config


def with_aliases(content: Content) -> None:
    value: Any = ["x"] * 10
    for _ in range(10):
        value = [value] * 10
    config_of(content)["task"]["class_weights"] = value


def too_deep(content: Content) -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    config_of(content)["extra"] = value


def with_expanded_weights(content: Content) -> None:
    name = "model.encoder.embeddings.token_embeddings.weight"
    content["state_dict"][name] = torch.zeros(1).expand(10**12, 16)


CONFIG = (META_KEY, "config")
WEIGHT = "model.encoder.embeddings.layer_norm.weight"
DAMAGED: dict[str, tuple[Change, str]] = {
    "no config": (without(*CONFIG), "it has no config"),
    "no tokenizer": (without(META_KEY, "tokenizer"), "it has no tokenizer"),
    "no format": (without(META_KEY, "format_version"), "it has no format_version"),
    "no arguments": (without(META_KEY, "task_arguments"), "it has no task_arguments"),
    "no step": (without("global_step"), "it has no global_step"),
    "no weights": (without("state_dict"), "it has no state_dict"),
    "no task": (without(*CONFIG, "task"), "has no task._target_"),
    "no data": (without(*CONFIG, "data"), "has no data._target_"),
    "no encoder": (without(*CONFIG, "encoder"), "has no encoder._target_"),
    "no vocabulary": (without(*CONFIG, "encoder", "vocab_size"), "encoder.vocab_size is missing"),
    "a list for meta": (replaced([1], META_KEY), "it has no format_version"),
    "text for a format": (replaced("3", META_KEY, "format_version"), "format_version is '3'"),
    "a truth for a step": (replaced(True, "global_step"), "global_step is True"),
    "a negative step": (replaced(-1, "global_step"), "global_step=-1"),
    "a list for config": (replaced([], *CONFIG), "config is a list"),
    "text for task": (replaced("x", *CONFIG, "task"), "has no task._target_"),
    "an empty tokenizer": (replaced("{}", META_KEY, "tokenizer"), "is not a tokenizer.json"),
    "a number for a tokenizer": (replaced(3, META_KEY, "tokenizer"), "tokenizer is 3"),
    "a number for a hash": (replaced(3, META_KEY, "data_hash"), "data_hash is 3"),
    "numbers for labels": (
        replaced([1, 2, 3], META_KEY, "task_arguments", "label_names"),
        "label_names are not a list of texts",
    ),
    "fewer labels": (
        replaced(["a", "b"], META_KEY, "task_arguments", "label_names"),
        "the weights do not match the model",
    ),
    "unknown arguments": (
        replaced({"_target_": "os.system"}, META_KEY, "task_arguments", "x"),
        "unknown key 'task.x'",
    ),
    "a million blocks": (
        replaced(10**6, *CONFIG, "encoder", "num_hidden_layers"),
        "num_hidden_layers=1000000, but the weights have 1 blocks",
    ),
    "a huge width": (
        replaced(2**40, *CONFIG, "encoder", "intermediate_size"),
        "implies the shape [1099511627776, 16]",
    ),
    "a huge vocabulary": (replaced(2**40, *CONFIG, "encoder", "vocab_size"), "implies the shape"),
    "huge positions": (
        replaced(2**40, *CONFIG, "encoder", "max_position_embeddings"),
        "implies the shape",
    ),
    "a negative size": (replaced(-1, *CONFIG, "encoder", "hidden_size"), "hidden_size=-1"),
    "a list for a size": (replaced([1], *CONFIG, "encoder", "hidden_size"), "hidden_size=[1]"),
    "an unknown key": (replaced(1, *CONFIG, "encoder", "x"), "unknown key 'x'"),
    "a missing weight": (without("state_dict", WEIGHT), "the weights do not match the model"),
    "text for a weight": (replaced("x", "state_dict", WEIGHT), "is not a state dict"),
    "a number for a name": (lambda c: c["state_dict"].update({3: 4}), "is not a state dict"),
    "a sparse weight": (
        replaced(torch.ones(16).to_sparse(), "state_dict", WEIGHT),
        "is not a plain tensor",
    ),
    "expanded weights": (with_expanded_weights, "is larger than what is stored of it"),
    "itself inside": (with_itself, "more than 32 levels"),
    "aliases of aliases": (with_aliases, "has more than 1,000,000 values"),
    "too deep": (too_deep, "more than 32 levels"),
    "a tensor in the config": (replaced(torch.ones(1), *CONFIG, "x"), "contains a Tensor"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_checkpoint_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    change, message = DAMAGED[case]
    path = write_checkpoint(tmp_path / "a.ckpt", change)
    with pytest.raises(DataError) as caught:
        clozekit.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_padding_in_a_tokenizer_is_switched_off(tmp_path: Path) -> None:
    def pad(content: Content) -> None:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(content[META_KEY]["tokenizer"])
        tokenizer.enable_padding(length=10**9)
        tokenizer.enable_truncation(1)
        content[META_KEY]["tokenizer"] = tokenizer.to_str()

    path = write_checkpoint(tmp_path / "a.ckpt", pad, "pretraining")
    (prediction,) = clozekit.load(path).predict(["the [MASK]"])
    assert len(prediction["words"]) == 1


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt")
    packed = tmp_path / "b.ckpt"
    with zipfile.ZipFile(path) as read, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for part in read.infolist():
            out.writestr(part.filename, read.read(part) + b"\0" * 10**6)
    with pytest.raises(DataError, match="it is larger unpacked than on disk"):
        load_checkpoint(packed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(write_checkpoint(tmp_path_factory.mktemp("whole") / "a.ckpt"))


NAMES = st.sampled_from(
    [
        *TASKS,
        *DATA,
        "clozekit.models.encoder.Encoder",
        "os.system",
        "sympy.sympify",
        "builtins.eval",
        "subprocess.Popen",
        "torch.hub.load",
        "hydra.utils.get_method",
        "hydra.utils.instantiate",
        "clozekit.config.build.build",
        "clozekit.models.encoder_class.import_module",
        "${oc.env:HOME}",
        "evilmod.X",
    ]
)
KEYS = st.sampled_from(
    ["_target_", "_args_", "_partial_", "_recursive_", "_convert_", "a", "path", "class_weights"]
)
VALUES = st.recursive(
    st.one_of(NAMES, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.fixed_dictionaries({"_target_": NAMES}, optional={"a": inner, "_args_": inner}),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    values=st.dictionaries(
        st.tuples(
            st.sampled_from(["task", "data", "encoder", "callbacks"]),
            st.one_of(KEYS, st.sampled_from(["classifier_dropout", "text_column", "hidden_act"])),
        ),
        VALUES,
        min_size=1,
        max_size=3,
    ),
    arguments=st.dictionaries(
        st.sampled_from(["multi_label", "x", "_target_"]), VALUES, max_size=1
    ),
)
def test_no_drawn_configuration_leads_outside_the_registry(
    whole: Checkpoint,
    values: dict[tuple[str, str], Any],
    arguments: dict[str, Any],
) -> None:
    config: dict[str, Any] = {
        key: dict(group) if isinstance(group, dict) else group
        for key, group in whole.config.items()
    }
    for (group, key), value in values.items():
        config.setdefault(group, {})[key] = value
    drawn = dataclasses.replace(
        whole, config=config, task_arguments=whole.task_arguments | arguments
    )
    allowed = {name.rpartition(".")[0] for name in (*TASKS, *DATA)}
    imported: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        real = stored.import_module

        def watched(name: str) -> Any:
            imported.append(name)
            return real(name)

        def forbidden(*arguments: Any, **options: Any) -> None:
            raise AssertionError("Hydra was asked to instantiate something")

        patch.setattr(stored, "import_module", watched)
        patch.setattr("hydra.utils.instantiate", forbidden)
        patch.setattr("hydra._internal.instantiate._instantiate2.instantiate", forbidden)
        patch.setattr("hydra._internal.utils._locate", forbidden)
        with contextlib.suppress(UserError):
            make_predictor(from_checkpoint(drawn))
    assert set(imported) <= allowed


def test_the_property_would_notice_an_import(whole: Checkpoint, own: str) -> None:
    config = {**whole.config, "task": {"_target_": "own_classes.OwnTask"}}
    drawn = dataclasses.replace(whole, config=config)
    with pytest.raises(ConfigError, match=r"trusted_modules=\[own_classes\]"):
        make_predictor(from_checkpoint(drawn))
    assert own not in sys.modules
    make_predictor(from_checkpoint(drawn, [own]))
    assert own in sys.modules
