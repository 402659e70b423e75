"""A lost process is reported, one that said goodbye is not; foreign connections are refused."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from clozekit.training.rank_connections import Listener, Peer, Watch, connect

HOST = "127.0.0.1"


@dataclass
class Survivor:
    """A process of a run that watches the others."""

    watch: Watch
    sentences: list[str] = field(default_factory=list)

    def reported(self) -> str:
        deadline = time.monotonic() + 10
        while not self.sentences and time.monotonic() < deadline:
            time.sleep(0.01)
        (sentence,) = self.sentences
        return sentence


def watching(rank: int, peers: list[Peer]) -> Survivor:
    sentences: list[str] = []
    return Survivor(Watch(rank, peers, sentences.append), sentences)


def die(peers: list[Peer]) -> None:
    """Closes the connections of a process, as the kernel does when it is killed."""
    for peer in peers:
        peer.connection.close()


@pytest.fixture
def peers() -> Iterator[list[list[Peer]]]:
    """The connections of three processes."""
    listener = Listener(HOST)
    accepted: list[Peer] = []
    thread = threading.Thread(target=lambda: accepted.extend(listener.accept(2)))
    thread.start()
    others = [connect(rank, HOST, listener.port, listener.token, "first") for rank in (1, 2)]
    thread.join()
    yield [accepted, *others]
    for each in (accepted, *others):
        die(each)


def test_a_lost_process_is_reported_to_all(peers: list[list[Peer]]) -> None:
    survivors = [watching(rank, peers[rank]) for rank in (0, 1)]
    die(peers[2])
    for rank, survivor in enumerate(survivors):
        assert survivor.reported().startswith("rank 2 (process ")
        assert (
            f" is lost: it was killed, has failed or cannot be reached; rank {rank} ends too"
            in (survivor.reported())
        )
        assert survivor.watch.is_lost.is_set()


def test_the_loss_of_rank_0_is_reported_by_the_others(peers: list[list[Peer]]) -> None:
    survivors = [watching(rank, peers[rank]) for rank in (1, 2)]
    die(peers[0])
    for survivor in survivors:
        assert survivor.reported().startswith("rank 0 (first) is lost: ")


def test_a_process_that_said_goodbye_is_not_reported(peers: list[list[Peer]]) -> None:
    first, second = watching(0, peers[0]), watching(1, peers[1])
    second.watch.goodbye()
    deadline = time.monotonic() + 10
    while not any(peer.has_left for peer in peers[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    peers[1][0].connection.shutdown(socket.SHUT_RDWR)
    die(peers[2])
    assert first.reported().startswith("rank 2 ")


def test_a_foreign_connection_is_refused() -> None:
    listener = Listener(HOST)
    accepted: list[Peer] = []
    thread = threading.Thread(target=lambda: accepted.extend(listener.accept(1)))
    thread.start()
    for content in (b"GET / HTTP/1.1\r\n", b'{"kind": "hello", "token": "guess"}\n', b"[]\n"):
        with socket.create_connection((HOST, listener.port)) as foreign:
            foreign.sendall(content)
    connect(1, HOST, listener.port, listener.token, "first")
    thread.join()
    assert [peer.rank for peer in accepted] == [1]


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the options of Linux")
def test_keepalive_probes_are_fast_enough(peers: list[list[Peer]]) -> None:
    (peer,) = peers[1]
    option = peer.connection.getsockopt
    assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, probe, probes = (
        option(socket.IPPROTO_TCP, number)
        for number in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + probe * probes < 30 - 8
