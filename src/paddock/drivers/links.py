"""Links as the kernel tells of them, and when they change."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator, Mapping

import msgspec

from paddock.drivers import rtnetlink
from paddock.drivers.vxlan import Tunnel

SETTLE_S = 0.05
BRIDGE_PREFIX = "pdk"
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_DATA = 1, 2, 5
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING, IFLA_VXLAN_PROXY = 1, 4, 7, 11
IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 15, 17
IFLA_BRPORT_LEARNING, IFLA_BRPORT_UNICAST_FLOOD = 8, 9


class Link(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    master: int
    up: bool
    quiet: bool
    tunnel: Tunnel | None


def link_of(body: bytes) -> Link:
    index, flags = rtnetlink.link_header(body)
    found = rtnetlink.attributes(body, rtnetlink.LINK_BYTES)
    info = rtnetlink.attributes(found.get(IFLA_LINKINFO, b""))
    kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode("ascii", "replace")
    seat = rtnetlink.attributes(info.get(IFLA_INFO_SLAVE_DATA, b""))
    return Link(
        index=index,
        name=found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode("utf-8", "replace"),
        kind=kind,
        mac=rtnetlink.text_mac(found.get(IFLA_ADDRESS, b"")),
        mtu=_number(found.get(IFLA_MTU)),
        master=_number(found.get(IFLA_MASTER)),
        up=bool(flags & IFF_UP),
        quiet=seat.get(IFLA_BRPORT_LEARNING) == b"\0" and seat.get(IFLA_BRPORT_UNICAST_FLOOD) == b"\0",
        tunnel=_tunnel(rtnetlink.attributes(info.get(IFLA_INFO_DATA, b""))) if kind == "vxlan" else None,
    )


def _number(payload: bytes | None) -> int:
    return int.from_bytes(payload or b"", "little" if struct.pack("=H", 1) == b"\1\0" else "big")


def _tunnel(found: Mapping[int, bytes]) -> Tunnel:
    local = found.get(IFLA_VXLAN_LOCAL) or found.get(IFLA_VXLAN_LOCAL6)
    return Tunnel(
        vni=_number(found.get(IFLA_VXLAN_ID)),
        local_address=rtnetlink.text_address(local) if local else "",
        destination_port=int.from_bytes(found.get(IFLA_VXLAN_PORT, b""), "big"),
        learning=found.get(IFLA_VXLAN_LEARNING, b"\0") != b"\0",
        proxy=found.get(IFLA_VXLAN_PROXY, b"\0") != b"\0",
    )


async def link_changes() -> AsyncGenerator[None, None]:
    """Watches link messages; those that only repeat what is known (counters, carrier) are not worth a yield."""
    loop = asyncio.get_running_loop()
    wake = asyncio.Event()
    known: dict[int, tuple[str, int, int, bool]] = {}
    listener = socket.socket(
        socket.AF_NETLINK,
        socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
        socket.NETLINK_ROUTE,
    )
    try:
        listener.bind((0, rtnetlink.GROUP_LINK))
        loop.add_reader(listener.fileno(), _hear, listener, known, wake)
        yield
        while True:
            await wake.wait()
            await asyncio.sleep(SETTLE_S)
            wake.clear()
            yield
    finally:
        loop.remove_reader(listener.fileno())
        listener.close()


def _hear(listener: socket.socket, known: dict[int, tuple[str, int, int, bool]], wake: asyncio.Event) -> None:
    try:
        data = listener.recv(rtnetlink.BUFFER_BYTES)
    except BlockingIOError:
        return
    except OSError:
        # The kernel dropped messages (ENOBUFS): anything may have changed.
        known.clear()
        wake.set()
        return
    for kind, _, _, body in rtnetlink.messages(data):
        if kind not in (rtnetlink.RTM_NEWLINK, rtnetlink.RTM_DELLINK):
            continue
        link = link_of(body)
        if not link.name.startswith(BRIDGE_PREFIX) or body[0] == socket.AF_BRIDGE:
            continue
        if kind == rtnetlink.RTM_DELLINK:
            known.pop(link.index, None)
            wake.set()
        elif known.get(link.index) != (seen := (link.name, link.master, link.mtu, link.up)):
            known[link.index] = seen
            wake.set()
