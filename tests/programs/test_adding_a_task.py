"""A task of a user's own, made of the files that the guide shows and run by its commands."""

import json
import random
import re
import shlex
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, write_files
from tests.programs.commands import run_clozekit
from tests.programs.texts import TOPICS, make_sentence, write_csv

GUIDE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
SECTION = GUIDE.split("## A task\n")[1].split("\n## ")[0]


def write_rows(path: Path) -> None:
    draw = random.Random(0)
    rows = []
    for index in range(400):
        text = make_sentence(draw.choice(list(TOPICS)), draw)
        rows.append((text if index % 2 else " ".join(text.split()[:2]),))
    write_csv(path, ("text",), rows)


@pytest.mark.slow
def test_the_guides_task_is_trained_evaluated_and_predicted_with(
    reference_run: Path, tmp_path: Path
) -> None:
    assert len(write_files(SECTION, tmp_path)) == 3
    write_rows(tmp_path / "rows.csv")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(reference_run)
    (commands,) = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)
    lines = commands.splitlines()
    assert len(lines) == 3
    outputs = []
    for line in lines:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "train":
            arguments += ["data.max_seq_length=48", "optimizer.lr=5e-3", "global_batch_size=8"]
            arguments.append("logger=csv")
        finished = run_clozekit(*arguments, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
        outputs.append(finished.stdout)
    results = json.loads((tmp_path / "runs" / "endings" / "results.json").read_text())
    assert results["validation/accuracy"] > 0.8, "long texts are whole"
    assert "accuracy" in outputs[1]
    assert outputs[2].startswith("the sailor sails the ship\n")
