"""Files of conf/, schemas and constructors say the same keys and defaults."""

import inspect
from typing import Any

import pytest
from hydra.utils import get_class
from lightning.pytorch import Callback
from pydantic import BaseModel, TypeAdapter

from clozekit.config.composition.build import build
from clozekit.config.encoder import EncoderConfig
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.predict import PredictConfig
from clozekit.config.prepare import PrepareConfig
from clozekit.config.registry import DATA
from clozekit.config.report import ReportConfig
from clozekit.config.schedule import ScheduleConfig
from clozekit.config.train import TrainConfig
from clozekit.config.train_groups import CompileConfig, FineTuningConfig
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.tasks.base import TaskModule
from tests.config.given import TASKS, Given, data_choice, read
from tests.config.hub_folders import READY


def constructor_parameters(kind: type, base: type = object) -> dict[str, inspect.Parameter]:
    """What a class takes by name, with what it passes on to the constructors of its bases.

    Args:
        kind: The class.
        base: The base at which the chain of constructors ends; what it takes is left out.
    """
    found: dict[str, inspect.Parameter] = {}
    for each in kind.__mro__[: kind.__mro__.index(base)]:
        if "__init__" not in vars(each):
            continue
        _, *parameters = inspect.signature(each.__init__).parameters.values()  # type: ignore[misc]
        named = {p.name: p for p in parameters if p.kind is not p.VAR_KEYWORD}
        found = {**named, **found}
        if len(named) == len(parameters):
            break
    return found


@pytest.mark.parametrize("target", DATA)
def test_a_datamodule_takes_the_options_of_its_schema(target: str) -> None:
    kind = get_class(target)
    schema = DATA[target]
    assert kind.config_class is schema
    if issubclass(kind, LabelledDataModule):
        assert issubclass(schema, kind.features_class.config_class)


@pytest.mark.parametrize(
    "schema", list(dict.fromkeys(DATA.values())), ids=lambda schema: schema.__name__
)
def test_every_option_says_what_it_means(schema: type[BaseModel]) -> None:
    docstrings = "\n".join(each.__doc__ or "" for each in schema.__mro__)
    for key in schema.model_fields:
        assert f"\n        {key}: " in docstrings, key


@pytest.mark.parametrize(
    ("name", "target"),
    [(data_choice(target), target) for target in DATA],
)
def test_a_data_file_says_the_defaults(name: str, target: str, given: Given) -> None:
    config = given.train(data=name).data
    values = config.model_extra or {}
    assert config.target == target
    assert values.keys() == DATA[target].model_fields.keys()
    for key, field in DATA[target].model_fields.items():
        if not field.is_required():
            default = field.get_default()
            nested = default.model_dump() if isinstance(default, BaseModel) else default
            assert values[key] == nested, key


@pytest.mark.parametrize("name", READY)
def test_a_file_of_the_hubs_data_begins_with_that_of_its_task(name: str, given: Given) -> None:
    config = given.train(data=name)
    task = config.task.target.split(".")[-2]
    assert config.data.target == read(f"data/{task}.yaml")["_target_"]
    first, last = read(f"data/{name}.yaml")["defaults"]
    assert last == "_self_"
    expected = "squad" if name == "squad_bio" else task
    assert first == (f"/data/{task}@_here_" if name.startswith("glue/") else expected)
    assert (config.data.model_extra or {}).keys() == DATA[config.data.target].model_fields.keys()


@pytest.mark.parametrize("name", TASKS)
def test_a_task_file_says_the_defaults(name: str, given: Given) -> None:
    config = given.train(data=name)
    values = config.task.model_extra or {}
    parameters = constructor_parameters(get_class(config.task.target), TaskModule)
    known_by_the_data = set(build("data", config.data.arguments()).task_arguments())
    if name == "pretraining":
        # Given only where it is not the default, so that a user's own task need not take it.
        known_by_the_data.add("pair_objective")
    assert values.keys() | known_by_the_data | {"encoder"} == parameters.keys()
    assert not values.keys() & known_by_the_data
    for key, value in values.items():
        assert parameters[key].default == value, key


@pytest.mark.parametrize("name", ["checkpoints", "early_stopping"])
def test_a_callbacks_file_says_the_defaults(name: str) -> None:
    values = read(f"callbacks/{name}.yaml")[name]
    parameters = constructor_parameters(get_class(values.pop("_target_")), Callback)
    required = {key for key, p in parameters.items() if p.default is inspect.Parameter.empty}
    assert values.keys() == parameters.keys()
    for key in values.keys() - required:
        assert values[key] == parameters[key].default, key


def plain(file: str) -> dict[str, Any]:
    values = read(file)
    values.pop("defaults", None)
    values.pop("_target_", None)
    return {key: value for key, value in values.items() if value != "???"}


def test_the_encoders_defaults_are_those_of_its_file() -> None:
    assert read("encoder/default.yaml") == EncoderConfig().model_dump(by_alias=True)


def test_the_entries_defaults_are_those_of_their_files() -> None:
    for file, schema in (
        ("train.yaml", TrainConfig),
        ("prepare.yaml", PrepareConfig),
        ("evaluate.yaml", EvaluateConfig),
        ("predict.yaml", PredictConfig),
        ("export.yaml", ExportConfig),
        ("report.yaml", ReportConfig),
    ):
        for key, value in plain(file).items():
            field = schema.model_fields[key]
            if not field.is_required():
                default = TypeAdapter(Any).dump_python(field.get_default(), mode="json")
                assert default == value, (file, key)


def test_the_schedules_defaults_are_none_of_a_warmup_and_a_line_to_zero() -> None:
    assert plain("schedule/constant.yaml") == ScheduleConfig(decay="constant").model_dump()
    assert plain("schedule/warmup_linear.yaml") == ScheduleConfig(warmup_ratio=0.1).model_dump()


def test_the_encoder_is_not_compiled_unless_told_otherwise() -> None:
    assert plain("compile/off.yaml") == CompileConfig().model_dump()
    assert plain("compile/default.yaml") == {"enabled": True}


def test_an_encoder_is_fine_tuned_as_in_the_paper_unless_told_otherwise() -> None:
    assert plain("train.yaml")["fine_tuning"] == FineTuningConfig().model_dump()
