"""Connections between the processes of a run, used to detect that one of them has ended."""

import json
import os
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CONNECT_SECONDS = 30.0
"""How long the processes try to connect to each other."""

IDLE_SECONDS, PROBE_SECONDS, PROBES = 4, 4, 3
"""TCP keepalive: a machine that does not answer counts as lost after 4 + 3 * 4 seconds.

The kernel answers the probes, so a busy process does not count as lost.
"""

GRACE_SECONDS = 8.0
"""The time that a process has to end by itself after another one is lost."""

PARENT = "CLOZEKIT_PARENT"
"""The environment variable with the id of the process that started this one."""

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
        """Sends a message. Errors are ignored: the reader of the connection notices a lost peer."""
        try:
            self.connection.sendall(json.dumps({"kind": kind, **values}).encode() + b"\n")
        except OSError:
            return

    def receive(self) -> list[dict[str, Any]] | None:
        """Reads the messages that have arrived; None if the connection is closed."""
        try:
            content = self.connection.recv(4096)
        except OSError:
            return None
        if not content:
            return None
        *lines, self.received = (self.received + content).split(b"\n")
        return [json.loads(line) for line in lines]


class Watch:
    """A thread that detects when another process ends, because its connection closes.

    Rank 0 is connected to all other ranks and reports a loss to them. The kernel closes the
    connections of a killed process. Connections to an unreachable machine are closed when TCP
    keepalive probes are not answered. A process that is only busy or slow never counts as lost.

    Args:
        rank: The rank of this process.
        peers: The processes that this one is connected to.
        on_loss: Called once in the thread, with a message that names the lost process.

    Attributes:
        loss: The message, once a process is lost.
        is_lost: Set after `loss`.
    """

    def __init__(self, rank: int, peers: list[Peer], on_loss: Callable[[str], None]) -> None:
        self.rank = rank
        self.peers = peers
        self.loss: str | None = None
        self.is_lost = threading.Event()
        self._on_loss = on_loss
        # A forked data worker would keep the connections of a killed process open.
        os.register_at_fork(after_in_child=self._close)
        threading.Thread(target=self._watch, name="rank-watch", daemon=True).start()

    def goodbye(self) -> None:
        """Tells the peers that this process is about to end normally."""
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
                return self._report_loss(message["rank"], message["place"])
            peer.has_left = peer.has_left or message["kind"] == GOODBYE
        if messages is None and not peer.has_left:
            return self._report_loss(peer.rank, peer.place)
        return False

    def _report_loss(self, rank: int, place: str) -> bool:
        for peer in self.peers:
            if peer.rank != rank:
                peer.send(LOST, rank=rank, place=place)
        self.loss = (
            f"rank {rank} ({place}) is lost: it was killed, has failed or cannot be reached; "
            f"rank {self.rank} ends too; resume=auto continues from the last checkpoint"
        )
        # Only after the peers are informed: the main thread may end the process from here on.
        self.is_lost.set()
        self._on_loss(self.loss)
        return True

    def _close(self) -> None:
        for peer in self.peers:
            peer.connection.close()


class Listener:
    """The socket on which rank 0 accepts the connections of the other ranks.

    Args:
        host: The address under which the other ranks reach rank 0.

    Attributes:
        port: The port.
        token: A secret of the run. A connection that does not send it is closed.
    """

    def __init__(self, host: str) -> None:
        # Other machines may resolve a host name to another address than this one does.
        bound = host if host in ("127.0.0.1", "localhost") else ""
        self._socket = socket.create_server((bound, 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self.token = secrets.token_hex(16)

    def accept(self, number: int) -> list[Peer]:
        """Accepts `number` peers; returns those that connected in time."""
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
    """Connects a process to rank 0; returns an empty list if rank 0 cannot be reached."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            connection = socket.create_connection((host, port), timeout=left)
        except OSError:
            time.sleep(0.2)
            continue
        _keep_alive(connection)
        first = Peer(0, place_of_first, connection)
        first.send("hello", rank=rank, token=token, place=describe_this_process())
        return [first]
    return []


def describe_this_process() -> str:
    """Describes this process by its id and machine."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def end_with_parent() -> None:
    """Ends this process when the process that called `set_parent` has ended, for any reason.

    Lightning starts the processes of a run as commands, so the parent is known only by its id, not
    as an object that `clozekit.processes.workers.end_with` could join.
    """
    parent = os.environ[PARENT]

    def wait() -> None:
        while str(os.getppid()) == parent:
            time.sleep(1.0)
        # Leaves time for `RankWatch` to report which process is lost.
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def set_parent() -> None:
    """Passes the id of this process on to the processes that it starts."""
    os.environ[PARENT] = str(os.getpid())


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
