"""Which signals end a run, and that only the first of them does."""

import signal

import pytest

from clozekit.processes.signals import delayed_signals, exit_on_stop_signals, stop_signals

STOP = (signal.SIGTERM, signal.SIGHUP)


def test_a_hangup_ends_a_run_unless_the_command_was_started_to_ignore_it() -> None:
    assert stop_signals() == STOP
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    exit_on_stop_signals()
    assert stop_signals() == (signal.SIGTERM,)
    signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", STOP)
def test_only_the_first_signal_ends_the_process(number: signal.Signals) -> None:
    exit_on_stop_signals()
    with pytest.raises(SystemExit) as ended:
        signal.raise_signal(number)
    assert ended.value.code == 75
    for again in STOP:
        signal.raise_signal(again)


def test_delayed_signals_arrive_when_they_are_let_in_and_at_the_end() -> None:
    exit_on_stop_signals()
    handler = signal.getsignal(signal.SIGTERM)
    with delayed_signals() as call_handlers:
        call_handlers()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            call_handlers()
        call_handlers()
    assert signal.getsignal(signal.SIGTERM) == handler
    with pytest.raises(SystemExit) as ended, delayed_signals():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 75
