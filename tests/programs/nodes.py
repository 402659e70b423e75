"""Two nodes on one machine: network namespaces that a cable joins."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A network namespace.

    Attributes:
        name: The namespace.
        interface: Its end of the cable.
        address: Its address there.
    """

    name: str
    interface: str
    address: str

    @property
    def command(self) -> tuple[str, ...]:
        """What stands before a command that runs on this node."""
        return ("ip", "netns", "exec", self.name)

    def unplug(self) -> None:
        """Takes the cable out: from here on neither side hears anything of the other."""
        _ip("-n", self.name, "link", "set", self.interface, "down")


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True, text=True, timeout=20)


def why_not() -> str | None:
    """Says why there can be no namespaces here; None where there can."""
    if shutil.which("ip") is None:
        return "the command `ip` is missing"
    name = f"clozekit-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "delete", name)
    except subprocess.SubprocessError as error:
        told = getattr(error, "stderr", None) or str(error)
        return f"network namespaces are refused: {told.strip()}"
    return None


@contextmanager
def two_nodes() -> Iterator[tuple[Node, Node]]:
    """Gives two nodes, and removes them whatever happens."""
    number = os.getpid()
    nodes = (
        Node(f"clozekit-a-{number}", f"cka{number}", "10.231.77.1"),
        Node(f"clozekit-b-{number}", f"ckb{number}", "10.231.77.2"),
    )
    a, b = nodes
    try:
        for node in nodes:
            _ip("netns", "add", node.name)
        ends = (a.interface, "netns", a.name, "type", "veth", "peer", "name", b.interface)
        _ip("link", "add", *ends, "netns", b.name)
        for node in nodes:
            plug_in(node)
        yield nodes
    finally:
        for node in nodes:
            # Its end of the cable goes with it, and the other end with that.
            subprocess.run(("ip", "netns", "delete", node.name), check=False, capture_output=True)


def plug_in(node: Node) -> None:
    """Gives a node its address, and takes it on the network."""
    _ip("-n", node.name, "address", "replace", f"{node.address}/24", "dev", node.interface)
    for interface in ("lo", node.interface):
        _ip("-n", node.name, "link", "set", interface, "up")
