"""A LAN of hosts made of network namespaces: no engine, but bridges and containers like an engine's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pyroute2 import netns

from paddock.drivers.network import Overlay
from paddock.drivers.vxlan import Peer, WantedNetwork
from paddock.model.objects import NetworkId

T = TypeVar("T")
DEADLINE_S = 20.0
BRIDGE = "pdktest0"
MTU = 1450


def ip(*words: str) -> str:
    return command("ip", *words)


def command(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def mac_of(ipv4: str) -> str:
    return "02:42:" + ":".join(f"{int(part):02x}" for part in ipv4.split("."))


class InNamespace:
    """An event loop in a thread that lives in a network namespace, as an agent's process would."""

    def __init__(self, name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(name,), daemon=True)
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(body, self._loop).result(DEADLINE_S * 3)

    def close(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)

    def _live(self, name: str) -> None:
        netns.setns(name)
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(self._ready.set)
            self._loop.run_forever()


@dataclass
class LabHost:
    name: str
    namespace: str
    address: str
    gateway: str
    inside: InNamespace
    overlay: Overlay = field(default_factory=Overlay)

    def make_bridge(self, bridge: str = BRIDGE) -> None:
        ip("-n", self.namespace, "link", "add", bridge, "type", "bridge")
        ip("-n", self.namespace, "addr", "add", f"{self.gateway}/16", "dev", bridge)
        ip("-n", self.namespace, "link", "set", bridge, "up")

    def run(self, *words: str) -> str:
        return ip("netns", "exec", self.namespace, *words)

    def close(self) -> None:
        self.inside.run(self.overlay.close())
        self.inside.close()


@dataclass
class Lab:
    """`where`: container address -> host name."""

    prefix: str
    hosts: dict[str, LabHost] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    peer_gateways: bool = False

    @classmethod
    def up(cls, count: int, *, bridges: bool = True) -> Lab:
        lab = cls(prefix=f"network-{os.getpid()}-{next(_numbers)}")
        ip("netns", "add", f"{lab.prefix}-lan")
        lan = ("-n", f"{lab.prefix}-lan")
        ip(*lan, "link", "add", "br0", "type", "bridge")
        ip(*lan, "link", "set", "br0", "up")
        for number in range(1, count + 1):
            name, namespace = f"h{number}", f"{lab.prefix}-h{number}"
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "set", "lo", "up")
            ip(*lan, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            ip(*lan, "link", "set", name, "master", "br0", "up")
            ip("-n", namespace, "addr", "add", f"10.66.0.{10 + number}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "eth0", "up")
            host = LabHost(name, namespace, f"10.66.0.{10 + number}", f"10.96.0.{number}", InNamespace(namespace))
            lab.hosts[name] = host
            if bridges:
                host.make_bridge()
        return lab

    def down(self) -> None:
        for host in self.hosts.values():
            host.close()
        for address in self.where:
            ip("netns", "del", self.container(address))
        for host in self.hosts.values():
            ip("netns", "del", host.namespace)
        ip("netns", "del", f"{self.prefix}-lan")

    def container(self, address: str) -> str:
        return f"{self.prefix}-c{address.replace('.', '-')}"

    def start(self, address: str, host: str, bridge: str = BRIDGE) -> None:
        """A container with this address on this host; or moves it there, its ARP table and all."""
        namespace = self.container(address)
        outside = "v" + "".join(f"{int(part):02x}" for part in address.split(".")[1:])
        if address in self.where:
            ip("-n", self.hosts[self.where[address]].namespace, "link", "del", outside)
        else:
            ip("netns", "add", namespace)
        target = self.hosts[host].namespace
        ip("-n", target, "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        ip("-n", target, "link", "set", outside, "master", bridge, "up")
        ip("-n", namespace, "link", "set", "eth0", "address", mac_of(address), "mtu", str(MTU))
        ip("-n", namespace, "addr", "add", f"{address}/16", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        self.where[address] = host

    def wanted(self, host: str, bridge: str = BRIDGE) -> WantedNetwork:
        peers = [(address, mac_of(address), self.hosts[home].address) for address, home in self.where.items()]
        if self.peer_gateways:
            peers += [(one.gateway, mac_of(one.gateway), one.address) for one in self.hosts.values()]
        here = self.hosts[host]
        return WantedNetwork(
            network=NetworkId("net-1"),
            bridge=bridge,
            vni=0x5A01,
            mtu=MTU,
            local_address=here.address,
            bridge_mac=mac_of(here.gateway) if self.peer_gateways else "",
            peers=tuple(
                Peer(ipv4=ipv4, mac=mac, host_address=home) for ipv4, mac, home in peers if home != here.address
            ),
        )

    def apply(self) -> None:
        for name, host in self.hosts.items():
            applied = host.inside.run(host.overlay.apply([self.wanted(name)]))
            assert not applied.problems
            assert not applied.waiting

    def ping(self, source: str, target: str, bytes_: int = 56, tries: int = 1) -> bool:
        """Without fragments."""
        return ping(self.container(source), target, bytes_, tries)


def ping(namespace: str, target: str, bytes_: int = 56, tries: int = 1) -> bool:
    words = ("ip", "netns", "exec", namespace, "ping", "-n", "-q", "-M", "do", "-c", str(tries), "-i", "0.2", "-W", "1")
    done = subprocess.run([*words, "-s", str(bytes_), target], capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def _count() -> Any:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _count()
