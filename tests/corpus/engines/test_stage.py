"""The files of a stage: what is done, what failed, and how an error comes back from them."""

import gzip
from pathlib import Path

import pytest

from clozekit.corpus.engines.stage import Stage
from clozekit.corpus.work_folder import Work
from clozekit.errors import ConfigError, DataError, of_os_error
from tests.corpus.made_texts import config

ERRORS: dict[int, Exception] = {
    3: DataError("a.jsonl:3 is not JSON"),
    4: OSError(28, "No space left on device", "/disk/a"),
    5: gzip.BadGzipFile("Not a gzipped file"),
    6: KeyError("word"),
}


def fail(work: Work, number: int) -> None:
    if number in ERRORS:
        raise ERRORS[number]


def stage_in(folder: Path, num_tasks: int = 10) -> Stage:
    work = Work.of(config(folder, {"format": "text", "path": "a.txt"}))
    work.folder.mkdir(exist_ok=True)
    return Stage.of("read", fail, work, num_tasks)


def failure(stage: Stage, number: int) -> Exception:
    """The error of a task, as another process reads it."""
    with pytest.raises(type(ERRORS[number])):
        stage.run(number)
    found = stage.first_failure()
    assert found is not None
    return found


def test_what_is_done_is_known_beyond_five_digits(tmp_path: Path) -> None:
    stage = stage_in(tmp_path, 100_003)
    for number in (0, 99_999, 100_002):
        stage.run(number)
    assert stage.done() == {0, 99_999, 100_002}
    assert stage.is_done(100_002)
    assert not stage.is_done(10_000)
    assert stage.missing() == [n for n in range(100_003) if n not in (0, 99_999, 100_002)]
    # A smaller stage of the same name.
    assert stage_in(tmp_path, 5).missing() == [1, 2, 3, 4]


def test_the_first_error_comes_back_and_is_forgotten_at_the_next_start(tmp_path: Path) -> None:
    stage = stage_in(tmp_path)
    assert stage.first_failure() is None
    assert isinstance(failure(stage, 6), RuntimeError)
    told = failure(stage, 3)
    assert isinstance(told, DataError)
    assert str(told) == "a.jsonl:3 is not JSON"
    assert stage.done() == set()
    assert stage_in(tmp_path).first_failure() is None


@pytest.mark.parametrize("number", [4, 5])
def test_an_error_of_the_system_reads_the_same(tmp_path: Path, number: int) -> None:
    told, original = failure(stage_in(tmp_path), number), ERRORS[number]
    assert isinstance(told, OSError) and isinstance(original, OSError)
    assert of_os_error(told) == of_os_error(original)


def test_an_unexpected_error_brings_its_traceback(tmp_path: Path) -> None:
    told = failure(stage_in(tmp_path), 6)
    assert str(told) == "KeyError: 'word'"
    assert "raise ERRORS[number]" in told.__notes__[0]


def test_an_error_of_a_subclass_is_of_the_nearest_known_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SpecialError(ConfigError):
        pass

    monkeypatch.setitem(ERRORS, 0, SpecialError("a key"))
    assert type(failure(stage_in(tmp_path), 0)) is ConfigError


def test_a_process_of_an_erased_folder_marks_nothing(tmp_path: Path) -> None:
    old = stage_in(tmp_path)
    (tmp_path / ".work" / "token").unlink()
    new = stage_in(tmp_path)
    old.run(0)
    assert new.done() == set()
    new.run(0)
    assert new.done() == {0}
