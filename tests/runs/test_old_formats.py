"""Names in the configurations of older checkpoints."""

import importlib
from pathlib import Path

import pytest

from clozekit.config.encoder import OWN_ENCODER, EncoderConfig
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.old_formats import MOVED_SINCE_2, translated

FORMAT2 = Path(__file__).parent / "format2"


@pytest.mark.parametrize("target", MOVED_SINCE_2.values())
def test_the_new_names_are_those_of_classes(target: str) -> None:
    module, _, name = target.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), name), type)


def test_a_checkpoint_of_format_2_is_read_with_the_new_names() -> None:
    config = load_checkpoint(FORMAT2 / "pretraining" / "step-6.ckpt").config
    assert config["data"]["_target_"] == (
        "clozekit.data.pretraining.pair_datamodule.PretrainingDataModule"
    )
    assert config["logger"]["csv"]["_target_"] == "clozekit.runs.csv_history.CSVHistory"
    assert config["callbacks"]["progress"]["_target_"] == (
        "clozekit.training.progress_bar.TrainingProgress"
    )
    assert config["task"]["_target_"] == "clozekit.tasks.pretraining.PretrainingModule"


def test_keys_that_format_2_lacks_have_the_values_that_say_what_it_did() -> None:
    config = load_checkpoint(FORMAT2 / "pretraining" / "step-6.ckpt").config
    assert config["encoder"]["_target_"] == "clozekit.models.encoder.Encoder"
    assert config["encoder"]["hidden_size"] == 16
    assert config["trainer"]["overfit_batches"] == 0


def test_names_of_others_and_other_values_stay() -> None:
    config = {
        "name": "clozekit.runs.history.CSVHistory",
        "data": {"_target_": "my_data.MyDataModule", "path": "a", "ratio": [0.5, None]},
        "logger": [{"_target_": "my_loggers.Mine"}, {"_target_": 5}],
    }
    assert translated(config, 2) == config


def test_names_of_the_present_format_stay() -> None:
    config = {"data": {"_target_": "clozekit.data.tagging.TaggingDataModule"}}
    assert translated(config, 3) == config
    assert translated(config, 2) != config


def test_a_run_of_before_the_parts_of_an_encoder_could_be_chosen_has_those_of_bert() -> None:
    config = {"encoder": {"_target_": OWN_ENCODER, "hidden_size": 24}, "max_steps": 3}
    read = translated(config, 3)
    encoder = EncoderConfig.model_validate(read["encoder"])
    assert encoder.is_bert and encoder.norm_position == "post"
    assert read["encoder"].keys() > {"norm_bias", "local_attention"}
    modern = {"encoder": {**read["encoder"], "norm_bias": False}}
    assert translated(modern, 3) == modern


@pytest.mark.parametrize(("activation", "has_layer"), [("gelu", True), ("tanh", False)])
def test_one_word_used_to_stand_for_all_of_modernberts_layer(
    activation: str, has_layer: bool
) -> None:
    config = {"encoder": {"_target_": OWN_ENCODER, "classifier_activation": activation}}
    encoder = EncoderConfig.model_validate(translated(config, 3)["encoder"])
    assert encoder.prediction_head is has_layer
    now = {"encoder": {**encoder.model_dump(by_alias=True), "prediction_head": False}}
    assert translated(now, 3) == now
