"""What names mean on a network: of ready units only.

`SERVICE` (within the network; services of several stacks that meet under one name share it), `SERVICE.STACK`,
`tasks.SERVICE` as in Swarm mode, the container's name (with a PTR record), and aliases as in the compose file. A
standalone container goes by its name, its short id and its aliases.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from paddock.core.attachments import attachments
from paddock.model.assignment import AddressAssignment, AnyItem, NameAssignment
from paddock.model.objects import NetworkId, Revision, Unit
from paddock.model.snapshot import Snapshot

SHORT_ID = 12
"""Digits of a container's id that its engine makes its host name."""


def names_on(
    snapshot: Snapshot, network: NetworkId, answering: Iterable[Unit], starting: Iterable[Unit]
) -> list[AnyItem]:
    """`answering`: those that may be named. Of those `starting`, only what they will be called together with others is
    told, where nobody has it yet."""
    found: dict[str, AnyItem] = {}
    names: dict[str, None] = {}
    for unit in answering:
        item = _address(snapshot, network, unit)
        shared = found.get(item.ipv4)
        # An address is one container's, but for the moment in which it is handed on.
        if isinstance(shared, AddressAssignment):
            more = tuple(dict.fromkeys((*shared.names, item.container, *item.names)))
            item = msgspec.structs.replace(shared, names=more)
        found[item.ipv4] = item
        names |= dict.fromkeys(item.names)
    for unit in starting:
        for name in _address(snapshot, network, unit).names:
            if name not in names:
                found[f"/{name}"] = NameAssignment(network=network, name=name)
    return list(found.values())


def _address(snapshot: Snapshot, network: NetworkId, unit: Unit) -> AddressAssignment:
    container, *others = dict.fromkeys(name.lower() for name in _names_of(snapshot, network, unit))
    address = unit.addresses[network]
    return AddressAssignment(network=network, ipv4=address, container=container, names=tuple(others))


def _names_of(snapshot: Snapshot, network: NetworkId, unit: Unit) -> list[str]:
    service = unit.service_name
    if unit.standalone:
        names = [unit.name, *(container.id[:SHORT_ID] for container in unit.containers)]
    else:
        names = [unit.name, service, f"{service}.{unit.stack_name}", f"tasks.{service}"]
    revision = snapshot.get(Revision, unit.revision)
    if revision is not None:
        for id, attachment in attachments(revision, revision.spec.container):
            if id == network:
                names += attachment.aliases
    return list(dict.fromkeys(names))
