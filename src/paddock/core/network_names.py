"""What names mean on a network: of ready units only.

`SERVICE` (within the network; services of several stacks that meet under one name share it), `SERVICE.STACK`,
`tasks.SERVICE` as in Swarm mode, the container's name (with a PTR record), and aliases as in the compose file. A
standalone container goes by its name, its short id and its aliases.
"""

from __future__ import annotations

from paddock.core.attachments import attachments
from paddock.model.assignment import NameAssignment
from paddock.model.objects import NetworkId, Revision, Unit
from paddock.model.snapshot import Snapshot

SHORT_ID = 12
"""Digits of a container's id that its engine makes its host name."""


def names_on(snapshot: Snapshot, network: NetworkId, units: list[Unit]) -> list[NameAssignment]:
    """`units`: those that may be named. Sorted by name."""
    addresses: dict[str, dict[str, None]] = {}
    reverse: dict[str, None] = {}
    for unit in units:
        address = unit.addresses[network]
        reverse[unit.name.lower()] = None
        for name in _names_of(snapshot, network, unit):
            addresses.setdefault(name.lower(), {})[address] = None
    found = []
    for name in sorted(addresses):
        those = tuple(sorted(addresses[name], key=_by_number))
        found.append(NameAssignment(network=network, name=name, addresses=those, reverse=name in reverse))
    return found


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


def _by_number(address: str) -> tuple[int, ...]:
    return tuple(int(part) for part in address.split("."))
