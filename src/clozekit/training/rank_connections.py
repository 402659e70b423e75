"""Connections over which the processes of a run notice at once that one of them has ended."""

import json
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CONNECT_SECONDS = 30.0
"""How long the processes have to find each other."""

IDLE_SECONDS, PROBE_SECONDS, PROBES = 4, 4, 3
"""When a silent machine counts as lost: after 4 + 3 * 4 seconds. Its kernel answers, not Python."""

GRACE_SECONDS = 8.0
"""How long a process has to end by itself once another one is lost."""

PARENT = "CLOZEKIT_PARENT"
"""The environment variable for the process that started this one: it may have ended already."""

GOODBYE = "goodbye"
LOST = "lost"


@dataclass
class Peer:
    """Another process of the run, and the connection to it."""

    rank: int
    place: str
    connection: socket.socket
    has_left: bool = False
    received: bytes = field(default=b"", repr=False)

    def send(self, kind: str, **values: Any) -> None:
        """Sends a message; a peer that is gone is noticed where its connection is read."""
        try:
            self.connection.sendall(json.dumps({"kind": kind, **values}).encode() + b"\n")
        except OSError:
            return

    def receive(self) -> list[dict[str, Any]] | None:
        """Reads what has come; None where the connection has ended."""
        try:
            content = self.connection.recv(4096)
        except OSError:
            return None
        if not content:
            return None
        *lines, self.received = (self.received + content).split(b"\n")
        return [json.loads(line) for line in lines]


class Watch:
    """Notices the end of other processes by the end of their connections, in a thread.

    The first process is connected to all, and tells them whom it has lost. The kernel closes the
    connections of a process that is killed; those of a machine that is cut off end as its kernel
    answers no more probes. So a process that is merely busy, or slow, is never taken for lost.

    Args:
        rank: This process's.
        peers: The others that it is connected to.
        on_loss: Called with a sentence, once, in the thread.
    """

    def __init__(self, rank: int, peers: list[Peer], on_loss: Callable[[str], None]) -> None:
        self.rank = rank
        self.peers = peers
        self.is_lost = threading.Event()
        self._on_loss = on_loss
        # A data worker that is forked would keep the connections of a killed process open.
        os.register_at_fork(after_in_child=self._close)
        threading.Thread(target=self._watch, name="rank-watch", daemon=True).start()

    def goodbye(self) -> None:
        """Tells the others that this process has ended its work."""
        for peer in self.peers:
            peer.send(GOODBYE)

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector:
            for peer in self.peers:
                selector.register(peer.connection, selectors.EVENT_READ, peer)
            while selector.get_map():
                for key, _ in selector.select():
                    messages = key.data.receive()
                    if messages is None:
                        selector.unregister(key.data.connection)
                    if self._is_loss(key.data, messages):
                        return

    def _is_loss(self, peer: Peer, messages: list[dict[str, Any]] | None) -> bool:
        for message in messages or []:
            if message["kind"] == LOST:
                return self._lose(message["rank"], message["place"])
            peer.has_left = peer.has_left or message["kind"] == GOODBYE
        if messages is None and not peer.has_left:
            return self._lose(peer.rank, peer.place)
        return False

    def _lose(self, rank: int, place: str) -> bool:
        for peer in self.peers:
            if peer.rank != rank:
                peer.send(LOST, rank=rank, place=place)
        # After the others know: this process may end as soon as it is set.
        self.is_lost.set()
        self._on_loss(
            f"rank {rank} ({place}) is lost: it was killed, has failed, or cannot be reached; "
            f"rank {self.rank} ends too, and resume=auto goes on from the last checkpoint"
        )
        return True

    def _close(self) -> None:
        for peer in self.peers:
            peer.connection.close()


class Listener:
    """Where the first process waits for the others.

    Args:
        host: The address by which the others know it.

    Attributes:
        port: The port that it listens on.
        token: What the others show; whoever does not is no process of the run.
    """

    def __init__(self, host: str) -> None:
        # By a name the others may find it under another address than it does itself.
        bound = host if host in ("127.0.0.1", "localhost") else ""
        self._socket = socket.create_server((bound, 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_hex(16)

    def accept(self, number: int) -> list[Peer]:
        """Waits for so many others; gives those that came in time."""
        deadline = time.monotonic() + CONNECT_SECONDS
        peers: list[Peer] = []
        with self._socket:
            while len(peers) < number and (left := deadline - time.monotonic()) > 0:
                self._socket.settimeout(left)
                try:
                    connection, _ = self._socket.accept()
                    peer = self._greeted(connection, left)
                except TimeoutError:
                    continue
                if peer is not None:
                    peers.append(peer)
        return peers

    def _greeted(self, connection: socket.socket, seconds: float) -> Peer | None:
        connection.settimeout(min(seconds, 5.0))
        peer = Peer(-1, "", connection)
        messages: list[dict[str, Any]] | None = []
        try:
            while messages == []:
                messages = peer.receive()
            hello = messages[0] if messages else {}
            if hello.get("token") != self.token:
                raise ValueError("no process of this run")
        except (ValueError, AttributeError):
            connection.close()
            return None
        _keep_alive(connection)
        return Peer(hello["rank"], hello["place"], connection)


def connect(rank: int, host: str, port: int, token: str, place_of_first: str) -> list[Peer]:
    """Connects a process to the first one; gives none where that is not to be reached."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            connection = socket.create_connection((host, port), timeout=left)
        except OSError:
            time.sleep(0.2)
            continue
        _keep_alive(connection)
        first = Peer(0, place_of_first, connection)
        first.send("hello", rank=rank, token=token, place=place_of_this_process())
        return [first]
    return []


def place_of_this_process() -> str:
    """Says where this process is to be looked for."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def end_with_parent() -> None:
    """Ends this process once the one has ended, however that was, that called `be_parent`."""
    parent = os.environ[PARENT]

    def wait() -> None:
        while str(os.getppid()) == parent:
            time.sleep(1.0)
        # A run that watches its processes has by then told whom it lost.
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def be_parent() -> None:
    """Lets the processes that this one starts know who started them."""
    os.environ[PARENT] = str(os.getpid())


def tell(sentence: str) -> None:
    """Writes a sentence to stderr at once, whatever else is being written."""
    sys.stderr.flush()
    os.write(2, f"clozekit train: {sentence}\n".encode())


def _keep_alive(connection: socket.socket) -> None:
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": IDLE_SECONDS,
        "TCP_KEEPALIVE": IDLE_SECONDS,  # the same on macOS
        "TCP_KEEPINTVL": PROBE_SECONDS,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": 1000 * (IDLE_SECONDS + PROBES * PROBE_SECONDS),
    }
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
