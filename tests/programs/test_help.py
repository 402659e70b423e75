"""What the command says of itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from clozekit import __version__
from clozekit.cli import VERBS, main
from clozekit.config.composition.location import conf_dir
from clozekit.verbs import WORK
from tests.programs.commands import COMMAND, run_clozekit


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_help_lists_every_verb_with_an_example(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["clozekit", *arguments])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    shown = capsys.readouterr().out
    assert VERBS.keys() == WORK.keys()
    for name, verb in VERBS.items():
        assert f"  {name} " in shown and verb.summary in shown
        assert verb.example.startswith(f"clozekit {name} ") and verb.example in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_entry_configuration(verb: str) -> None:
    assert (conf_dir() / f"{verb}.yaml").is_file()


def test_the_help_imports_nothing_heavy(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "clozekit", "--help"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "clozekit.cli" in imported
    assert not imported & {"hydra", "omegaconf", "torch", "lightning", "pydantic", "numpy"}


def test_the_module_and_the_command_are_the_same(tmp_path: Path) -> None:
    script = str(Path(sys.executable).with_name("clozekit"))
    by_script = run_clozekit("--help", cwd=tmp_path, command=(script,))
    by_module = run_clozekit("--help", cwd=tmp_path, command=COMMAND)
    assert by_script.returncode == by_module.returncode == 0
    assert by_script.stdout == by_module.stdout != ""
    assert by_script.stderr == by_module.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["-V"], *([verb, "--version"] for verb in VERBS), ["train", "name=a", "-V"]],
    ids=" ".join,
)
def test_the_version_is_clozekits(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["clozekit", *arguments])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert capsys.readouterr().out == f"clozekit {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["clozekit", verb, "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        main()
    assert "clozekit" in capsys.readouterr().out


def test_a_verbs_help_shows_its_groups_and_keys(tmp_path: Path) -> None:
    finished = run_clozekit("train", "--help", cwd=tmp_path)
    assert finished.returncode == 0 and finished.stderr == ""
    assert "encoder: base, default, ettin_150m, ettin_17m, ettin_32m" in finished.stdout
    assert "experiment: conll2003, continue, demo_pretraining, demo_sentiment" in finished.stdout
    assert "micro_batch_size: 32" in finished.stdout
    assert not list(tmp_path.iterdir())
