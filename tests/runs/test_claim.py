"""One process trains a run at a time; the lock ends with its process, and not later."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clozekit.errors import ConfigError, UserError
from clozekit.runs.claim import Claim, claimed
from clozekit.runs.folder import RUN_LOCK, refuse_existing

HOLDER = """
import os, sys, time
from pathlib import Path
from clozekit.runs.claim import Claim
claim = Claim(Path(sys.argv[1]))
claim.take()
if os.fork() == 0:  # as a data worker
    # Printed here, because the child has run what follows a fork by now.
    print("held", flush=True)
    time.sleep(100)
    os._exit(0)
time.sleep(100)
"""


def test_a_second_process_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"held\n"
            with pytest.raises(ConfigError, match=rf"trained by process {process.pid} on "):
                Claim(run).take()
            process.kill()
            process.wait()
            # Its forked child still lives.
            claim = Claim(run)
            claim.take()
            claim.release()
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_lock_left_behind_does_not_use_up_the_name(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", resumes=False) as claim:
        claim.take()
    assert (tmp_path / "run" / RUN_LOCK).is_file()
    refuse_existing(tmp_path / "run")


def test_a_file_behind_a_link_is_left_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / RUN_LOCK).symlink_to(mine)
    with pytest.raises(UserError, match=f"{RUN_LOCK} is a symbolic link"):
        Claim(tmp_path / "run").take()
    assert mine.read_text() == "mine"


def test_a_run_that_another_process_has_begun_and_ended_meanwhile_is_refused(
    tmp_path: Path,
) -> None:
    late = Claim(tmp_path / "run")
    with claimed(tmp_path / "run", resumes=True) as claim:
        claim.take()
        (tmp_path / "run" / "run.json").touch()
    with pytest.raises(ConfigError, match="another process has started the run"):
        late.take()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(UserWarning, match=r"\.run\.lock: No locks available: this file system"):
        Claim(tmp_path / "run").take()


def test_only_a_folder_of_its_own_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    for name in ("old", "new"):
        claim = Claim(tmp_path / name)
        claim.take()
        claim.discard()
        claim.release()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
