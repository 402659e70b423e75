"""What all tests share: a small corpus and a run on it, each made once."""

import fcntl
import gc
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings

from tests.harness.command_server import share_server
from tests.harness.no_fsync import leave_out_fsync
from tests.harness.quick_hydra import make_hydra_quick
from tests.programs.commands import TINY, child_environment, run_clozekit
from tests.programs.texts import make_documents, write_documents

SITE = Path(__file__).parent / "harness" / "site"
HANDLERS = {
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}


def pytest_configure(config: pytest.Config) -> None:
    # Matrices this small are slower on more threads, and child processes read the same variables.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["WANDB_MODE"] = "offline"
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Python imports its `sitecustomize` when a child process starts.
    paths = [str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = child_environment() | {"PYTHONPATH": os.pathsep.join(paths)}
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        # The children of this process are those that run tests.
        share_server(environment)
        return
    os.environ["PYTHONPATH"] = environment["PYTHONPATH"]
    gc.disable()
    import_torchmetrics()
    make_hydra_quick()
    leave_out_fsync()
    # How long an example takes says nothing where other programs share the machine.
    settings.register_profile("no_deadline", deadline=None)
    settings.load_profile("no_deadline")


def import_torchmetrics() -> None:
    """Imports it without the libraries that it imports if they are there; few tests need them."""
    spec = importlib.util.spec_from_file_location("hiding", SITE / "sitecustomize.py")
    assert spec is not None and spec.loader is not None
    hiding = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hiding)
    import torchmetrics  # noqa: F401

    hiding.show()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Whole programs take longest: they come first, so that the processes of a run end together.
    items.sort(key=lambda item: "programs" not in item.path.parts)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Undoes what a command within this process leaves: it ignores signals, as it is to end.

    A program that is started afterwards would inherit that.
    """
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


def pytest_collection_finish() -> None:
    # What all tests have imported lives to the end; the collector need not visit it each time.
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def no_curves() -> Iterator[None]:
    """Leaves out the curves of runs in this process: drawing takes as long as training.

    The runs of commands have them, as `test_run_folder` checks.
    """
    with mock.patch("clozekit.train.plot_curves"):
        yield


@pytest.fixture(scope="session", autouse=True)
def datasets_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps what `datasets` caches out of the home folder; it reads this when it is imported."""
    os.environ["HF_DATASETS_CACHE"] = str(tmp_path_factory.mktemp("datasets_cache"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus folder that the command `clozekit prepare` wrote, for all processes of the run."""
    return made_once(tmp_path_factory, "prepared", prepare_corpus) / "corpus"


def prepare_corpus(folder: Path) -> None:
    write_documents(folder / "corpus.txt", make_documents(400))
    finished = run_clozekit(
        "prepare",
        "source.path=corpus.txt",
        "out=corpus",
        "tokenizer.vocab_size=300",
        "validation_fraction=0.1",
        "workers=1",
        cwd=folder,
    )
    assert finished.returncode == 0, finished.stderr


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """A folder that the first process of the run that needs it makes for all. Only read it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.with_suffix(".new").mkdir()
            make(folder.with_suffix(".new"))
            folder.with_suffix(".new").rename(folder)
    return folder


@pytest.fixture(scope="session")
def reference_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pretraining run that `clozekit train` made, for all processes of the run."""

    def make(folder: Path) -> None:
        finished = run_clozekit(
            "train",
            "name=reference",
            f"data.path={corpus}",
            *TINY,
            "max_steps=100",
            "global_batch_size=16",
            "micro_batch_size=16",
            "validate_every_n_steps=40",
            "optimizer.lr=3e-3",
            cwd=folder,
        )
        assert finished.returncode == 0, finished.stderr

    return made_once(tmp_path_factory, "pretrained", make) / "runs" / "reference"
