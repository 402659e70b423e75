"""The optimizer that a run is given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clozekit.config.composition.build import build
from clozekit.config.train import TrainConfig
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.errors import ConfigError
from clozekit.optim.muon import MuonWithAdamW
from clozekit.training.assembly import make_module
from clozekit.training.memory import gradients_and_optimizer
from clozekit.training.optimizer import OptimizerFactory
from tests.programs.commands import TINY, train_config


class SignOptimizer(torch.optim.Optimizer):
    """A user's own: the sign of a running average, as Lion's (Chen et al., 2023)."""

    def __init__(self, params: Any, lr: float, weight_decay: float = 0.0, beta: float = 0.9):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "beta": beta})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                average: Tensor = self.state[parameter].setdefault("average", parameter * 0)
                average.lerp_(parameter.grad, 1 - group["beta"])
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(average.sign(), alpha=group["lr"])


def optimizer_of(config: TrainConfig, corpus: Path) -> torch.optim.Optimizer:
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, max_seq_length=48
    )
    encoder = config.encoder.model_copy(update={"vocab_size": data.vocab_size})
    optimizers = make_module(config, encoder, data, 10).configure_optimizers()
    assert isinstance(optimizers, dict)
    optimizer: torch.optim.Optimizer = optimizers["optimizer"]
    return optimizer


def config_with(corpus: Path, *overrides: str) -> TrainConfig:
    return train_config("name=a", f"data.path={corpus}", *TINY, "max_steps=10", *overrides)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_the_optimizer_is_fused_in_every_precision(precision: str, corpus: Path) -> None:
    config = config_with(corpus, f"trainer.precision={precision}")
    groups = optimizer_of(config, corpus).param_groups
    assert [group["fused"] for group in groups] == [True, True]
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert [group["initial_lr"] for group in groups] == [1e-4, 1e-4]


def test_muon_and_adamw_have_the_same_rate_and_decay(corpus: Path) -> None:
    config = config_with(corpus, "optimizer=muon", "fine_tuning.layerwise_lr_decay=0.5")
    optimizer = optimizer_of(config, corpus)
    assert isinstance(optimizer, MuonWithAdamW)
    rates = {group["use_muon"]: set() for group in optimizer.param_groups}
    for group in optimizer.param_groups:
        rates[group["use_muon"]].add(group["initial_lr"])
    layers = config.encoder.num_hidden_layers
    assert rates[True] == {1e-4 * 0.5**depth for depth in range(1, layers + 1)}
    assert rates[False] == {1e-4 * 0.5**depth for depth in range(layers + 2)}


OWN = (
    ["~optimizer", f"+optimizer={{_target_: {__name__}.SignOptimizer, lr: 1e-3, beta: 0.8}}"],
    [
        f"optimizer._target_={__name__}.SignOptimizer",
        *(f"~optimizer.{key}" for key in ("betas", "eps", "fused", "weight_decay")),
    ],
)


@pytest.mark.parametrize("given", OWN)
def test_an_optimizer_of_ones_own_is_named_by_its_class(given: list[str], corpus: Path) -> None:
    config = config_with(corpus, *given, "+optimizer.weight_decay=0.1")
    optimizer = optimizer_of(config, corpus)
    assert type(optimizer).__name__ == "SignOptimizer"
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


WRONG = {
    "fused=x": "optimizer.fused=x: it should be true or false or null",
    "fused=1": "optimizer.fused=1: it should be true or false or null",
    "amsgrad=x": "optimizer.amsgrad=x: it should be true or false",
    "eps=true": "optimizer.eps=true: it should be a number of at least 0",
    "eps=[1]": "optimizer.eps=[1]: it should be a number of at least 0",
    "foreach=[]": "optimizer.foreach=[]: it should be true or false or null",
}


@pytest.mark.parametrize("given", WRONG)
def test_a_value_of_a_wrong_type_is_told_in_one_sentence(given: str, corpus: Path) -> None:
    prefix = "" if given.startswith(("fused", "eps")) else "+"
    config = config_with(corpus, f"{prefix}optimizer.{given}")
    with pytest.raises(ConfigError) as raised:
        optimizer_of(config, corpus)
    assert str(raised.value) == WRONG[given]


@pytest.mark.parametrize("given", ["ns_steps=few", "nesterov=1", "adjust_lr_fn=other", "fused=x"])
def test_the_same_for_muon(given: str, corpus: Path) -> None:
    with pytest.raises(ConfigError, match=f"^optimizer.{given}: it should be"):
        optimizer_of(config_with(corpus, "optimizer=muon", f"optimizer.{given}"), corpus)


def test_values_that_torch_takes_are_taken() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    for target, values in {
        "AdamW": {"lr": 1, "betas": [0.9, 0.99], "fused": None, "amsgrad": True},
        "SGD": {"lr": 0.1, "momentum": 1, "nesterov": False},
        "RMSprop": {"lr": 0.1, "foreach": False},
        "Adafactor": {"lr": 0.1, "d": 1},
    }.items():
        build("optimizer", {"_target_": f"torch.optim.{target}", **values}, [parameter])


STATES = {
    "torch.optim.AdamW": 2.0,
    "torch.optim.SGD": 0.0,
    f"{__name__}.SignOptimizer": 1.0,
}


@pytest.mark.parametrize("target", STATES)
def test_the_memory_of_an_optimizer_is_that_of_its_state(target: str) -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(100, 10))], "weight_decay": 0.0}]
    factory = OptimizerFactory(target, {"_target_": target, "lr": 0.1})
    assert gradients_and_optimizer(groups, factory) == 4000 * (1 + STATES[target])


def test_the_memory_of_muon_has_one_moment_for_matrices_and_two_for_the_rest() -> None:
    target = "clozekit.optim.muon.MuonWithAdamW"
    matrix, rest = (torch.nn.Parameter(torch.zeros(*shape)) for shape in ((30, 10), (70, 10)))
    groups = [
        {"params": [matrix], "use_muon": True, "num_matrices": 3},
        {"params": [rest], "use_muon": False},
    ]
    factory = OptimizerFactory(target, {"_target_": target, "lr": 0.1})
    assert gradients_and_optimizer(groups, factory) == 4 * (300 * 2 + 700 * 3)


RPROP = ["~optimizer", "+optimizer={_target_: torch.optim.Rprop, lr: 1e-3}"]


def test_a_decay_that_the_optimizer_does_not_have_is_refused(corpus: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        optimizer_of(config_with(corpus, *RPROP, "+optimizer.weight_decay=0.1"), corpus)
    assert str(raised.value) == (
        "optimizer.weight_decay=0.1: torch.optim.Rprop has no weight decay; it should be 0"
    )
    for none in ((), ("+optimizer.weight_decay=0",)):
        optimizer_of(config_with(corpus, *RPROP, *none), corpus)
