"""The state of a process at large: that of a forked job should be that of any other."""

import contextlib
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from hydra.core.global_hydra import GlobalHydra

from clozekit.training.rank_connections import PARENT


def is_forked() -> bool:
    """Whether this process is a job that a sweep's server forked."""
    return "clozekit.sweeps.process_title" in sys.modules


def process_state() -> dict[str, Any]:
    main = sys.modules["__main__"]
    assert main.__spec__ is not None
    process = multiprocessing.current_process()
    return {
        "main": [main.__name__, main.__spec__.name, main.__file__],
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "title": Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode().strip(),
        "path": sys.path,
        "flags": str(sys.flags),
        "cwd": str(Path.cwd()),
        "environment": {name: value for name, value in os.environ.items() if name != PARENT},
        "signals": {
            number: str(signal.getsignal(number)).partition(" at ")[0]
            for number in sorted(signal.valid_signals())
        },
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "session": [os.getpid() == os.getsid(0), os.getpid() == os.getpgid(0)],
        "files": inherited_files(),
        "streams": [
            [stream.name, type(stream.buffer.raw).__name__, stream.encoding, stream.line_buffering]
            for stream in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "handlers": [
            handler.stream is sys.stderr
            for name in ("lightning.pytorch", "lightning.fabric")
            for handler in logging.getLogger(name).handlers
            if isinstance(handler, logging.StreamHandler)
        ],
        "process": [process.name, process.daemon, multiprocessing.get_start_method()],
        "cuda": torch.cuda.is_initialized(),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "hydra": GlobalHydra.instance().is_initialized(),
        "faulthandler": faulthandler.is_enabled(),
        "gc": [gc.isenabled(), gc.get_threshold()],
        "locale": locale.setlocale(locale.LC_ALL),
        "limits": [resource.getrlimit(n) for n in range(resource.RLIMIT_MSGQUEUE)],
        "umask": os.umask(os.umask(0o22)),
    }


def inherited_files() -> list[str]:
    """The files that programs started by this process would have open, but for shared memory."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder itself
            if os.get_inheritable(int(descriptor.name)):
                found.append(str(descriptor.readlink()))
    return sorted(file for file in found if not file.startswith("/dev/shm/"))
