"""Two hosts on one machine, connected by a cable of their own: Linux network namespaces.

    with two_hosts() as hosts:
        hosts.near.start("-m", "tests.some_module", hosts.far.address)
        hosts.near.link_down()

No packet leaves them, and they are removed at the end of the block. They need root, `ip` and `nft`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
_COMMAND_TIMEOUT: Final = 20.0
_NUMBERS: Final = count()


@dataclass(frozen=True, kw_only=True)
class Host:
    """One end of the cable, with its own address."""

    namespace: str
    interface: str
    address: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs Python with these arguments on this host."""
        return ["ip", "netns", "exec", self.namespace, sys.executable, *arguments]

    def link_down(self) -> None:
        """Take the interface down, which removes its routes, as switching a network off does."""
        _run("ip", "-n", self.namespace, "link", "set", self.interface, "down")

    def link_up(self) -> None:
        _run("ip", "-n", self.namespace, "link", "set", self.interface, "up")

    def lose(self, percent: int) -> None:
        """Drop this share of the packets that arrive, at random."""
        self._nft("add table ip loss")
        self._nft("add chain ip loss arriving { type filter hook input priority 0; }")
        rule = f"iifname {self.interface} numgen random mod 100 < {percent}"
        self._nft(f"add rule ip loss arriving {rule} counter drop")

    def lost(self) -> int:
        """Return how many packets were dropped so far."""
        match = re.search(r"packets (\d+)", self._nft("list table ip loss"))
        return int(match[1]) if match else 0

    def _nft(self, command: str) -> str:
        return _run("ip", "netns", "exec", self.namespace, "nft", command)


@dataclass(frozen=True, kw_only=True)
class Hosts:
    near: Host
    far: Host


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Two hosts that reach only each other. Skips the test where they can't be created."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("network namespaces need Linux and root")
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            pytest.skip(f"network namespaces need `{program}`: scripts/system-packages network")
    # Interface names may have 15 characters.
    name = f"cw{os.getpid()}n{next(_NUMBERS)}"
    near = Host(namespace=f"{name}a", interface=f"{name}a", address="10.203.0.1")
    far = Host(namespace=f"{name}b", interface=f"{name}b", address="10.203.0.2")
    with ExitStack() as stack:
        for host in (near, far):
            _run("ip", "netns", "add", host.namespace)
            stack.callback(_run, "ip", "netns", "delete", host.namespace)
        _run(
            *("ip", "-n", near.namespace, "link", "add", near.interface, "type", "veth"),
            *("peer", "name", far.interface, "netns", far.namespace),
        )
        for host in (near, far):
            _run("ip", "-n", host.namespace, "link", "set", "lo", "up")
            _run(
                *("ip", "-n", host.namespace, "address", "add", f"{host.address}/24"),
                *("dev", host.interface),
            )
            host.link_up()
        yield Hosts(near=near, far=far)


def _run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
