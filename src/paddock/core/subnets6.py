"""IPv6 on networks that ask for it: addresses follow from the IPv4 ones, so one book of addresses serves both.

An endpoint's IPv6 address is as far into its subnet as its IPv4 address is into its own. Where the subnet has the room,
all of these lie above the first 2^32 addresses, which are left to those that are asked for as written (`…::10`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from paddock.core.subnets import layout, number
from paddock.model.objects import Network
from paddock.model.specs import NetworkSpec

ULA_SUBNETS = 1 << 16
LEFT_TO_WISHES = 1 << 32


def ipv6_subnets(subnets: Iterable[str]) -> Iterator[IPv6Network]:
    for subnet in subnets:
        if ":" in subnet:
            yield IPv6Network(subnet, strict=False)


def free_subnet6(environment: str, taken: Iterable[IPv6Network]) -> str:
    """A /64 of the environment's own unique local prefix (RFC 4193: 40 bits that follow from something that is unique
    already); "" when all 65,536 overlap something."""
    prefix = int.from_bytes(b"\xfd" + hashlib.sha256(environment.encode()).digest()[:5]) << 80
    there = list(taken)
    for at in range(ULA_SUBNETS):
        subnet = IPv6Network((prefix | at << 64, 64))
        if not any(other.overlaps(subnet) for other in there):
            return str(subnet)
    return ""


def too_small(spec: NetworkSpec, subnet: str) -> str:
    """Why the network's IPv6 addresses do not fit, `subnet` being its IPv4 one; "" when they do."""
    for asked in ipv6_subnets(spec.subnets):
        room = IPv6Network(spec.ip_range6, strict=False) if spec.ip_range6 else asked
        if not room.subnet_of(asked):
            return f"{spec.ip_range6} is not in {asked}"
        if 128 - room.prefixlen < 32 - IPv4Network(subnet, strict=False).prefixlen:
            return f"{room} has fewer addresses than {subnet}, from which its containers' IPv4 addresses come"
        return ""
    return ""


def address6(network: Network, ipv4: str) -> str:
    """What the endpoint at `ipv4` has besides; "" on a network without IPv6."""
    return str(IPv6Address(_first(network) + _offset(network, ipv4))) if network.subnet6 else ""


def gateway6(network: Network, gateway: str) -> str:
    """Of the host whose gateway that is. One asked for goes to the first host, as with IPv4."""
    asked = network.spec.gateway6
    plan = layout(network.subnet, network.spec.ip_range)
    if network.subnet6 and asked and number(gateway) == number(network.spec.gateway or str_of(plan.gateway(0))):
        return str(IPv6Address(asked))
    return address6(network, gateway)


def str_of(address: int) -> str:
    return ".".join(map(str, address.to_bytes(4)))


def range6(network: Network, ip_range: str) -> str:
    """What a host's engine may give out by itself, `ip_range` being that of IPv4."""
    block = IPv4Network(ip_range)
    return f"{address6(network, str(block.network_address))}/{96 + block.prefixlen}" if network.subnet6 else ""


def _first(network: Network) -> int:
    room = IPv6Network(network.spec.ip_range6 or network.subnet6, strict=False)
    apart = LEFT_TO_WISHES if room.num_addresses > 2 * LEFT_TO_WISHES else 0
    return int(room.network_address) + apart


def _offset(network: Network, ipv4: str) -> int:
    return number(ipv4) - int(IPv4Network(network.subnet, strict=False).network_address)
