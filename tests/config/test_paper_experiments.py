"""The experiments of benchmarks are those of the BERT paper."""

import pytest

from tests.config.given import FILES
from tests.config.hub_folders import READY
from tests.programs.commands import compose_values

GLUE_METRICS = {
    "cola": "matthews_correlation",
    "stsb": "spearman",
    **dict.fromkeys(("mrpc", "qqp"), "f1"),
    **dict.fromkeys(("sst2", "mnli", "qnli", "rte", "wnli"), "accuracy"),
}

PAPER = {
    **{f"glue/{name}": (3, 32, 2e-5, metric) for name, metric in GLUE_METRICS.items()},
    "squad": (3, 32, 5e-5, "f1"),
    "squad_v2": (2, 48, 5e-5, "f1"),
    "swag": (3, 16, 2e-5, "accuracy"),
    "conll2003": (3, 32, 5e-5, "f1"),
}
"""Epochs, batch, learning rate and metric of each benchmark's fine-tuning in the paper."""


@pytest.mark.parametrize("name", PAPER)
def test_an_experiment_is_the_papers(name: str) -> None:
    values = compose_values("train", "name=mine", f"experiment={name}")
    checkpoints = values["callbacks"]["checkpoints"]
    assert (
        values["max_epochs"],
        values["global_batch_size"],
        values["optimizer"]["lr"],
        checkpoints["monitor"],
        checkpoints["mode"],
    ) == (*PAPER[name][:3], f"validation/{PAPER[name][3]}", "max")
    assert values["global_batch_size"] % values["micro_batch_size"] == 0


def test_every_benchmark_but_the_second_way_of_answering_has_an_experiment() -> None:
    assert set(PAPER) == set(READY) - {"squad_bio"}
    assert {f"experiment/{name}.yaml" for name in PAPER} <= set(FILES)
