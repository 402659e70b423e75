"""A server on loopback that answers as the Hugging Face Hub does for the files of one dataset."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "user/name"
_COMMIT = "a" * 40


class _Hub(http.server.BaseHTTPRequestHandler):
    folder: Path
    ranges: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        api, files = f"/api/datasets/{REPOSITORY}", f"/datasets/{REPOSITORY}/resolve/main/"
        if path.startswith(files):
            self._send_file(self.folder / path.removeprefix(files))
        elif path.startswith(f"{api}/tree/main"):
            self._send_tree(path.removeprefix(f"{api}/tree/main").strip("/"))
        elif path in (api, f"{api}/revision/main"):
            self._send({"id": REPOSITORY, "sha": _COMMIT, "private": False, "siblings": []})
        else:
            self._send({"error": "not found"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        paths = [path for path in body["paths"] if (self.folder / path).exists()]
        self._send([self._entry(self.folder / path) for path in paths])

    def _send_tree(self, folder: str) -> None:
        if not (self.folder / folder).is_dir():
            self._send({"error": "EntryNotFound"}, 404, "EntryNotFound")
            return
        is_deep = "recursive=true" in self.path.lower()
        paths = (self.folder / folder).rglob("*") if is_deep else (self.folder / folder).iterdir()
        self._send([self._entry(path) for path in sorted(paths)])

    def _entry(self, path: Path) -> dict[str, Any]:
        kind = "directory" if path.is_dir() else "file"
        name, size = str(path.relative_to(self.folder)), path.stat().st_size
        return {"type": kind, "path": name, "oid": f"{hash(name):x}", "size": size}

    def _send_file(self, file: Path) -> None:
        content = file.read_bytes()
        wanted = self.headers.get("Range", "")
        self.ranges.append(wanted)
        status = 200
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            content, status = content[int(first) : int(last or len(content)) + 1], 206
        self._answer(content, status, "application/octet-stream")

    def _send(self, value: Any, status: int = 200, error: str = "") -> None:
        self._answer(json.dumps(value).encode(), status, "application/json", error)

    def _answer(self, content: bytes, status: int, kind: str, error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def fake_hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves a folder; gives the server's address, and the ranges that were read of files."""
    ranges: list[str] = []
    handler = type("_HubOfFolder", (_Hub,), {"folder": folder, "ranges": ranges})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", ranges
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
