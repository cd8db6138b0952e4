"""A snapshot and what has been decided on top of it, so that each reconciler sees what those before it decided.

A draft lives for one call of `converge`. It hands out the same answers whatever the order of the snapshot's tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard, TypeVar, cast

import msgspec

from paddock.core.schedule.fleet import Fleet
from paddock.core.schedule.ports import Claim, claims
from paddock.model.changes import Change, Delete, Put
from paddock.model.objects import (
    KINDS,
    Environment,
    Host,
    HostId,
    HostState,
    NetworkId,
    Object,
    Revision,
    RevisionId,
    Service,
    ServiceId,
    StackId,
    Unit,
    UnitId,
    UnitState,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ServiceSpec

T = TypeVar("T", bound=Object)
GONE = (UnitState.ORPHANED, UnitState.REMOVED)
"""Nothing of these units is, or may be taken to be, on any host."""
Slots = dict[int, list[Unit]]
"""Slot -> its units, oldest generation first."""


class Draft:
    """Reads fall through to the snapshot, `apply` writes; `wakes`: service -> the earliest time that was asked for
    while it was `looked_at` ("": hosts, which are looked at every time)."""

    def __init__(self, snapshot: Snapshot, now_s: float) -> None:
        self.snapshot = snapshot
        self.now_s = now_s
        self.wakes: dict[str, float] = {}
        self.looked_at = ""
        self._written: dict[type[Object], dict[str, Object | None]] = {kind: {} for kind in KINDS}
        self._reasons: dict[type[Object], dict[str, str]] = {kind: {} for kind in KINDS}
        self._slots: dict[ServiceId, Slots] = {}
        self._fleets: dict[str, Fleet] = {}
        self._hosts: dict[str, list[Host]] = {}
        self._fresh_on_network: dict[NetworkId, dict[str, None]] = {}
        self._fresh_names: dict[str, str] = {}
        self._fresh_addresses: dict[tuple[NetworkId, str], UnitId] = {}
        self._remembered: dict[str, Any] = {}
        self.writes = 0

    def wake(self, at_s: float) -> None:
        """Look again at `at_s` (only times to come are of interest)."""
        if at_s > self.now_s:
            self.wakes[self.looked_at] = min(at_s, self.wakes.get(self.looked_at, at_s))

    # Reading

    def get(self, kind: type[T], id: str) -> T | None:
        written: dict[str, Any] = self._written[kind]
        if id in written:
            found: T | None = written[id]
            return found
        return self.snapshot.get(kind, id)

    def table(self, kind: type[T]) -> list[T]:
        """Every object of the kind, sorted by id."""
        found: dict[str, T | None] = dict(self.snapshot.table(kind))
        found.update(cast("dict[str, T | None]", self._written[kind]))
        return [thing for _, thing in sorted(found.items()) if thing is not None]

    def written(self, kind: type[Object]) -> list[str]:
        """Ids of the kind that were written in this draft."""
        return list(self._written[kind])

    def hosts(self, environment: str) -> list[Host]:
        """Of the environment, sorted by id."""
        if environment not in self._hosts:
            self._hosts[environment] = [host for host in self.table(Host) if host.environment == environment]
        return self._hosts[environment]

    def services_of_stack(self, stack: StackId) -> list[Service]:
        found = [self.get(Service, service.id) for service in self.snapshot.services_of_stack(stack)]
        return [service for service in found if service is not None]

    def service_named(self, near: Service, name: str) -> Service | None:
        """The service of that name in the same stack."""
        found = self.snapshot.named(Service, near.environment, f"{near.stack_name}/{name}")
        return self.get(Service, found.id) if found is not None else None

    def revision(self, thing: Service | Unit) -> Revision:
        found = self.get(Revision, thing.revision)
        assert found is not None, f"{thing.id} names the revision {thing.revision}, which is not there"
        return found

    def spec(self, thing: Service | Unit) -> ServiceSpec:
        return self.revision(thing).spec

    def slots(self, service: ServiceId) -> Slots:
        """Not to be changed by callers."""
        if service not in self._slots:
            slots: Slots = {}
            for unit in self.snapshot.units_of_service(service):
                slots.setdefault(unit.slot, []).append(unit)
            self._slots[service] = slots
        return self._slots[service]

    def units(self, service: ServiceId) -> list[Unit]:
        """By slot, then generation."""
        slots = self.slots(service)
        return [unit for slot in sorted(slots) for unit in slots[slot]]

    def units_on_network(self, network: NetworkId) -> list[Unit]:
        """Sorted by id."""
        ids = {unit.id: None for unit in self.snapshot.units_on_network(network)}
        ids |= self._fresh_on_network.get(network, {})
        found = [self.get(Unit, id) for id in sorted(ids)]
        return [unit for unit in found if unit is not None and network in unit.addresses]

    def name_taken(self, environment: str, name: str) -> bool:
        """Containers of that name are, or may be, on some host."""
        made = self._fresh_names.get(f"{environment}/{name}")
        ids = [] if made is None else [made]
        if self.snapshot.named(Unit, environment, name) is not None:
            ids += [unit.id for unit in self.snapshot.units_named(environment, name)]
        found = [self.get(Unit, id) for id in ids]
        return any(unit is not None and unit.name == name and unit.state not in GONE for unit in found)

    def fleet(self, environment: str) -> Fleet:
        """Hosts with what is taken on them: as the snapshot counts it, and this draft; kept true by every write."""
        if environment not in self._fleets:
            fleet = Fleet(self.hosts(environment))
            fleet.take_over([self.snapshot.usage(host) for host in fleet.ids], self._claims_of)
            self._fleets[environment] = fleet
            for id, after in self._written[Unit].items():
                before = self.snapshot.get(Unit, id)
                if _takes(before, environment):
                    revision = self.snapshot.get(Revision, before.revision)
                    assert revision is not None
                    fleet.give(revision.spec, [before])
                unit = cast("Unit | None", after)
                if _takes(unit, environment):
                    fleet.take(self.spec(unit), [unit])
        return self._fleets[environment]

    def _claims_of(self, revision: RevisionId) -> list[Claim]:
        found = self.snapshot.get(Revision, revision)
        return claims(found.spec) if found is not None else []

    def remembered(self, key: str) -> Any:
        """What another room worked out from this draft and keeps up to date itself."""
        return self._remembered.get(key)

    def remember(self, key: str, value: Any) -> None:
        self._remembered[key] = value

    def made_with(self, network: NetworkId, address: str) -> UnitId | None:
        """The unit that was made in this draft with that address, the last one if there were several."""
        return self._fresh_addresses.get((network, address))

    def breaker_open(self, environment: str) -> bool:
        found = self.get(Environment, environment)
        return found is not None and found.breaker == "open"

    def host_gone(self, host: HostId | None) -> bool:
        """The host is lost or taken out, so nothing can be asked of it; None is not gone."""
        if host is None:
            return False
        found = self.get(Host, host)
        return found is None or found.state is HostState.LOST

    # Writing

    def apply(self, changes: Iterable[Change], *, taken: bool = False) -> int:
        """Take the changes in; answers how many there were. `taken`: the fleet knows already that units were placed."""
        count = 0
        for change in changes:
            thing: Object = change.object
            kind = type(thing)
            before = cast("Object | None", self.get(kind, thing.id))
            after = None if isinstance(change, Delete) else thing
            self._written[kind][thing.id] = after
            known = self._reasons[kind].get(thing.id)
            self._reasons[kind][thing.id] = (
                change.reason if not known or known == change.reason else f"{known}; {change.reason}"
            )
            if kind is Unit:
                self._unit_written(cast("Unit | None", before), cast("Unit | None", after), taken=taken)
            elif isinstance(thing, Service):
                self._remembered.pop(f"links/{thing.stack}", None)
            elif kind is Host:
                self._hosts.clear()
                self._fleets.clear()
            count += 1
        self.writes += count
        return count

    def _unit_written(self, before: Unit | None, after: Unit | None, *, taken: bool) -> None:
        either = after if after is not None else before
        if either is None:
            return
        slots = self.slots(either.service)
        units = slots.get(either.slot)
        if after is None:
            left = [unit for unit in units or () if unit.generation != either.generation]
            if left:
                slots[either.slot] = left
            else:
                slots.pop(either.slot, None)
        elif not units or units[-1].generation < after.generation:
            slots[either.slot] = [*units, after] if units else [after]
        else:
            slots[either.slot] = [after if unit.generation == after.generation else unit for unit in units]
        if after is not None and before is None:
            self._fresh_names[f"{after.environment}/{after.name}"] = after.id
        if after is not None and after.addresses:
            self._addresses_written(after)
        if not taken and self._fleets:
            self._recount(before, after)

    def _addresses_written(self, unit: Unit) -> None:
        for network, address in unit.addresses.items():
            self._fresh_addresses[(network, address)] = UnitId(unit.id)
            self._fresh_on_network.setdefault(network, {})[unit.id] = None

    def _recount(self, before: Unit | None, after: Unit | None) -> None:
        for unit, coming in ((before, False), (after, True)):
            if unit is None or unit.host is None or not unit.live or unit.environment not in self._fleets:
                continue
            fleet, spec = self._fleets[unit.environment], self.revision(unit).spec
            if coming:
                fleet.take(spec, [unit])
            else:
                fleet.give(spec, [unit])

    def undo_unit(self, made: Unit | None, before: Unit, writes: int) -> None:
        """Takes a trial back: `made` is as if never written, `before` as it was, and `writes` what it counted then."""
        if made is not None:
            self.apply([Delete(object=made, reason="")])
            del self._written[Unit][made.id], self._reasons[Unit][made.id]
        self.apply([Put(object=before, reason="")])
        if self.snapshot.get(Unit, before.id) == before:
            del self._written[Unit][before.id], self._reasons[Unit][before.id]
        self.writes = writes

    def changes(self) -> tuple[Change, ...]:
        """What is left to write: one change per object, none where nothing differs, by kind, as first decided."""
        found: list[Change] = []
        for kind, written in self._written.items():
            table = self.snapshot.table(kind)
            for id, after in written.items():
                change = _difference(table.get(id), after, self._reasons[kind][id])
                if change is not None:
                    found.append(change)
        return tuple(found)


def _takes(unit: Unit | None, environment: str) -> TypeGuard[Unit]:
    return unit is not None and unit.host is not None and unit.live and unit.environment == environment


def _difference(before: Object | None, after: Object | None, reason: str) -> Change | None:
    if after is None:
        return None if before is None else Delete(object=cast(Any, before), reason=reason)
    if before is None:
        return Put(object=cast(Any, after), reason=reason)
    if after == before:
        return None
    if after.version != before.version:
        after = msgspec.structs.replace(after, version=before.version)
    return Put(object=cast(Any, after), reason=reason)
