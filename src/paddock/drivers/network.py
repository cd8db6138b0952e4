"""Cluster networks in this host's kernel: one VXLAN port per network in the bridge the engine has made for it.

`Overlay.apply` is all the agent calls: it reads the kernel, takes the difference and writes only that, so calling it
again costs a read. It works in the network namespace of the thread that makes it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from pyroute2 import IPRoute, NetlinkError

from paddock.drivers import rtnetlink
from paddock.drivers.links import Link, link_changes, link_of
from paddock.drivers.vxlan import (
    PORT_PREFIX,
    AddPort,
    AnyRule,
    DropPort,
    Entry,
    Observed,
    ObservedPort,
    SetBridge,
    SetPort,
    Tunnel,
    WantedNetwork,
    difference,
    without_bridge,
)
from paddock.model.errors import Broken, Transient
from paddock.model.objects import NetworkId

APPLY_TIMEOUT_S = 60.0


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """`rules` were written. `waiting` networks have no bridge yet: apply again once the engine has made it.

    `problems`: port name -> why it is not as wanted; the others are.
    """

    rules: tuple[AnyRule, ...] = ()
    waiting: tuple[NetworkId, ...] = ()
    problems: Mapping[str, str] = {}


class Overlay:
    """The network driver. One kernel thread of its own; applications wait for each other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="overlay")
        self._kernel: _Kernel | None = None

    async def apply(self, wanted: Sequence[WantedNetwork]) -> Applied:
        """Makes the kernel hold exactly these networks. Raises `Transient` when it cannot be read or told."""
        _check(wanted)
        return await self._in_thread(wanted)

    async def observe(self) -> Observed:
        async with asyncio.timeout(APPLY_TIMEOUT_S):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._observe)

    def changes(self) -> AsyncGenerator[None, None]:
        """Yields once it is listening, and after a bridge or port of ours came, went or was altered, by whomever: then
        call `apply`. Bursts become one.

        An engine that restarts may make its bridges anew, which throws our ports out of them. Entries of a table that
        somebody removes are not noticed here: an `apply` once a minute finds them.
        """
        return link_changes()

    async def close(self) -> None:
        """Lets go of the sockets; what is in the kernel stays and goes on working."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, wanted: Sequence[WantedNetwork]) -> Applied:
        async with asyncio.timeout(APPLY_TIMEOUT_S):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._apply, tuple(wanted))

    def _opened(self) -> _Kernel:
        if self._kernel is None:
            self._kernel = _Kernel()
        return self._kernel

    def _observe(self) -> Observed:
        return self._opened().observe()[0]

    def _apply(self, wanted: tuple[WantedNetwork, ...]) -> Applied:
        kernel = self._opened()
        observed, indexes = kernel.observe()
        rules = difference(wanted, observed)
        problems = kernel.write(rules, indexes)
        return Applied(rules=rules, waiting=without_bridge(wanted, observed), problems=problems)

    def _close(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None


def _check(wanted: Sequence[WantedNetwork]) -> None:
    seen: dict[int, WantedNetwork] = {}
    for network in wanted:
        other = seen.setdefault(network.vni, network)
        if other is not network:
            raise Broken(
                f"networks {other.network} and {network.network} were both given VNI {network.vni}",
                hint="every network needs its own; remove one of them",
            )


class _Kernel:
    """Reads and writes, blocking. Links are written through pyroute2, tables by hand (see rtnetlink)."""

    def __init__(self) -> None:
        try:
            self._route = IPRoute()
            self._socket = rtnetlink.RouteSocket()
        except OSError as error:
            raise Transient(f"cannot open a netlink socket: {error.strerror}", retry_after_s=1.0) from error

    def close(self) -> None:
        self._route.close()
        self._socket.close()

    def observe(self) -> tuple[Observed, dict[str, int]]:
        """What is there, and name -> index of our ports and of all bridges."""
        links = [link_of(body) for body in self._socket.links()]
        names = {link.index: link.name for link in links}
        ports = [link for link in links if link.tunnel is not None and link.name.startswith(PORT_PREFIX)]
        bridges = [link for link in links if link.kind == "bridge"]
        tables = _Tables({port.index for port in ports})
        if ports:
            tables.read_forwarding(self._socket.neighbours(socket.AF_BRIDGE))
            tables.read_neighbours(self._socket.neighbours(socket.AF_INET))
            tables.read_neighbours(self._socket.neighbours(socket.AF_INET6))
        observed = Observed(
            ports={port.name: _observed_port(port, names, tables) for port in ports},
            bridges={bridge.name: bridge.mac for bridge in bridges},
        )
        return observed, {link.name: link.index for link in [*ports, *bridges]}

    def write(self, rules: Iterable[AnyRule], indexes: dict[str, int]) -> dict[str, str]:
        """Links one by one, then every table in batches. A port that fails is reported and the others go on."""
        problems: dict[str, str] = {}
        changes: list[rtnetlink.Change] = []
        owners: dict[int, str] = {}
        for rule in rules:
            if rule.port in problems:
                continue
            if isinstance(rule, Entry):
                change = _change(rule, indexes[rule.port])
                owners[id(change)] = rule.port
                changes.append(change)
                continue
            try:
                self._write_link(rule, indexes)
            except NetlinkError as error:
                # Gone already is as good as dropped.
                if not (isinstance(rule, DropPort) and error.code == errno.ENODEV):
                    problems[rule.port] = _explain(rule, error.code)
            except OSError as error:
                problems[rule.port] = _explain(rule, error.errno or 0)
        for change, code in self._socket.change(changes):
            problems.setdefault(owners[id(change)], f"{change.what}: {os.strerror(code)}")
        return problems

    def _write_link(self, rule: DropPort | AddPort | SetPort | SetBridge, indexes: dict[str, int]) -> None:
        match rule:
            case DropPort():
                self._route.link("del", index=indexes.pop(rule.port))
            case AddPort():
                self._route.link("add", ifname=rule.port, kind="vxlan", mtu=rule.mtu, **_vxlan(rule.tunnel))
                indexes[rule.port] = socket.if_nametoindex(rule.port)
            case SetPort():
                index = indexes[rule.port]
                self._route.link("set", index=index, mtu=rule.mtu, master=indexes[rule.bridge])
                self._route.brport("set", index=index, learning=0, unicast_flood=0)
                self._route.link("set", index=index, state="up")
            case SetBridge():
                self._route.link("set", index=indexes[rule.bridge], address=rule.mac)


def _vxlan(tunnel: Tunnel) -> dict[str, Any]:
    version = "vxlan_local6" if ":" in tunnel.local_address else "vxlan_local"
    return {
        "vxlan_id": tunnel.vni,
        version: tunnel.local_address,
        "vxlan_port": tunnel.destination_port,
        "vxlan_learning": tunnel.learning,
        "vxlan_proxy": tunnel.proxy,
    }


def _change(entry: Entry, index: int) -> rtnetlink.Change:
    match entry.table:
        case "forward":
            return rtnetlink.forward(index, entry.key, entry.value, present=entry.present)
        case "seat":
            return rtnetlink.seat(index, entry.key, present=entry.present)
        case "neighbour":
            return rtnetlink.neighbour(index, entry.key, entry.value, present=entry.present)


def _explain(rule: AnyRule, code: int) -> str:
    text = os.strerror(code)
    match rule:
        case AddPort(tunnel=tunnel):
            return (
                f"cannot make the VXLAN port {rule.port}: {text} "
                f"(is VNI {tunnel.vni} on UDP port {tunnel.destination_port} taken? see `ip -d link show type vxlan`)"
            )
        case SetPort(bridge=bridge):
            return f"cannot put {rule.port} into bridge {bridge}: {text}"
        case _:
            return f"{rule.port}: {text}"


class _Tables:
    """The forwarding and neighbour tables of some links, by index."""

    def __init__(self, indexes: set[int]) -> None:
        self.forwards: dict[int, dict[str, tuple[str, ...]]] = {index: {} for index in indexes}
        self.seats: dict[int, list[str]] = {index: [] for index in indexes}
        self.neighbours: dict[int, dict[str, str]] = {index: {} for index in indexes}

    def read_forwarding(self, bodies: Iterable[bytes]) -> None:
        for body in bodies:
            index, state, flags = rtnetlink.neighbour_header(body)
            if index not in self.forwards:
                continue
            found = rtnetlink.attributes(body, rtnetlink.NEIGHBOUR_BYTES)
            mac = rtnetlink.text_mac(found.get(rtnetlink.NDA_LLADDR, b""))
            if rtnetlink.NDA_MASTER in found:
                if state & rtnetlink.NUD_NOARP:
                    self.seats[index].append(mac)
            elif flags & rtnetlink.NTF_SELF and rtnetlink.NDA_DST in found:
                host = rtnetlink.text_address(found[rtnetlink.NDA_DST])
                self.forwards[index][mac] = (*self.forwards[index].get(mac, ()), host)

    def read_neighbours(self, bodies: Iterable[bytes]) -> None:
        for body in bodies:
            index, state, _ = rtnetlink.neighbour_header(body)
            if index not in self.neighbours or not state & rtnetlink.NUD_PERMANENT:
                continue
            found = rtnetlink.attributes(body, rtnetlink.NEIGHBOUR_BYTES)
            if rtnetlink.NDA_DST in found:
                mac = rtnetlink.text_mac(found.get(rtnetlink.NDA_LLADDR, b""))
                self.neighbours[index][rtnetlink.text_address(found[rtnetlink.NDA_DST])] = mac


def _observed_port(link: Link, names: Mapping[int, str], tables: _Tables) -> ObservedPort:
    assert link.tunnel is not None
    return ObservedPort(
        tunnel=link.tunnel,
        mtu=link.mtu,
        bridge=names.get(link.master, ""),
        up=link.up,
        quiet=link.quiet,
        forwards=tables.forwards[link.index],
        seats=tuple(tables.seats[link.index]),
        neighbours=tables.neighbours[link.index],
    )
