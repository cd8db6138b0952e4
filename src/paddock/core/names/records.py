"""What the names server of one host is told: its networks, what names mean there, and who may be asking."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from paddock.model.assignment import AddressAssignment, NameAssignment
from paddock.model.objects import NetworkId


class NamedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """The server listens on `gateway`, this host's address in `subnet`. From an `internal` network nothing is asked of
    the outside: its names would carry data out."""

    network: NetworkId
    gateway: str
    subnet: str
    internal: bool = False
    subnet6: str = ""


class NamedContainer(msgspec.Struct, frozen=True, kw_only=True):
    """A local container. `addresses`: network -> its address there; a name is looked up in that order of networks.

    `links`: alias -> name, for this container only. `resolvers`: asked instead of the host's own for all other names
    (what its user gave as `dns`; the engine must be given the gateway alone, or our names would go there too).
    """

    addresses: Mapping[NetworkId, str]
    links: Mapping[str, str] = {}
    resolvers: tuple[str, ...] = ()


class NameRecords(msgspec.Struct, frozen=True, kw_only=True):
    networks: tuple[NamedNetwork, ...] = ()
    addresses: tuple[AddressAssignment, ...] = ()
    known: tuple[NameAssignment, ...] = ()
    containers: tuple[NamedContainer, ...] = ()
