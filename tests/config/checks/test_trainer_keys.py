"""Every key of Lightning's Trainer is honoured or refused by name; there is no third kind."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from pydantic import ValidationError

from clozekit.config.checks.trainer_keys import HONOURED, NOT_IN_CONF, REFUSED
from clozekit.config.composition.group_choices import choices_of, values_of
from clozekit.config.composition.messages import of_validation
from clozekit.config.composition.overrides import as_overrides
from clozekit.errors import ConfigError
from clozekit.training.length import max_steps_of
from tests.programs.commands import run_clozekit, train_config

PARAMETERS = [name for name in inspect.signature(Trainer.__init__).parameters if name != "self"]
GIVEN = ("name=x", "data.path=x", "max_steps=1")


@pytest.mark.parametrize("key", PARAMETERS)
def test_a_key_of_the_trainer_is_honoured_or_refused(key: str) -> None:
    assert (key in HONOURED) != (key in REFUSED)


def test_no_other_key_is_named() -> None:
    assert HONOURED | REFUSED.keys() == set(PARAMETERS)


def test_the_keys_that_hydra_has_to_add_are_those_of_no_yaml() -> None:
    written = {key for choice in choices_of("trainer") for key in values_of("trainer", choice)}
    assert HONOURED - written == NOT_IN_CONF


def test_honoured_keys_need_no_plus() -> None:
    given = ("trainer.min_steps=5", "trainer.strategy=ddp", "trainer.devices=2")
    config = train_config(*as_overrides("train", [*GIVEN, *given]))
    assert config.trainer.model_extra is not None
    assert {key: config.trainer.model_extra[key] for key in ("min_steps", "strategy")} == {
        "min_steps": 5,
        "strategy": "ddp",
    }
    plugin = "trainer.plugins._target_=my_module.Plugin"
    (override,) = as_overrides("train", [plugin])
    assert override == f"++{plugin}"
    inner = "trainer.strategy.timeout.minutes=3"
    assert as_overrides("train", [inner]) == [inner], "a key of the choice"


@pytest.mark.parametrize("key", sorted(REFUSED))
@pytest.mark.parametrize("plus", ["", "+"])
def test_a_refused_key_says_what_to_use(key: str, plus: str) -> None:
    with pytest.raises(ValidationError) as caught:
        train_config(*as_overrides("train", [*GIVEN, f"{plus}trainer.{key}=4"]))
    assert f"trainer.{key}=4 is not supported: {REFUSED[key]}" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.acumulate=4", "unknown key 'trainer.acumulate'"),
        ("+trainer.limit_train_batch=4", "did you mean 'limit_train_batches'?"),
        ("trainer.min_step=4", "did you mean 'min_steps'?"),
        ("trainer.max_steps=4", "trainer.max_steps=4 is not supported: set max_steps"),
        ("trainer.limit_train_batches=-1", "trainer.limit_train_batches"),
        ("trainer.limit_train_batches=1.5", "trainer.limit_train_batches"),
        ("trainer.limit_val_batches=most", "trainer.limit_val_batches"),
        ("trainer.overfit_batches=-2", "trainer.overfit_batches"),
        ("trainer.num_sanity_val_steps=-2", "trainer.num_sanity_val_steps"),
        ("trainer.fast_dev_run=-1", "trainer.fast_dev_run"),
        ("trainer.gradient_clip_algorithm=median", "trainer.gradient_clip_algorithm"),
        ("+trainer.strategy=fsdp", "trainer.strategy=fsdp is not supported"),
        ("+trainer.strategy=deepspeed_stage_2", "trainer.strategy=deepspeed_stage_2"),
        ("+trainer.strategy=ddp_spawn", "trainer.strategy=ddp_spawn is not supported"),
    ],
)
def test_a_bad_value_is_one_sentence_before_anything_is_read(
    override: str, message: str, tmp_path: Path
) -> None:
    finished = run_clozekit("train", *GIVEN, override, cwd=tmp_path)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) <= 3
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_intervals_of_validation_are_refused() -> None:
    with pytest.raises(ValidationError, match="set only one of them"):
        train_config(*GIVEN, "validate_every_n_steps=3", "trainer.val_check_interval=2")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("limit_train_batches=0", "limit_train_batches=0: it should be greater than 0"),
        ("limit_train_batches=0.0", "limit_train_batches=0.0: it should be greater than 0"),
        (
            "max_time=00:00:00:00",
            "max_time: 00:00:00:00 would train nothing; it should be longer than 0",
        ),
        (
            "max_time={hours: 0, minutes: 0}",
            "max_time: {'hours': 0, 'minutes': 0} would train nothing; it should be longer than 0",
        ),
    ],
)
def test_what_would_train_nothing_is_refused(override: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        train_config(*GIVEN, f"trainer.{override}")
    assert of_validation(caught.value) == f"trainer.{message}"


@pytest.mark.parametrize(
    "override",
    [
        *("trainer.limit_train_batches=1", "trainer.limit_train_batches=0.001"),
        *("trainer.max_time=00:00:00:10", "trainer.max_time={hours: 0, minutes: 1}"),
        "trainer.val_check_interval={seconds: 1}",
    ],
)
def test_what_would_train_something_is_not(override: str) -> None:
    train_config(*GIVEN, override)


@pytest.mark.parametrize(
    ("interval", "told"), [("00:00:00:00", "00:00:00:00"), ("{seconds: 0}", "{'seconds': 0}")]
)
def test_validations_without_time_between_them_are_refused(interval: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        train_config(*GIVEN, f"trainer.val_check_interval={interval}")
    assert of_validation(caught.value) == (
        f"trainer.val_check_interval: {told}: the time should be longer than 0"
    )


def test_more_steps_at_least_than_at_most_are_refused() -> None:
    datamodule: Any = None
    with pytest.raises(ConfigError) as caught:
        max_steps_of(train_config(*GIVEN, "+trainer.min_steps=2"), datamodule)
    assert str(caught.value) == (
        "trainer.min_steps=2 is more than the 1 steps of the run; it should be at most as many"
    )
    for given in ("1", "0", "null"):
        assert max_steps_of(train_config(*GIVEN, f"+trainer.min_steps={given}"), datamodule) == 1
