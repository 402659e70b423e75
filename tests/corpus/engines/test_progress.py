import re
import time

import pytest

from clozekit.corpus.engines import progress


def test_a_terminal_shows_a_bar_that_ends_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.show_progress("read", 7, lambda: 7):
        pass
    written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"read .*7/7", written.splitlines()[-1])


def test_lines_tell_now_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    done = iter(range(10**6))
    with progress.show_progress("read", 10**6, lambda: next(done)):
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert [line.split(" of ")[0] for line in lines[:3]] == ["read: 0", "read: 1", "read: 2"]


def test_what_has_failed_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with progress.show_progress("read", 3, lambda: 3):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert capsys.readouterr().err == ""
