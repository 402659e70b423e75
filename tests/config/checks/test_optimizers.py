"""Values that an optimizer would fail on, or take without sense."""

import pytest

from clozekit.config.checks.optimizers import check_optimizer
from clozekit.errors import ConfigError

ADAMW, MUON = "torch.optim.AdamW", "clozekit.optim.muon.MuonWithAdamW"


@pytest.mark.parametrize("target", [ADAMW, MUON])
@pytest.mark.parametrize(
    "betas", [0.9, [], [0.9], [0.9, "a"], [0.9, 1.0], [-0.1, 0.9], [0.9, True], [0, 0, 0], None]
)
def test_betas_are_two_numbers(target: str, betas: object) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.betas=.*: it should be a list of two"):
        check_optimizer(target, {"betas": betas})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("momentum", value) for value in (1.5, 1, -0.1, "a", float("nan"))),
        *(("ns_steps", value) for value in (0, 100, 2.5, True)),
        *(("eps", value) for value in (-1e-8, "a", float("inf"))),
    ],
)
def test_other_values_are_in_their_ranges(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"optimizer\.{key}={str(value).lower()}: it should be"):
        check_optimizer(MUON, {key: value})


@pytest.mark.parametrize("name", ["SparseAdam", "LBFGS"])
def test_optimizers_that_cannot_train_an_encoder_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"_target_=torch\.optim\.{name} is not supported: it"):
        check_optimizer(f"torch.optim.{name}", {})


def test_what_is_good_or_of_others_is_left_alone() -> None:
    values = {"betas": [0.9, 0.95], "momentum": 0, "eps": 0, "ns_steps": 1}
    check_optimizer(MUON, values)
    check_optimizer("torch.optim.Adafactor", {"eps": [None, 1e-3]})
    check_optimizer("lion_pytorch.Lion", {"betas": [0.9, 0.95, 2]})
