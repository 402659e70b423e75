"""Of Lightning's strategies, one device and DDP are supported; others are refused with a reason."""

import inspect
import re
from pathlib import Path

import pytest
from lightning.pytorch import strategies
from lightning.pytorch.strategies import FSDPStrategy, Strategy, StrategyRegistry

from clozekit.config.checks.strategies import STRATEGIES, check_strategy
from clozekit.errors import ConfigError
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, train_config

CLASSES = [
    name
    for name, kind in vars(strategies).items()
    if inspect.isclass(kind) and issubclass(kind, Strategy) and not inspect.isabstract(kind)
]
SUPPORTED = ("DDPStrategy", "SingleDeviceStrategy")
WHY = r"is not supported: .*; use trainer=|is not supported: use auto, ddp"


@pytest.mark.parametrize("name", StrategyRegistry.available_strategies())
def test_every_name_is_supported_or_refused_with_a_reason(name: str) -> None:
    if name in STRATEGIES:
        check_strategy(name)
        return
    with pytest.raises(ValueError, match=rf"trainer\.strategy={name} ({WHY})") as caught:
        check_strategy(name)
    assert ("5.4 GB" in str(caught.value)) == name.startswith(("fsdp", "deepspeed", "xla_fsdp"))


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_supported_or_refused_with_a_reason(name: str) -> None:
    target = f"lightning.pytorch.strategies.{name}"
    if name in SUPPORTED:
        check_strategy({"_target_": target})
        return
    with pytest.raises(ValueError, match=rf"trainer\.strategy={re.escape(target)} ({WHY})"):
        check_strategy({"_target_": target})


def test_the_classes_include_those_that_shard() -> None:
    assert {"FSDPStrategy", "ModelParallelStrategy", "DeepSpeedStrategy"} <= set(CLASSES)


@pytest.mark.parametrize(
    "option", [{"static_graph": True}, {"start_method": "spawn"}, {"broadcast_buffers": True}]
)
def test_options_of_ddp_that_the_step_does_not_support_are_refused(
    option: dict[str, object],
) -> None:
    target = "lightning.pytorch.strategies.DDPStrategy"
    (name,) = option
    with pytest.raises(ValueError, match=rf"trainer\.strategy\.{name}=\w+ is not supported: "):
        check_strategy({"_target_": target, **option})
    check_strategy({"_target_": target, "static_graph": False, "start_method": "popen"})


class OwnSharding(FSDPStrategy):
    """A strategy of a user's."""


def run(corpus: Path, folder: Path, *overrides: str) -> None:
    settings = (f"data.path={corpus}", f"runs_dir={folder}", "max_steps=1", *TINY, *QUIET)
    train(train_config("name=a", *settings, *overrides))


def test_a_class_derived_from_one_is_refused_like_it(corpus: Path, tmp_path: Path) -> None:
    strategy = f"+trainer.strategy._target_={__name__}.OwnSharding"
    with pytest.raises(ConfigError, match="OwnSharding is not supported: it distributes the model"):
        run(corpus, tmp_path, strategy)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_scale_on_the_cpu_is_refused(corpus: Path, tmp_path: Path) -> None:
    """Lightning would take another precision, with a warning."""
    with pytest.raises(ConfigError, match=r"trainer\.precision=16-mixed is not supported on the"):
        run(corpus, tmp_path, "trainer.precision=16-mixed")
    assert list(tmp_path.iterdir()) == []
