"""The tests' quick Hydra composes what Hydra does."""

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from clozekit.config.composition.location import conf_dir
from tests.harness import quick_hydra

COMMANDS = [
    ("train", "name=a", "data.path=b"),
    ("train", "name=a", "data.path=b", "encoder=tiny", "optimizer.betas=[0.5,0.6]"),
    ("train", "name=a", "data.path=b", "optimizer.lr=3", "+optimizer.more=[1,2]"),
    ("train", "name=a", "data.path=b", "encoder=tiny"),
    ("train", "name=a", "data.path=b", "~logger.wandb", "+callbacks.own={a: 1}"),
    ("train", "name=a", "data.path=b", "optimizer.betas=[0.5,0.6]", "logger={}"),
    ("train", "name=a", "task=tagging", "data=tagging", "data.train=b", "data.tokenizer=c"),
    ("prepare", "source.path=a", "out=b"),
    ("prepare", "source.path=a", "out=b", "workers=3"),
]


def values_of(verb: str, *overrides: str) -> str:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return OmegaConf.to_yaml(
            compose(verb, overrides=list(overrides), return_hydra_config=True), resolve=False
        )


def test_it_composes_what_hydra_does(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [values_of(*command) for command in COMMANDS * 2]
    monkeypatch.setattr(OverridesParser, "parse_rule", quick_hydra._parse)
    monkeypatch.setattr(
        config_loader_impl, "create_defaults_list", quick_hydra.create_defaults_list
    )
    monkeypatch.setattr(
        ConfigLoaderImpl, "_compose_config_from_defaults_list", quick_hydra._compose
    )
    monkeypatch.setattr(CachingConfigRepository, "__init__", quick_hydra._cache)
    expected = [values_of(*command) for command in COMMANDS]
    assert quick == expected * 2


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    def composed() -> int:
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            number: int = compose("all", overrides=["group=one"]).group.number
        return number

    (tmp_path / "all.yaml").write_text("defaults: [group: one]")
    (tmp_path / "group").mkdir()
    for number in (1, 22):
        (tmp_path / "group" / "one.yaml").write_text(yaml.safe_dump({"number": number}))
        assert composed() == number


def test_a_choice_that_is_wrong_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ConfigCompositionException):
            values_of("train", "encoder=of_another")
