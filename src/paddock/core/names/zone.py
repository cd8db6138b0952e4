"""Looking a question up: who asks decides which networks are searched."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import msgspec

from paddock.core.names.packet import (
    AAAA,
    ANY,
    CLASS_IN,
    NOERROR,
    NXDOMAIN,
    PTR,
    REFUSED,
    A,
    Query,
    address_record,
    name_record,
)
from paddock.core.names.records import NamedContainer, NamedNetwork, NameRecords
from paddock.model.assignment import AddressAssignment
from paddock.model.objects import NetworkId

REVERSE_SUFFIX = ".in-addr.arpa"
REVERSE_SUFFIX6 = ".ip6.arpa"


class NetworkNames(msgspec.Struct, frozen=True, kw_only=True):
    """`names`: lower-case name -> addresses of ready containers. `reverse`: address -> name."""

    network: NamedNetwork
    names: Mapping[str, tuple[str, ...]] = {}
    reverse: Mapping[str, str] = {}


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """Askers that are equal get equal answers."""

    networks: tuple[NetworkId, ...]
    links: tuple[tuple[str, str], ...] = ()
    resolvers: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    code: int
    records: tuple[bytes, ...] = ()


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    networks: Mapping[NetworkId, NetworkNames] = {}

    @classmethod
    def of(cls, records: NameRecords) -> Zone:
        found: dict[NetworkId, _Found] = {one.network: _Found() for one in records.networks}
        for item in sorted(records.addresses, key=_number):
            if item.network in found:
                found[item.network].add(item)
        for known in records.known:
            if known.network in found:
                found[known.network].names.setdefault(_spelt(known.name), [])
        return cls(networks={one.network: found[one.network].on(one) for one in records.networks})

    def changed_since(self, before: Zone) -> frozenset[NetworkId]:
        """Networks that mean something else now, come or gone."""
        both = {**before.networks, **self.networks}
        return frozenset(one for one in both if before.networks.get(one) != self.networks.get(one))

    def look_up(self, asker: Asker, query: Query) -> Answer | None:
        """None: not ours, the host's own resolvers may know."""
        if query.class_ not in (CLASS_IN, ANY):
            return Answer(code=REFUSED)
        networks = [self.networks[one] for one in asker.networks if one in self.networks]
        addresses = _addresses(networks, _linked(asker, query.name))
        if addresses is not None:
            return Answer(code=NOERROR, records=_records(addresses, query.kind))
        if query.name.endswith((REVERSE_SUFFIX, REVERSE_SUFFIX6)):
            found = self._reverse(networks, query)
            if found is not None:
                return found
        if networks and all(one.network.internal for one in networks):
            return Answer(code=NXDOMAIN)
        return None

    def _reverse(self, networks: Sequence[NetworkNames], query: Query) -> Answer | None:
        address = _reversed_address(query.name)
        if address is None:
            return None
        for one in networks:
            name = one.reverse.get(str(address))
            if name is not None:
                wanted = query.kind in (PTR, ANY)
                return Answer(code=NOERROR, records=(name_record(name),) if wanted else ())
        # An address of ours without a name the asker may see: the outside cannot know it either.
        subnets = [
            one.network.subnet if address.version == 4 else one.network.subnet6 for one in self.networks.values()
        ]
        ours = any(address in ipaddress.ip_network(subnet) for subnet in subnets if subnet)
        return Answer(code=NXDOMAIN) if ours else None


class _Found:
    """Names of one network, in the making."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self._reverse: dict[str, str] = {}

    def add(self, item: AddressAssignment) -> None:
        own = (item.container,) if item.container else ()
        addresses = (item.ipv4, item.ipv6) if item.ipv6 else (item.ipv4,)
        for name in dict.fromkeys(map(_spelt, (*own, *item.names))):
            self.names.setdefault(name, []).extend(addresses)
        if own:
            self._reverse.update(dict.fromkeys(addresses, item.container))

    def on(self, network: NamedNetwork) -> NetworkNames:
        names = {name: tuple(addresses) for name, addresses in self.names.items()}
        return NetworkNames(network=network, names=names, reverse=self._reverse)


def _spelt(name: str) -> str:
    return name.lower().rstrip(".")


def _number(item: AddressAssignment) -> bytes:
    """Answers begin with the lowest address."""
    return bytes(map(int, item.ipv4.split(".")))


def _linked(asker: Asker, name: str) -> str:
    for alias, target in asker.links:
        if alias == name:
            return target
    return name


def _addresses(networks: Sequence[NetworkNames], name: str) -> tuple[str, ...] | None:
    """Of the first network that has any; () when the name is known but nothing is ready; None when it is not ours."""
    known = False
    for one in networks:
        addresses = one.names.get(name)
        if addresses:
            return addresses
        known = known or addresses is not None
    return () if known else None


def _records(addresses: Sequence[str], kind: int) -> tuple[bytes, ...]:
    if kind == A:
        return tuple(address_record(one) for one in addresses if ":" not in one)
    if kind == AAAA:
        return tuple(address_record(one) for one in addresses if ":" in one)
    return tuple(address_record(one) for one in addresses) if kind == ANY else ()


def _reversed_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if name.endswith(REVERSE_SUFFIX6):
        return _reversed_address6(name.removesuffix(REVERSE_SUFFIX6).split("."))
    parts = name.removesuffix(REVERSE_SUFFIX).split(".")
    if len(parts) != 4:
        return None
    try:
        return ipaddress.IPv4Address(".".join(reversed(parts)))
    except ValueError:
        return None


def _reversed_address6(nibbles: Sequence[str]) -> ipaddress.IPv6Address | None:
    if len(nibbles) != 32 or not all(len(one) == 1 and one in "0123456789abcdef" for one in nibbles):
        return None
    return ipaddress.IPv6Address(int("".join(reversed(nibbles)), 16))


def asker_of(container: NamedContainer) -> Asker:
    links = sorted((alias.lower(), target.lower()) for alias, target in container.links.items())
    return Asker(networks=tuple(container.addresses), links=tuple(links), resolvers=container.resolvers)
