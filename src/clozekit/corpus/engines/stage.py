"""A stage of `clozekit prepare`: tasks, and the files that tell which of them are done or failed.

The files are all that a process on another machine shares with the one that waits for it.
"""

import json
import secrets
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from clozekit.corpus.work_folder import Work
from clozekit.errors import ConfigError, DataError, StoreError, UserError, WorkerError
from clozekit.files import write_json, write_text

Task: TypeAlias = Callable[[Work, int], None]

_TOKEN_FILE = "token"
_KINDS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (UserError, ConfigError, DataError, StoreError, WorkerError)
}


@dataclass(frozen=True)
class Stage:
    """Tasks that may run at the same time.

    Attributes:
        title: The name of the stage for the progress display.
        task: The function to run, with the work folder and the task's number. A process on another
            machine imports it by its name.
        work: The work folder.
        num_tasks: The number of tasks, which is independent of the number of workers.
        token: What the work folder's token file must say. A lost process that outlives the erasure
            of the folder does not mark tasks of the new configuration as done.
    """

    title: str
    task: Task
    work: Work
    num_tasks: int
    token: str

    @classmethod
    def of(cls, title: str, task: Task, work: Work, num_tasks: int) -> "Stage":
        """Begins or continues a stage. The errors of an earlier run are removed."""
        token_file = work.folder / _TOKEN_FILE
        if not token_file.exists():
            write_text(token_file, secrets.token_hex(8))
        stage = cls(title, task, work, num_tasks, token_file.read_text())
        for name in _names(stage._failures):
            (stage._failures / name).unlink(missing_ok=True)
        return stage

    def run(self, number: int) -> None:
        """Runs a task in this process, and writes down that it is done, or why it failed."""
        if not self._is_current():
            return
        try:
            self.task(self.work, number)
        except Exception as error:
            # On a full disk, the error itself is what matters.
            with suppress(OSError):
                if self._is_current():
                    write_json(_created(self._failures) / f"{number:05d}.json", _to_json(error))
            raise
        if self._is_current():
            (_created(self._completions) / f"{number:05d}").touch()

    def is_done(self, number: int) -> bool:
        """Whether a task is done."""
        return (self._completions / f"{number:05d}").exists()

    def done(self) -> set[int]:
        """Returns the tasks that are done."""
        numbers = {int(name) for name in _names(self._completions) if name.isdecimal()}
        return {number for number in numbers if number < self.num_tasks}

    def missing(self) -> list[int]:
        """Returns the tasks that are not done yet, ascending."""
        done = self.done()
        return [number for number in range(self.num_tasks) if number not in done]

    def refresh(self) -> None:
        """Makes a network file system list the files that other machines have written."""
        for folder in (self._completions, self._failures):
            probe = _created(folder) / ".probe"
            probe.touch()
            probe.unlink(missing_ok=True)

    def first_failure(self) -> Exception | None:
        """Returns the error of the failed task with the lowest number; None if none failed."""
        numbers = [name for name in _names(self._failures) if name.endswith(".json")]
        if not numbers:
            return None
        first = min(numbers, key=lambda name: int(name.removesuffix(".json")))
        return _from_json(json.loads((self._failures / first).read_text(encoding="utf-8")))

    def _is_current(self) -> bool:
        try:
            return (self.work.folder / _TOKEN_FILE).read_text() == self.token
        except FileNotFoundError:
            return False

    @property
    def _completions(self) -> Path:
        return self.work.logs(self.task.__name__) / "completions"

    @property
    def _failures(self) -> Path:
        return self.work.logs(self.task.__name__) / "failures"


def _created(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _names(folder: Path) -> list[str]:
    """Returns the names of complete files, without temporary ones."""
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []


def _to_json(error: Exception) -> dict[str, Any]:
    if isinstance(error, OSError):
        values = [error.errno, error.strerror, error.filename]
        names = None if error.errno is None else [str(v) if v is not None else None for v in values]
        return {"kind": type(error).__name__, "message": str(error), "os": names}
    for kind in type(error).__mro__:
        if kind.__name__ in _KINDS:
            return {"kind": kind.__name__, "message": str(error)}
    lines = traceback.format_exception(error)
    return {"kind": type(error).__name__, "message": str(error), "traceback": "".join(lines)}


def _from_json(values: dict[str, Any]) -> Exception:
    kind, message = values["kind"], values["message"]
    if "os" in values:
        if values["os"] is None:
            # The message of such an error begins with the name of its kind.
            raised: Exception = type(kind, (OSError,), {})(message)
            return raised
        number, reason, path = values["os"]
        return OSError(int(number), reason, path)
    if kind in _KINDS:
        return _KINDS[kind](message)
    unexpected = RuntimeError(f"{kind}: {message}")
    unexpected.add_note(values["traceback"])
    return unexpected
