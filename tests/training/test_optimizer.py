"""The optimizer that a run is given."""

from pathlib import Path

import pytest

from clozekit.config.train import TrainConfig
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.training.assembly import make_module
from tests.programs.commands import TINY, train_config


def optimizer_groups(config: TrainConfig, corpus: Path) -> list[dict[str, object]]:
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, max_seq_length=48
    )
    encoder = config.encoder.model_copy(update={"vocab_size": data.vocab_size})
    optimizers = make_module(config, encoder, data, 10).configure_optimizers()
    assert isinstance(optimizers, dict)
    groups: list[dict[str, object]] = optimizers["optimizer"].param_groups
    return groups


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_the_optimizer_is_fused_in_every_precision(precision: str, corpus: Path) -> None:
    config = train_config(
        "name=a", f"data.path={corpus}", *TINY, "max_steps=10", f"trainer.precision={precision}"
    )
    groups = optimizer_groups(config, corpus)
    assert [group["fused"] for group in groups] == [True, True]
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert [group["initial_lr"] for group in groups] == [1e-4, 1e-4]
