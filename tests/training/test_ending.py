"""A process that ends at once writes its output, ends its data workers, and skips finalization."""

import os
import subprocess
import sys
from pathlib import Path

from tests.programs.commands import child_environment

SECONDS = 60


def start(script: str, folder: Path) -> subprocess.Popen[str]:
    head = "from clozekit.training.ending import exit_at_once\n"
    return subprocess.Popen(
        [sys.executable, "-c", head + script],
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_buffered_output_is_written_and_finalization_skipped(tmp_path: Path) -> None:
    script = """
import atexit
atexit.register(print, "finalized")
print("the last line", end="")
exit_at_once(1)
"""
    process = start(script, tmp_path)
    output, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, output, errors) == (1, "the last line", "")


def test_data_workers_are_ended(tmp_path: Path) -> None:
    script = """
import multiprocessing, time
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
worker.start()
print(worker.pid, flush=True)
exit_at_once(1)
"""
    process = start(script, tmp_path)
    # The worker has the same pipe: it is not closed before the worker has ended.
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert int(output) != os.getpid()


def test_a_pipe_that_nobody_reads_does_not_keep_the_process(tmp_path: Path) -> None:
    script = """
import sys, threading, time
threading.Thread(target=sys.stdout.write, args=("x" * 10**6,), daemon=True).start()
time.sleep(1)
exit_at_once(1)
"""
    with start(script, tmp_path) as process:
        assert process.wait(timeout=SECONDS) == 1
