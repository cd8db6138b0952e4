"""What names mean on a network: of ready units only.

`SERVICE` (within the network; services of several stacks that meet under one name share it), `SERVICE.STACK`,
`tasks.SERVICE` as in Swarm mode, the container's name (with a PTR record), and aliases as in the compose file. A
standalone container goes by its name, its aliases and, once it may be named, its short id.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from paddock.core.attachments import attachments
from paddock.model.assignment import AddressAssignment, AnyItem, NameAssignment
from paddock.model.objects import NetworkId, Revision, Unit, UnitState
from paddock.model.snapshot import Snapshot

SHORT_ID = 12
"""Digits of a container's id that its engine makes its host name."""


def fit_to_be_named(unit: Unit) -> bool:
    return unit.ready or _runs_alone(unit)


def _runs_alone(unit: Unit) -> bool:
    """Docker names a container as soon as it runs, whatever its healthcheck says of it."""
    if unit.standalone and unit.starting:
        return UnitState.PREPARED <= unit.state <= UnitState.READY
    return unit.standalone and unit.state == UnitState.READY and any(one.state == "running" for one in unit.containers)


def short_ids(unit: Unit) -> tuple[str, ...]:
    """None before it may be named: nobody shares them, so that there would be nothing to tell but that they are new."""
    if not unit.standalone or not fit_to_be_named(unit):
        return ()
    return tuple(container.id[:SHORT_ID] for container in unit.containers)


def names_on(
    network: NetworkId, answering: Iterable[AddressAssignment], starting: Iterable[AddressAssignment]
) -> list[AnyItem]:
    """Of those `starting`, only what they will be called together with others is told, where nobody has it yet."""
    found: dict[str, AddressAssignment] = {}
    names: dict[str, None] = {}
    for item in answering:
        shared = found.get(item.ipv4)
        # An address is one container's, but for the moment in which it is handed on.
        found[item.ipv4] = item if shared is None else _together(shared, item)
        names |= dict.fromkeys(item.names)
    unknown = dict.fromkeys(name for item in starting for name in item.names if name not in names)
    return [*found.values(), *(NameAssignment(network=network, name=name) for name in unknown)]


def _together(one: AddressAssignment, other: AddressAssignment) -> AddressAssignment:
    names = dict.fromkeys((*one.names, other.container, *other.names))
    return msgspec.structs.replace(one, names=tuple(name for name in names if name != one.container))


def address_of(snapshot: Snapshot, network: NetworkId, unit: Unit) -> AddressAssignment:
    """As it is once the unit may be named."""
    container, *others = dict.fromkeys(name.lower() for name in _names_of(snapshot, network, unit))
    return AddressAssignment(
        network=network,
        ipv4=unit.addresses[network],
        ipv6=unit.addresses6.get(network, ""),
        container=container,
        names=tuple(others),
    )


def _names_of(snapshot: Snapshot, network: NetworkId, unit: Unit) -> list[str]:
    service = unit.service_name
    if unit.standalone:
        names = [unit.name, *short_ids(unit)]
    else:
        names = [unit.name, service, f"{service}.{unit.stack_name}", f"tasks.{service}"]
    revision = snapshot.get(Revision, unit.revision)
    if revision is not None:
        for id, attachment in attachments(revision, revision.spec.container):
            if id == network:
                names += attachment.aliases
    return list(dict.fromkeys(names))
