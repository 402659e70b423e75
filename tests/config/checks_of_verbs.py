"""What the entry configurations of verbs, and the groups of `prepare`, make."""

from pathlib import Path

from clozekit.config.benchmark import BenchmarkConfig
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.inspect import InspectConfig
from clozekit.config.merge import MergeConfig
from clozekit.config.predict import PredictConfig
from clozekit.config.prepare import PrepareConfig, WordPieceConfig
from clozekit.config.report import ReportConfig
from tests.config.given import Given
from tests.config.hub_folders import READY
from tests.programs.commands import compose_values, train_config


def check_prepare(name: str, given: Given) -> None:
    values = compose_values("prepare", "source.path=a.txt", f"out={given.folder}")
    assert PrepareConfig.model_validate(values).tokenizer == WordPieceConfig()


def check_predict(name: str, given: Given) -> None:
    values = compose_values("predict", "checkpoint=runs/a", "text=b")
    assert PredictConfig.model_validate(values) == PredictConfig(checkpoint="runs/a", text="b")


def check_merge(name: str, given: Given) -> None:
    values = compose_values("merge", "checkpoints=[runs/a,runs/b]", "out=c")
    config = MergeConfig.model_validate(values)
    assert config.checkpoints == ("runs/a", "runs/b") and config.weights is None


def check_report(name: str, given: Given) -> None:
    values = compose_values("report", "folder=runs/a")
    assert ReportConfig.model_validate(values) == ReportConfig(folder=Path("runs/a"))


def check_inspect(name: str, given: Given) -> None:
    values = compose_values("inspect", "data.path=a")
    config = InspectConfig.model_validate(values)
    assert (config.examples, config.split, config.out) == (5, "train", None)
    assert config.data == train_config("name=inspect", "data.path=a", "max_steps=1").data


def check_evaluate(name: str, given: Given) -> None:
    values = compose_values("evaluate", "checkpoint=runs/a")
    assert EvaluateConfig.model_validate(values) == EvaluateConfig(checkpoint="runs/a")


def check_benchmark(name: str, given: Given) -> None:
    config = BenchmarkConfig.model_validate(
        compose_values("benchmark", "suite=local", "checkpoint=runs/a")
    )
    assert config == BenchmarkConfig(suite=config.suite, checkpoint="runs/a")


def check_suite(name: str, given: Given) -> None:
    values = compose_values("benchmark", f"suite={name}", "checkpoint=runs/a")
    suite = BenchmarkConfig.model_validate(values).suite
    if name == "local":
        assert suite.tasks == {}
        return
    for task in suite.chosen().values():
        assert task.experiment is not None and task.experiment in READY
        checkpoints = compose_values("train", "name=a", f"experiment={task.experiment}")[
            "callbacks"
        ]["checkpoints"]
        assert checkpoints["monitor"] == f"validation/{task.metric}"
    assert suite.epochs == 3 and len(suite.rates) > 1


def check_export(name: str, given: Given) -> None:
    values = compose_values("export", "checkpoint=runs/a", "out=b")
    assert ExportConfig.model_validate(values) == ExportConfig(checkpoint="runs/a", out=Path("b"))


def check_source(name: str, given: Given) -> None:
    path = [] if name == "movie_reviews" else ["source.path=a"]
    values = compose_values("prepare", f"source={name}", *path, "out=b")
    source = PrepareConfig.model_validate(values).source
    assert source.format == name
    assert source.model_dump() == values["source"], "the file says every key"


def check_executor(name: str, given: Given) -> None:
    values = compose_values("prepare", f"executor={name}", "source.path=a", "out=b")
    executor = PrepareConfig.model_validate(values).executor
    assert executor.engine == name
    assert executor.model_dump() == values["executor"], "the file says every key"


def check_tokenizer(name: str, given: Given) -> None:
    paths = {"existing": ["tokenizer.path=vocab.txt"], "extend": ["tokenizer.base=bert"]}
    path = paths.get(name, [])
    values = compose_values(
        "prepare", f"tokenizer={name}", *path, "source=text", "source.path=a", "out=b"
    )
    tokenizer = PrepareConfig.model_validate(values).tokenizer
    assert tokenizer.model_dump() == values["tokenizer"], "the file says every key"


def check_dedup(name: str, given: Given) -> None:
    values = compose_values("prepare", f"dedup={name}", "source.path=a", "out=b")
    dedup = PrepareConfig.model_validate(values).dedup
    assert dedup.method == name
    assert dedup.model_dump() == values["dedup"], "the file says every key"
    assert dedup == type(dedup)(), "the file says the defaults"
