"""moto's S3 server on loopback, with a record of its requests and a share of them failing."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"


class _Quiet(WSGIRequestHandler):
    def log(self, *arguments: Any) -> None:
        pass


class S3Server:
    """The server.

    Attributes:
        requests: The method and the path of every request that did not fail.
        failing: How many of a hundred requests get an internal error.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.failing = 0
        self._number = 0
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )

    def gets(self, ending: str = "") -> list[str]:
        """The paths of the files that were fetched, in order."""
        return [path for verb, path in self.requests if verb == "GET" and path.endswith(ending)]

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self._number += 1
        if self._number * 7919 % 100 < self.failing:
            start("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InternalError</Code><Message>broken</Message></Error>"]
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        answer: Iterable[bytes] = self._app(environ, start)
        return answer

    def __enter__(self) -> "S3Server":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Runs a server with an empty bucket, and sets the variables with which s3fs finds it."""
    with S3Server() as server:
        variables = {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server._server.server_port}",
        }
        with mock.patch.dict(os.environ, variables):
            import fsspec

            files = fsspec.filesystem("s3", skip_instance_cache=True)
            if not files.exists(BUCKET):
                files.mkdir(BUCKET)
            yield server
