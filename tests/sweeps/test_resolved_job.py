"""A job whose folder has a run already: whether it is the same one."""

from pathlib import Path

import pytest
import yaml

from clozekit.errors import ConfigError
from clozekit.sweeps.job import Job
from tests.programs.commands import train_config

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "vocab_size": 99, "classifier_pooling": "mean"}


def job(folder: Path, *overrides: str) -> Job:
    given = ("name=mine", f"runs_dir={folder}", "data.path=a", "max_steps=1", *overrides)
    return Job("mine", (), (), train_config(*given))


def write_config(made: Job, **encoder: object) -> None:
    values = made.config.model_dump(mode="json", by_alias=True)
    values["encoder"] |= encoder
    made.folder.mkdir()
    (made.folder / "config.yaml").write_text(yaml.safe_dump(values))


def test_what_a_run_took_from_pretrained_weights_is_no_difference(tmp_path: Path) -> None:
    of_weights = job(tmp_path, "encoder.pretrained=runs/m1")
    write_config(of_weights, **SIZES)
    of_weights.check_folder()
    with pytest.raises(ConfigError, match=r"encoder.pretrained=runs/m1, but the sweep has runs/m2"):
        job(tmp_path, "encoder.pretrained=runs/m2").check_folder()
    with pytest.raises(ConfigError, match=r"was run with encoder\..*, but the sweep has"):
        job(tmp_path).check_folder()
    with pytest.raises(ConfigError, match=r"encoder.hidden_dropout_prob=0.1, but the sweep has 0"):
        job(tmp_path, "encoder.pretrained=runs/m1", "encoder.hidden_dropout_prob=0").check_folder()
    cls = job(tmp_path, "encoder.pretrained=runs/m1", "encoder.classifier_pooling=cls")
    with pytest.raises(ConfigError, match=r"classifier_pooling=mean, but the sweep has cls"):
        cls.check_folder()


def test_the_ids_of_the_tokenizer_are_no_difference_but_sizes_are(tmp_path: Path) -> None:
    random = job(tmp_path)
    write_config(random, vocab_size=99, classifier_pooling="cls")
    random.check_folder()
    with pytest.raises(ConfigError, match=r"encoder.hidden_size=\d+, but the sweep has 32"):
        job(tmp_path, "encoder.hidden_size=32").check_folder()
