"""Names as people think of them, for tests: what they mean, rather than what each address is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from paddock.core.names.records import NamedContainer, NamedNetwork, NameRecords
from paddock.model.assignment import AddressAssignment, AnyItem, NameAssignment
from paddock.model.objects import NetworkId


class Named(NamedTuple):
    network: NetworkId
    name: str
    addresses: tuple[str, ...] = ()
    reverse: bool = False


def records_of(
    networks: tuple[NamedNetwork, ...], names: Iterable[Named], containers: tuple[NamedContainer, ...] = ()
) -> NameRecords:
    called: dict[tuple[NetworkId, str], list[str]] = {}
    own: dict[tuple[NetworkId, str], str] = {}
    known = []
    for one in names:
        if not one.addresses:
            known.append(NameAssignment(network=one.network, name=one.name))
        for address in one.addresses:
            called.setdefault((one.network, address), [])
            if one.reverse and (one.network, address) not in own:
                own[one.network, address] = one.name
            else:
                called[one.network, address].append(one.name)
    addresses = tuple(
        AddressAssignment(network=network, ipv4=address, container=own.get((network, address), ""), names=tuple(names))
        for (network, address), names in called.items()
    )
    return NameRecords(networks=networks, addresses=addresses, known=tuple(known), containers=containers)


def meaning(items: Iterable[AnyItem]) -> Mapping[str, tuple[str, ...]]:
    """Name -> its addresses, of what an assignment says of one network."""
    found: dict[str, list[str]] = {}
    for item in items:
        if isinstance(item, AddressAssignment):
            for name in (item.container, *item.names):
                found.setdefault(name, []).append(item.ipv4)
        elif isinstance(item, NameAssignment):
            found.setdefault(item.name, [])
    return {name: tuple(sorted(addresses)) for name, addresses in sorted(found.items())}
