"""Standard output that is closed or full: the commands end quietly, as others do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs.commands import COMMAND, child_environment

HELP = (*COMMAND, "--help")


def run(
    command: tuple[str, ...], redirection: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a command with a redirection of the shell; the exit code is that of the command."""
    shell = f'"$@" {redirection}; echo "code ${{PIPESTATUS[0]}}" >code'
    return subprocess.run(
        ["bash", "-c", shell, "bash", *command],
        cwd=folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def code(folder: Path) -> int:
    return int((folder / "code").read_text().split()[1])


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("train", "--help")])
def test_a_reader_that_has_ended_ends_the_command_quietly(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    finished = run((*COMMAND, *arguments), "| true", tmp_path)
    assert finished.stderr == ""
    assert code(tmp_path) == 141


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    finished = run(HELP, ">/dev/full", tmp_path)
    assert finished.stderr == "clozekit: standard output: No space left on device\n"
    assert code(tmp_path) == 1


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_closed_stream_is_the_null_device(redirection: str, tmp_path: Path) -> None:
    finished = run(HELP, redirection, tmp_path)
    assert code(tmp_path) == 0
    assert ("usage: clozekit" in finished.stdout) == (">&-" not in redirection.replace("2>&-", ""))
    assert finished.stderr == ""


def test_an_error_message_that_nobody_can_read_changes_no_exit_code(tmp_path: Path) -> None:
    run((*COMMAND, "frobnicate"), "2>&-", tmp_path)
    assert code(tmp_path) == 2


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "from clozekit.output.standard_streams import open_standard_streams\n"
        "import os\n"
        "open_standard_streams()\n"
        "file = os.open('opened', os.O_CREAT | os.O_WRONLY)\n"
        "os.write(2, b'lost')\n"
        "raise SystemExit(file < 3)\n"
    )
    run((sys.executable, "-c", script), "<&- >&- 2>&-", tmp_path)
    assert code(tmp_path) == 0
    assert os.path.getsize(tmp_path / "opened") == 0  # noqa: PTH202
