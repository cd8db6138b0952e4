"""Which hosts a change concerns: everybody else holds what it held."""

from __future__ import annotations

from collections.abc import Iterable

from paddock.core.assignment import answers, held
from paddock.core.attachments import files_of, stays_on_host
from paddock.core.network_names import short_ids
from paddock.model.changes import Change
from paddock.model.objects import (
    Environment,
    File,
    FileId,
    Host,
    HostId,
    HostState,
    Network,
    NetworkId,
    Revision,
    Unit,
    Volume,
)
from paddock.model.snapshot import Snapshot


def hosts_concerned(changes: Iterable[Change], before: Snapshot, after: Snapshot) -> tuple[HostId, ...]:
    """Hosts whose assignment the changes may have altered; everybody else's is as it was. Sorted."""
    concerned = _Concerned(before, after)
    for change in changes:
        concerned.add(change.object)
    return tuple(sorted(concerned.hosts))


def _told(unit: Unit | None) -> object:
    """What its own host is told of it, or because of it of units that share with it: no report of how it fares."""
    if unit is None or not held(unit):
        return None
    return unit.host, unit.desired, unit.live, unit.reuses, unit.revision, unit.name, unit.addresses, unit.addresses6


class _Concerned:
    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._sides = (before, after)
        self._networks: dict[NetworkId, None] = {}
        self.hosts: dict[HostId, None] = {}

    def add(self, thing: object) -> None:
        match thing:
            case Unit():
                self._unit(thing)
            case Host():
                self._host(thing)
            case Network():
                self._network(NetworkId(thing.id))
            case Volume():
                self._volume(thing)
            case File():
                for side in self._sides:
                    for unit in _users(side, FileId(thing.id), thing.environment):
                        self._note(unit.host)
            case Environment():
                self._environment(thing)

    def _note(self, host: HostId | None) -> None:
        if host is not None:
            self.hosts[host] = None

    def _unit(self, changed: Unit) -> None:
        old, new = (side.get(Unit, changed.id) for side in self._sides)
        if _told(old) != _told(new):
            for unit in (old, new):
                if unit is not None and held(unit):
                    self._note(unit.host)
        if self._seen(0, old) != self._seen(1, new):
            for unit in (old, new):
                for network in unit.addresses if unit is not None else ():
                    self._network(network)

    def _seen(self, side: int, unit: Unit | None) -> object:
        """What other hosts see of it."""
        if unit is None or not held(unit):
            return None
        answering = answers(self._sides[side], unit)
        return unit.host, unit.addresses, unit.name, unit.revision, unit.live, answering, short_ids(unit)

    def _network(self, id: NetworkId) -> None:
        if id in self._networks:
            return
        self._networks[id] = None
        for side in self._sides:
            network = side.get(Network, id)
            for host in sorted(network.gateways) if network is not None else ():
                self._note(host)

    def _host(self, changed: Host) -> None:
        old, new = (side.get(Host, changed.id) for side in self._sides)
        known = old is not None and new is not None
        if known and old is not None and new is not None:
            same_address = old.facts.address == new.facts.address
            same_trust = (old.state is HostState.LOST) == (new.state is HostState.LOST)
            if same_address and same_trust and old.facts.mtu == new.facts.mtu:
                return
        self._note(HostId(changed.id))
        for side in self._sides:
            for unit in side.units_on_host(HostId(changed.id)):
                for network in unit.addresses:
                    self._network(network)

    def _volume(self, changed: Volume) -> None:
        for side in self._sides:
            volume = side.get(Volume, changed.id)
            self._note(volume.host if volume is not None else None)
            if volume is not None and not stays_on_host(volume):
                for host in side.in_environment(Host, changed.environment):
                    self._note(HostId(host.id))

    def _environment(self, changed: Environment) -> None:
        old, new = (side.get(Environment, changed.id) for side in self._sides)
        if old is not None and new is not None and old.breaker == new.breaker:
            return
        for side in self._sides:
            for host in side.in_environment(Host, changed.id):
                self._note(HostId(host.id))


def _users(snapshot: Snapshot, file: FileId, environment: str) -> list[Unit]:
    found = []
    for revision in snapshot.in_environment(Revision, environment):
        if file in files_of(revision):
            found += [unit for unit in snapshot.units_of_service(revision.service) if unit.revision == revision.id]
    return found
