"""A server of S3 that the tests of a file share."""

from collections.abc import Iterator

import pytest

from clozekit.storage import calls
from tests.harness.s3 import S3Server, s3_server


@pytest.fixture(scope="module")
def _s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, calm again after each test. Another try follows at once."""
    monkeypatch.setattr(calls, "PAUSE_S", 0.0)
    yield _s3
    _s3.calm_down()


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """The URL of an empty bucket of the test's own."""
    return s3.make_bucket(f"bucket-{abs(hash(request.node.nodeid))}")
