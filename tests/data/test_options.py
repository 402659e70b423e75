"""The options of DataModules and features, given from Python: checked by their schemas."""

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from clozekit.config.data import ClassificationDataConfig
from clozekit.config.reading import ClassificationReading
from clozekit.data.labelled.classification import ClassificationDataModule, ClassificationFeatures
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.errors import ConfigError
from tests.data.spelling import spelling_tokenizer
from tests.programs.texts import write_labelled

BATCHES = {"seed": 0, "global_batch_size": 4, "micro_batch_size": 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masked_lm_prob": 1.5}, r"data\.masked_lm_prob=1\.5: it should be less than 1"),
        ({"seed": None}, r"data\.seed=null: it should be a valid integer"),
        (
            {"mask_prob": 0.1},
            r"unknown key 'data\.mask_prob'; the keys in data are .*mask_token_prob",
        ),
        (
            {"mask_token_prob": 0.8, "random_token_prob": 0.3},
            r"data\.mask_token_prob=0\.8 and random_token_prob=0\.3 add up to more than 1",
        ),
        (
            {"first_phase": {"ratio": 2, "max_seq_length": 8, "micro_batch_size": 4}},
            r"data\.first_phase\.ratio=2: it should be less than 1",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    options: dict[str, Any], message: str, corpus: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        PretrainingDataModule(**{"path": corpus, **BATCHES, **options})
    assert "\n" not in str(caught.value)


def test_an_option_without_a_default_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"^data\.path is missing$"):
        PretrainingDataModule(**BATCHES)


def test_features_check_their_options_too() -> None:
    with pytest.raises(
        ConfigError,
        match=r"unknown key 'data\.train'; the keys in data are .*id_column, label_column",
    ):
        ClassificationFeatures(spelling_tokenizer(), train="a.csv")


@pytest.mark.parametrize("as_object", [True, False])
def test_paths_and_a_tokenizer_may_be_objects(
    as_object: bool, corpus: Path, tmp_path: Path
) -> None:
    file = corpus / "tokenizer.json"
    datamodule = ClassificationDataModule(
        train=write_labelled(tmp_path / "rows.csv", 20, seed=0),
        tokenizer=Tokenizer.from_file(str(file)) if as_object else file,
        **BATCHES,
    )
    assert datamodule.tokenizer.get_vocab() == Tokenizer.from_file(str(file)).get_vocab()
    assert datamodule.config.train == str(tmp_path / "rows.csv")


class ShoutedReading(ClassificationReading):
    """A user's own option.

    Attributes:
        mark: What ends every text.
    """

    mark: str = "!"


class ShoutedDataConfig(ShoutedReading, ClassificationDataConfig):
    """The same beside where rows are."""


class ShoutedFeatures(ClassificationFeatures):
    config_class = ShoutedReading
    config: ShoutedReading

    def text(self, row: Any, column: str) -> str:
        return super().text(row, column) + self.config.mark


class ShoutedDataModule(ClassificationDataModule):
    config_class = ShoutedDataConfig
    features_class = ShoutedFeatures


def test_an_option_of_a_users_own_reaches_the_features(corpus: Path, tmp_path: Path) -> None:
    datamodule = ShoutedDataModule(
        train=write_labelled(tmp_path / "rows.csv", 20, seed=0),
        tokenizer=corpus / "tokenizer.json",
        mark="?",
        **BATCHES,
    )
    source: Any = datamodule.sources["train"]
    assert all(example.text.endswith("?") for example in source.rows.examples)
