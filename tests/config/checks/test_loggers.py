"""What loggers need is checked before anything is imported or waited for."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit.config.checks import loggers
from clozekit.config.checks.loggers import check_loggers, check_server
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from tests.programs.commands import train_config


def config(*overrides: str) -> TrainConfig:
    return train_config("name=run", "data.path=data", "max_steps=1", *overrides)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(loggers, "SERVER_SECONDS", 0.3)
    return monkeypatch


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_offline_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(loggers, "urlopen", lambda *_, **__: pytest.fail("asked"))
    given = config()
    check_loggers(given)
    check_server(given)


def test_a_key_is_needed_online(online: pytest.MonkeyPatch, tmp_path: Path) -> None:
    online.delenv("WANDB_API_KEY")
    online.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ConfigError, match="requires WANDB_API_KEY or `wandb login`"):
        check_loggers(config())
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password key\n")
    check_loggers(config())


def test_a_server_that_is_not_there_is_told_at_once(online: pytest.MonkeyPatch) -> None:
    online.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9 cannot be reached .*wandb sync"):
        check_server(config())


def test_a_server_that_says_nothing_is_not_waited_for(
    online: pytest.MonkeyPatch, silent_server: str, tmp_path: Path
) -> None:
    # As `wandb login --host=…` writes it.
    (tmp_path / "settings").write_text(f"[default]\nbase_url = {silent_server}\n")
    with pytest.raises(ConfigError, match=f"{silent_server} cannot be reached"):
        check_server(config())


def test_nothing_is_uploaded_offline() -> None:
    with pytest.raises(ConfigError, match=r"logger\.wandb\.log_model=true .*WANDB_MODE=online"):
        check_loggers(config("logger.wandb.log_model=true"))


def test_checkpoints_are_uploaded_online(online: pytest.MonkeyPatch) -> None:
    check_loggers(config("logger.wandb.log_model=true"))


def test_tensorboard_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_loggers(config("logger=[csv,tensorboard]"))
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'clozekit\[tensorboard\]'"):
        check_loggers(config("logger=[csv,tensorboard]"))
