"""What the schemas of training refuse."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from clozekit.config.composition.messages import of_validation
from clozekit.config.data import ClassificationDataConfig
from clozekit.config.encoder import EncoderConfig
from clozekit.config.merge import MergeConfig
from clozekit.config.schedule import ScheduleConfig
from clozekit.config.tasks import ClassificationTaskConfig
from clozekit.config.train import TrainConfig
from clozekit.errors import DataError


def values(**changes: Any) -> dict[str, Any]:
    return {
        "name": "first",
        "max_steps": 10,
        "global_batch_size": 8,
        "micro_batch_size": 4,
        "encoder": {"hidden_size": 64, "num_attention_heads": 4},
        "task": {"_target_": "a.Task", "depth": 3},
        "data": {"_target_": "a.Data", "max_seq_length": 128},
        "optimizer": {"_target_": "a.Optimizer", "lr": 0.1},
        "schedule": {},
        "trainer": {"_target_": "a.Trainer"},
    } | changes


def test_components_keep_the_arguments_of_their_class() -> None:
    config = TrainConfig.model_validate(values())
    assert config.task.arguments() == {"_target_": "a.Task", "depth": 3}
    assert config.optimizer.arguments() == {
        "_target_": "a.Optimizer",
        "lr": 0.1,
        "weight_decay": 0.0,
    }
    assert config.run_dir == Path("runs/first")
    assert TrainConfig.model_validate(config.model_dump(mode="json", by_alias=True)) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_epochs": 1.0}, "max_steps=10 and max_epochs=1.0: set exactly one"),
        ({"max_steps": None}, "the length of training is missing: set exactly one of max_steps, "),
        ({"max_steps": 0}, "greater than 0"),
        ({"max_steps": None, "max_epochs": 0}, "greater than 0"),
        ({"name": ""}, "at least 1 character"),
        ({"name": "/first"}, "should match pattern"),
        ({"name": "a b"}, "should match pattern"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"global_batch_size": 0}, "greater than 0"),
        ({"nonsense": 1}, "Extra inputs are not permitted"),
        ({"task": {"depth": 3}}, "task._target_"),
        ({"optimizer": {"_target_": "a", "lr": 0}}, "greater than 0"),
        ({"optimizer": {"_target_": "a", "lr": 1, "weight_decay": -1}}, "greater than or equal"),
        ({"trainer": {"_target_": "a", "precision": "32"}}, "'32-true'"),
        ({"trainer": {"_target_": "a", "gradient_clip_val": -1}}, "greater than or equal to 0"),
        ({"schedule": {"warmup_ratio": 1.5}}, "less than or equal to 1"),
        ({"schedule": {"nonsense": 1}}, "Extra inputs are not permitted"),
        (
            {"data": {"_target_": "a", "max_seq_length": 513}},
            "data.max_seq_length=513 is more than encoder.max_position_embeddings=512",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(**changes))
    assert message in str(caught.value)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("layerwise_lr_decay", 0, "greater than 0"),
        ("layerwise_lr_decay", 1.01, "less than or equal to 1"),
        ("layerwise_lr_decay", None, "a valid number"),
        ("reinit_layers", -1, "greater than or equal to 0"),
        ("reinit_layers", 0.5, "a valid integer"),
        ("freeze_encoder", "perhaps", "a valid boolean"),
        ("reinit_pooler", 2, "a valid boolean"),
    ],
)
def test_a_value_of_fine_tuning_that_cannot_be_is_told_in_one_line(
    key: str, value: object, allowed: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(fine_tuning={key: value}))
    (line,) = of_validation(caught.value).splitlines()
    told = "null" if value is None else value
    assert line.startswith(f"fine_tuning.{key}={told}: it should be ") and allowed in line


def test_two_keys_with_the_same_wrong_value_are_told_apart() -> None:
    wrong = dict.fromkeys(("freeze_encoder", "reinit_pooler"), "perhaps")
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(fine_tuning=wrong))
    first, second = of_validation(caught.value).splitlines()
    assert first.startswith("fine_tuning.freeze_encoder=perhaps: it should be a valid boolean")
    assert second.startswith("fine_tuning.reinit_pooler=perhaps: it should be a valid boolean")


@pytest.mark.parametrize(
    ("wrong", "written"),
    [
        (True, "true"),
        ([True, None, "a"], "[true, null, 'a']"),
        ({"a": False, "b": [1.0]}, "{'a': false, 'b': [1.0]}"),
    ],
)
def test_a_wrong_value_is_told_as_yaml_has_it(wrong: object, written: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(name=wrong))
    assert of_validation(caught.value) == f"name={written}: it should be a valid string"


def test_items_of_a_list_are_told_apart() -> None:
    with pytest.raises(ValidationError) as caught:
        MergeConfig.model_validate({"checkpoints": ["a", "b"], "weights": [0, 0], "out": "c"})
    assert of_validation(caught.value).splitlines() == [
        f"weights.{index}=0: it should be greater than 0" for index in (0, 1)
    ]


def test_an_unknown_key_of_fine_tuning_is_told_in_one_line() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(fine_tuning={"freeze": True}))
    assert of_validation(caught.value) == "unknown key 'fine_tuning.freeze'"


def test_a_pretrained_encoder_brings_its_own_positions() -> None:
    encoder = {"pretrained": "runs/long"}
    config = TrainConfig.model_validate(
        values(encoder=encoder, data={"_target_": "a", "max_seq_length": 1024})
    )
    assert config.encoder.pretrained == "runs/long"


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"hidden_size": 100, "num_attention_heads": 3},
            "hidden_size=100 is not divisible by num_attention_heads=3",
        ),
        ({"hidden_size": 0}, "greater than 0"),
        ({"vocab_size": 0}, "greater than 0"),
        ({"hidden_act": "relu"}, "'gelu' or 'gelu_pytorch_tanh'"),
        ({"hidden_dropout_prob": 1.0}, "less than 1"),
        ({"attention_probs_dropout_prob": -0.1}, "greater than or equal to 0"),
        ({"layer_norm_eps": 0}, "greater than 0"),
        ({"hidden_dim": 4}, "Extra inputs are not permitted"),
    ],
)
def test_an_encoder_that_cannot_be_is_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EncoderConfig.model_validate(sizes)
    assert message in str(caught.value)


def test_a_configuration_cannot_be_changed_afterwards() -> None:
    for config in (EncoderConfig(), ScheduleConfig(), TrainConfig.model_validate(values())):
        field = next(iter(type(config).model_fields))
        with pytest.raises(ValidationError, match="frozen"):
            setattr(config, field, None)


def test_unknown_keys_of_the_encoder_are_for_a_class_of_ones_own() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(encoder={"mixing": 0.5, "depth": 2}))
    assert of_validation(caught.value) == (
        "unknown key 'encoder.mixing'\nunknown key 'encoder.depth'"
    )
    own = {"_target_": "my_encoders.MeanEncoder", "mixing": 0.5, "hidden_size": 30}
    encoder = TrainConfig.model_validate(values(encoder=own)).encoder
    assert encoder.model_extra == {"mixing": 0.5}
    assert EncoderConfig.model_validate(encoder.model_dump(by_alias=True)) == encoder


@pytest.mark.parametrize("target", ["Encoder", "a b.C", "", "a..B"])
def test_the_encoders_class_is_a_whole_name(target: str) -> None:
    with pytest.raises(ValidationError, match="_target_"):
        EncoderConfig.model_validate({"_target_": target})


def test_a_schedule_of_the_users_is_kept_whole() -> None:
    schedule = {"_target_": "mine.Course", "decay": "linear", "speed": 3}
    config = TrainConfig.model_validate(values(schedule=schedule))
    dumped = config.model_dump(mode="json", by_alias=True)
    assert dumped["schedule"].items() >= schedule.items()
    assert TrainConfig.model_validate(dumped) == config


def test_compile_is_no_truth() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(compile=True))
    assert of_validation(caught.value).startswith("compile: true: it should be compile=off or")


def test_null_is_no_logger_and_no_callback() -> None:
    config = TrainConfig.model_validate(values(logger=None, callbacks=None))
    assert config.logger == config.callbacks == {}


def test_a_limit_of_two_types_is_told_once() -> None:
    with pytest.raises(ValidationError) as caught:
        TrainConfig.model_validate(values(trainer={"limit_val_batches": -1}))
    assert of_validation(caught.value).count("greater than or equal to 0") == 1


@pytest.mark.parametrize("weight", [1e39, 10**400, 1e16])
def test_a_weight_of_a_class_that_overflows_is_refused(weight: float) -> None:
    with pytest.raises(ValidationError, match="should be a non-negative number, at most 1e"):
        ClassificationTaskConfig.model_validate({"class_weights": {"a": weight}})


def test_classes_that_yaml_takes_for_values_stay_values() -> None:
    """Which of the classes 2.1 and 2.10 is meant is only known once these are."""
    given = {True: 1.0, False: 2.0, 3.0: 3.0, 2.5: 4.0, 7: 5.0, "True": 6.0, "8": 7}
    read = ClassificationTaskConfig.model_validate({"class_weights": given}).class_weights
    assert read == given and isinstance(read, dict)
    assert [type(key) for key in read] == [type(key) for key in given]


def test_null_is_not_a_class() -> None:
    with pytest.raises(ValidationError, match=r'null is not the name of a class; .* write "null"'):
        ClassificationTaskConfig.model_validate({"class_weights": {None: 1.0, "a": 2.0}})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (".", r"is a folder but must be a file; .* set data\.path="),
        ("*.csv", r"\*\.csv is not a file; patterns are not expanded"),
        ("no.csv", r"no\.csv does not exist"),
    ],
)
def test_what_is_not_one_file_of_labelled_rows_is_told(
    name: str, told: str, tmp_path: Path
) -> None:
    given = {"train": str(tmp_path / name), "tokenizer": None, "seed": 0}
    batch = {"global_batch_size": 1, "micro_batch_size": 1}
    config = ClassificationDataConfig.model_validate({**given, **batch})
    with pytest.raises(DataError, match=told):
        config.check_files()
