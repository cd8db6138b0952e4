"""What the agent sees of its machine."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import socket
import struct
from pathlib import Path

from paddock import __version__
from paddock.drivers.engine import Engine
from paddock.model.objects import HostFacts

_SIOCGIFADDR, _SIOCGIFMTU = 0x8915, 0x8921
_ROUTES = Path("/proc/net/route")
_OURS = ("pdk",)
"""Beginnings of the names of devices that cluster networks make on hosts."""
_IPV6 = Path("/proc/net/if_inet6")
_LEAST_PREFIX = 8
"""Wider routes are defaults in disguise, such as 0.0.0.0/1 of a VPN."""


async def facts_of(engine: Engine, server: tuple[str, int]) -> HostFacts:
    """`server` is where the agent connects to: the way there says which of this host's addresses counts.

    The kernel is asked on a thread: while an engine makes network devices, its answer takes up to a second.
    """
    seen = await engine.facts()
    address = await source_address(server)
    mtu, found, six = await asyncio.to_thread(lambda: (mtu_of(address), _subnets_now(), _IPV6.exists()))
    return HostFacts(
        address=address,
        engine_version=seen.version,
        api_version=seen.api_version,
        engine_id=seen.engine_id,
        os=seen.os,
        kernel=seen.kernel,
        architecture=seen.architecture,
        cpus=seen.cpus,
        memory_bytes=seen.memory_bytes,
        mtu=mtu,
        subnets=found,
        agent_version=__version__,
        engine_labels=seen.labels,
        ipv6=six,
    )


async def source_address(server: tuple[str, int]) -> str:
    """This host's address on the way to the server; "" while there is none. Sends nothing."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(*server, type=socket.SOCK_DGRAM)
        family, _, _, _, place = found[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def mtu_of(address: str) -> int:
    """Of the device that has `address`; 1500 when it is not found. Not from /sys, which may be another namespace's."""
    for _, name in socket.if_nameindex():
        if name != "lo" and _ipv4_of(name) == address:
            return int(struct.unpack("=i", _asked(name, _SIOCGIFMTU)[:4])[0])
    return 1500


def _ipv4_of(name: str) -> str:
    try:
        return socket.inet_ntoa(_asked(name, _SIOCGIFADDR)[4:8])
    except OSError:
        return ""


def _asked(name: str, request: int) -> bytes:
    """What the kernel says of a device (netdevice(7)), after its name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        return fcntl.ioctl(probe.fileno(), request, struct.pack("256s", os.fsencode(name)[:15]))[16:]


def _subnets_now() -> tuple[str, ...]:
    return subnets(_ROUTES.read_text())


def subnets(routes: str) -> tuple[str, ...]:
    """Networks this host has a way to, but for default routes and ours; from the text of `/proc/net/route`."""
    found: dict[ipaddress.IPv4Network, None] = {}
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 8 or fields[0].startswith(_OURS):
            continue
        address, mask = (socket.ntohl(int(fields[column], 16)) for column in (1, 7))
        network = ipaddress.IPv4Network((address, mask.bit_count()), strict=False)
        if network.prefixlen >= _LEAST_PREFIX:
            found[network] = None
    return tuple(str(network) for network in sorted(found))
