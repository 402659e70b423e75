"""The distributions are whole: the wheel is enough for a user's own experiment and task."""

import json
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit import __version__
from clozekit.runs.checkpoint_file import load_checkpoint
from tests.programs.commands import TINY, read_rows, run_clozekit

CHECKOUT = Path(__file__).parents[2]
FOLDERS = ("src", "conf", "tests", "docs", "experiments", ".ci", ".github")
FILES = (
    *("README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *("Makefile", "constraints.txt", "mkdocs.yml", "pyproject.toml"),
)

OWN_TASK = '''
"""A task of one's own: pretraining that tells its losses under another name."""

from clozekit.tasks.pretraining import PretrainingModule


class LoudPretraining(PretrainingModule):
    def __init__(self, volume, **arguments):
        super().__init__(**arguments)
        self.volume = volume

    def step_metrics(self, step, sums):
        metrics = super().step_metrics(step, sums)
        return {**metrics, "loudness": self.volume * metrics["loss"]}
'''

OWN_EXPERIMENT = """# @package _global_
defaults:
  - override /schedule: constant

max_steps: 4
global_batch_size: 8
micro_batch_size: 8
task:
  _target_: own_task.LoudPretraining
  volume: 11
trainer:
  log_every_n_steps: 2
logger:
  wandb: null
"""


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution, built from a copy of the checkout's files."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in CHECKOUT.iterdir():
        if path.name in FOLDERS:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.name in (*FILES, ".gitignore"):
            shutil.copy(path, folder)
    (folder / "conf" / "local").mkdir(exist_ok=True)
    (folder / "conf" / "local" / "default.yaml").write_text("seed: 7\n")
    built = build("sdist", folder)
    with tarfile.open(built) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel, built from the source distribution."""
    return build("wheel", sdist)


def build(target: str, folder: Path) -> Path:
    """Builds a distribution; returns its file."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=100)
    (built,) = (folder / "dist").glob("clozekit-*")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment, with the wheel and what this one has beside clozekit."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)]
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=100)
    # Through a line in a .pth file the .pth files of that folder itself are not read, so that the
    # checkout, which is installed there as editable, stays out.
    (site_packages,) = folder.glob("lib/python3*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.slow
def test_a_users_own_experiment_and_task_run_from_the_wheel(
    python: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "own_task.py").write_text(OWN_TASK)
    (tmp_path / "own_conf" / "experiment").mkdir(parents=True)
    (tmp_path / "own_conf" / "experiment" / "mine.yaml").write_text(OWN_EXPERIMENT)
    finished = run_clozekit(
        "train",
        "--config-dir",
        "own_conf",
        "experiment=mine",
        "name=own",
        f"data.path={corpus}",
        *TINY,
        cwd=tmp_path,
        command=(str(python.with_name("clozekit")),),
    )
    assert finished.returncode == 0, finished.stderr
    run = tmp_path / "runs" / "own"
    rows = [row for row in read_rows(run / "metrics.csv") if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == [2, 4]
    for row in rows:
        assert float(row["train/loudness"]) == pytest.approx(11 * float(row["train/loss"]))
    assert load_checkpoint(run).config["task"] == {
        "_target_": "own_task.LoudPretraining",
        "volume": 11,
    }
    assert json.loads((run / "run.json").read_text())["commit"] is None, "it is no checkout"


@pytest.mark.slow
def test_code_and_configuration_are_the_wheels(python: Path, tmp_path: Path) -> None:
    code = (
        "import clozekit; from clozekit.config.composition.location import conf_dir; "
        "print(clozekit.__file__); print(conf_dir())"
    )
    finished = subprocess.run(
        [str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (package,) = python.parents[1].glob("lib/python3*/site-packages/clozekit")
    assert finished.stdout.splitlines() == [str(package / "__init__.py"), str(package / "conf")]
    shipped = {path.relative_to(package / "conf") for path in (package / "conf").rglob("*.yaml")}
    expected = {path.relative_to(CHECKOUT / "conf") for path in (CHECKOUT / "conf").rglob("*.yaml")}
    # The settings of the machine that built the wheel stay there.
    assert shipped == {path for path in expected if path.parts[0] != "local"}
    assert (package / "py.typed").is_file()


@pytest.mark.slow
def test_a_users_choice_is_among_those_that_are_told(python: Path, tmp_path: Path) -> None:
    (tmp_path / "own_conf" / "experiment").mkdir(parents=True)
    (tmp_path / "own_conf" / "experiment" / "mine.yaml").write_text(OWN_EXPERIMENT)
    command = (str(python.with_name("clozekit")),)
    finished = run_clozekit(
        "train", "--config-dir", "own_conf", "experiment=min", cwd=tmp_path, command=command
    )
    assert finished.returncode == 2
    assert finished.stderr.count("\n") == 1
    assert "experiment=min does not exist; the choices are" in finished.stderr
    assert "demo_pretraining" in finished.stderr and "mine" in finished.stderr


@pytest.mark.slow
def test_the_source_distribution_has_what_a_checkout_has(sdist: Path) -> None:
    expected = {path for name in FOLDERS for path in files_in(CHECKOUT / name, CHECKOUT)}
    expected |= {Path(name) for name in (*FILES, ".gitignore")}
    assert {*files_in(sdist, sdist)} - {Path("PKG-INFO")} - dist_of(sdist) == {
        path for path in expected if path.parts[:2] != ("conf", "local")
    }


def files_in(folder: Path, root: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root)


def dist_of(folder: Path) -> set[Path]:
    """The wheel that is built in the folder."""
    return {*files_in(folder / "dist", folder)}


@pytest.mark.slow
def test_the_wheel_knows_its_version(python: Path, tmp_path: Path) -> None:
    command = (str(python.with_name("clozekit")),)
    finished = run_clozekit("--version", cwd=tmp_path, command=command)
    assert finished.stdout == f"clozekit {__version__}\n", finished.stderr
