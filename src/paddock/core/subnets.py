"""How a network's subnet is divided between hosts and units, and where subnets come from.

The low half of a subnet is cut into blocks, one for each host that takes part; a block is a `/28`, or smaller where the
subnet is smaller than a `/24`, so that there are always up to eight or more of them: a sixteenth of the subnet each, at
least one address. The first address of a block that may be used is the host's gateway, the rest is left to containers
started behind our back. Units get addresses from the upper half. A gateway asked for in the compose file goes to the
first host that takes part (every host needs an address of its own, so it cannot be everybody's); addresses asked for
by units are kept as written, wherever they are, and blocks that hold one are given to hosts last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from paddock.model.objects import Host
from paddock.model.snapshot import Snapshot

LARGEST_BLOCK_BITS = 28
FIRST_VNI = 4096


class Layout(NamedTuple):
    """All addresses as integers. `first_unit`..`last_unit` is where units' addresses are chosen from."""

    first: int
    last: int
    first_block: int
    block_size: int
    blocks: int
    first_unit: int
    last_unit: int

    def gateway(self, block: int) -> int:
        return max(self.first_block + block * self.block_size, self.first + 1)

    def block_of(self, address: int) -> int | None:
        """The block the address lies in; None above the blocks."""
        at = (address - self.first_block) // self.block_size
        return at if 0 <= at < self.blocks else None

    def block_range(self, block: int) -> str:
        start = self.first_block + block * self.block_size
        return f"{IPv4Address(start)}/{32 - (self.block_size.bit_length() - 1)}"

    def usable(self, address: int) -> bool:
        """In the subnet, and neither its network address nor its broadcast address."""
        return self.first < address < self.last


@lru_cache(maxsize=4096)
def layout(subnet: str, ip_range: str = "") -> Layout:
    """`ip_range`, where asked for, is where units' addresses come from instead of the upper half."""
    network = IPv4Network(subnet, strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    bits = min(max(LARGEST_BLOCK_BITS, network.prefixlen + 4), 32)
    size = 1 << (32 - bits)
    half = (last - first + 1) // 2
    first_block = first if size > 1 else first + 1
    blocks = max((first + half - first_block) // size, 1)
    first_unit, last_unit = first + max(half, 2), last - 1
    if ip_range:
        asked = IPv4Network(ip_range, strict=False)
        first_unit = max(int(asked.network_address), first + 1)
        last_unit = min(int(asked.broadcast_address), last - 1)
    return Layout(first, last, first_block, size, blocks, first_unit, last_unit)


def text(address: int) -> str:
    return str(IPv4Address(address))


def number(address: str) -> int:
    return int(IPv4Address(address))


def mac_of(address: str) -> str:
    """Docker's bridge driver derives it the same way, so two endpoints on one network never have the same."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def ipv4_subnets(subnets: Iterable[str]) -> Iterator[IPv4Network]:
    for subnet in subnets:
        if ":" not in subnet:
            yield IPv4Network(subnet, strict=False)


def free_subnet(pools: Iterable[str], bits: int, taken: Iterable[IPv4Network]) -> str:
    """The lowest subnet of the pools that overlaps nothing taken; "" when there is none."""
    occupied = sorted((int(network.network_address), int(network.broadcast_address)) for network in taken)
    size = 1 << (32 - bits)
    for pool in ipv4_subnets(pools):
        start, end = int(pool.network_address), int(pool.broadcast_address)
        for low, high in occupied:
            if high < start:
                continue
            if low >= start + size:
                break
            start = (high // size + 1) * size
        if pool.prefixlen <= bits and start + size - 1 <= end:
            return f"{IPv4Address(start)}/{bits}"
    return ""


def lowest_free(taken: Iterable[int], first: int) -> int:
    """The lowest number from `first` on that is not taken."""
    for value in sorted({value for value in taken if value >= first}):
        if value != first:
            break
        first += 1
    return first


def own_network_of_a_host(snapshot: Snapshot, environment: str, asked: IPv4Network) -> str:
    """ "network 10.1.0.0/24 of host h1" where `asked` overlaps one: it would cut that host off. "" where it is free."""
    for host in snapshot.in_environment(Host, environment):
        for own in ipv4_subnets(host.facts.subnets):
            if own.overlaps(asked):
                return f"network {own} of host {host.name}"
    return ""
