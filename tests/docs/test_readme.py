"""The commands of README.md are run in their order, with small files and a small encoder."""

import json
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, commands_in
from tests.programs.commands import TINY, run_clozekit
from tests.programs.texts import make_documents, write_documents, write_labelled

COMMANDS = commands_in((ROOT / "README.md").read_text(encoding="utf-8"))
NOT_RUN = (["benchmark"], ["train", "-m"], ["report"])
"""A suite of data from the hub, and a sweep with its report, which `tests/programs` run."""


def smaller(command: list[str]) -> list[str]:
    """Returns a command with smaller sizes, which come last and therefore hold."""
    if command[0] != "train":
        return command
    batch = ["global_batch_size=8", "micro_batch_size=8", "logger=csv"]
    if "task=classification" in command:
        return [*command, *batch, "max_epochs=1", "data.max_seq_length=48"]
    return [*command, *batch, *TINY, "max_steps=4"]


@pytest.mark.slow
def test_the_commands_run_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    write_documents(tmp_path / "corpus" / "a.txt", make_documents(60))
    for name in ("train.csv", "test.csv", "more.csv"):
        write_labelled(tmp_path / name, 40)
    rows = [json.dumps({"text": "the old horse feeds the cow ."}) + "\n"] * 3
    (tmp_path / "new.jsonl").write_text("".join(rows))
    outputs = []
    for command in COMMANDS:
        if not any(command[: len(verb)] == verb for verb in NOT_RUN):
            finished = run_clozekit(*smaller(command), cwd=tmp_path)
            assert finished.returncode == 0, (command, finished.stderr)
            outputs.append(finished.stdout)
    assert len(outputs) == 9
    assert "The first samples of training" in outputs[1]
    assert "[MASK]" in outputs[3]
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 3
    assert (tmp_path / "sentiment-bert" / "model.safetensors").is_file()
    results = json.loads((tmp_path / "runs" / "first" / "results.json").read_text())
    assert results["step"] == 4, "resuming it trained no further"
