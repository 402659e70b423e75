"""A store for tests of `prepare`, and a configuration that writes to it."""

from pathlib import Path
from typing import Any

from clozekit.config.prepare import PrepareConfig
from tests.corpus.made_texts import config
from tests.harness.s3 import S3Server


def put(server: S3Server, path: Path, url: str) -> str:
    """Uploads a file, and returns its URL."""
    server.system.put_file(str(path), url)
    return url


def stored_config(
    out: str, work_dir: Path, source: dict[str, Any], **changes: Any
) -> PrepareConfig:
    return config(out, source, **changes, work_dir=str(work_dir))


def content_of_store(server: S3Server, url: str) -> dict[str, bytes]:
    """Every file of a folder in the store, by its name there."""
    system = server.system
    folder = url.removeprefix("s3://")
    return {path.removeprefix(f"{folder}/"): system.cat_file(path) for path in system.find(folder)}
