"""A server of S3 in this process, on loopback, whose requests can be watched and made to fail."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from unittest import mock

from werkzeug.serving import WSGIRequestHandler, make_server

_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # The tries of clozekit are tested, not those of the client.
}


@dataclass(frozen=True)
class Request:
    """What a client wanted."""

    method: str
    path: str
    range: str


@dataclass
class S3Server:
    """The server.

    Attributes:
        address: Its URL.
        requests: What was wanted so far.
        served: The requests that got no fault.
        fault: Returns the status and the code of an error for a request; None to serve it.
    """

    address: str = ""
    requests: list[Request] = field(default_factory=list)
    served: list[Request] = field(default_factory=list)
    fault: Callable[[Request], tuple[int, str] | None] = lambda _: None

    def make_bucket(self, name: str) -> str:
        """Makes a bucket, and returns its URL."""
        self.system.mkdir(name)
        return f"s3://{name}"

    @property
    def system(self) -> Any:
        """The file system, for tests to look at what is stored."""
        import fsspec

        return fsspec.filesystem("s3", use_listings_cache=False)

    def fetched(self) -> list[str]:
        """The paths of the files that were sent, in order."""
        return [request.path for request in self.served if request.method == "GET"]

    def calm_down(self) -> None:
        """Forgets all requests, and serves the next ones."""
        self.requests.clear()
        self.served.clear()
        self.fault = lambda _: None


def some_fail(percent: int) -> Callable[[Request], tuple[int, str] | None]:
    """Lets so many of a hundred requests, spread among all, get an internal error."""
    numbers = count(1)

    def fault(_: Request) -> tuple[int, str] | None:
        return (500, "InternalError") if next(numbers) * 7919 % 100 < percent else None

    return fault


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Starts a server, and sets the environment of its clients."""
    # Heavy imports, which other tests do not need.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from s3fs import S3FileSystem

    moto = DomainDispatcherApplication(create_backend_app)
    server = S3Server()

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        request = Request(method, path, environ.get("HTTP_RANGE", ""))
        server.requests.append(request)
        if (fault := server.fault(request)) is None:
            server.served.append(request)
            return moto(environ, start_response)
        # What is sent must be read before an answer.
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, code = fault
        start_response(f"{status} {code}", [("Content-Type", "application/xml")])
        body = f"<Error><Code>{code}</Code><Message>the test says so</Message></Error>"
        return [b"" if method == "HEAD" else body.encode()]

    wsgi = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=wsgi.serve_forever, daemon=True)
    thread.start()
    server.address = f"http://127.0.0.1:{wsgi.port}"
    try:
        # s3fs keeps clients by their options, and another server may be found by the environment.
        S3FileSystem.clear_instance_cache()
        with mock.patch.dict(os.environ, _SETTINGS | {"AWS_ENDPOINT_URL_S3": server.address}):
            yield server
        S3FileSystem.clear_instance_cache()
    finally:
        wsgi.shutdown()
        thread.join()


class _Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Says nothing."""
