"""Units whose host is lost, taken out or drained: they go elsewhere where elsewhere will have them, else they stay.

A unit of a lost host is given up (`ORPHANED`) only together with a place for its successor. So nothing is torn from a
host that merely cannot be heard while no other host could take over: a host alone keeps its containers through an
outage of any length, and so does one whose neighbours are full.
"""

from __future__ import annotations

from paddock.core.addressing import address_units
from paddock.core.draft import GONE, Draft
from paddock.core.generations import next_unit
from paddock.core.placing import ask_for, place_units, volume_pins
from paddock.core.revisions import current
from paddock.core.rolling import start_first_possible
from paddock.core.schedule.place import place
from paddock.core.slots import given_up, retire, staying, waits
from paddock.model.changes import Put
from paddock.model.objects import Host, HostId, HostState, Service, ServiceId, Unit, UnitDesired, UnitState


def moves(draft: Draft, service: Service) -> None:
    slots = draft.slots(ServiceId(service.id))
    for slot in sorted(slots):
        for unit in list(slots[slot]):
            if unit.host is None or unit.state == UnitState.NEW or unit.state in GONE:
                continue
            host = draft.get(Host, unit.host)
            if host is None:
                _orphan(draft, unit, "its host was taken out")
            elif host.state is HostState.LOST:
                _off_lost(draft, service, unit, host)
            elif host.availability == "drained":
                _off_drained(draft, service, unit, host)
            elif unit.waiting is not None and unit.live and unit.desired == UnitDesired.RUN:
                draft.apply(waits(unit, "", (), draft.now_s))


def _orphan(draft: Draft, unit: Unit, reason: str) -> None:
    draft.apply([given_up(unit, reason, draft.now_s)])


def _off_lost(draft: Draft, service: Service, unit: Unit, host: Host) -> None:
    if draft.breaker_open(service.environment):
        if unit.live:
            why = f"host {host.name} is lost, and so are most: nothing is moved until they are back or somebody says so"
            draft.apply(waits(unit, why, (), draft.now_s))
    elif not staying(unit):
        _orphan(draft, unit, f"host {host.name} is lost; the unit was to go anyway")
    elif unit.live and _is_current(draft, service, unit):
        _succeed(draft, service, unit, host)
    elif unit.live:
        _orphan(draft, unit, f"host {host.name} is lost, and the slot has a newer unit")


def _succeed(draft: Draft, service: Service, unit: Unit, host: Host) -> None:
    """The next generation elsewhere, or a word why not."""
    why = _held_back(draft, service, unit, lost=True)
    details: tuple[str, ...] = ()
    if not why:
        writes = draft.writes
        _orphan(draft, unit, f"host {host.name} is lost")
        successor = next_unit(draft, service, unit.slot, unit)
        draft.apply([Put(object=successor, reason=f"host {host.name} is lost")])
        address_units(draft, service, unit.slot)
        fresh = draft.get(Unit, successor.id)
        assert fresh is not None
        placed = place_units(draft, service, [fresh]) if fresh.waiting is None else None
        if placed is not None and placed.units:
            return
        draft.undo_unit(fresh, unit, writes)
        why = placed.reason if placed is not None else fresh.waiting.reason if fresh.waiting is not None else ""
        details = placed.details if placed is not None else ()
    draft.apply(waits(unit, f"host {host.name} is lost, and it cannot go elsewhere: {why}", details, draft.now_s))


def _held_back(draft: Draft, service: Service, unit: Unit, *, lost: bool) -> str:
    """Why the unit can only ever be on its host; "" when it can move."""
    spec = draft.spec(service)
    if spec.mode.startswith("global"):
        return "it is that host's own"
    if unit.standalone and not (lost and spec.reschedule == "on-node-failure"):
        return "it was made by `docker run`, and only whoever made it can make it again"
    if unit.standalone and not (unit.containers or unit.remake):
        return "it was being made there by somebody who has to ask again"
    pinned = [pin.why for pin in volume_pins(draft, service) if pin.host == unit.host]
    return "; ".join(pinned)


def _off_drained(draft: Draft, service: Service, unit: Unit, host: Host) -> None:
    """Where possible the next unit of the slot runs before this one goes."""
    if (
        not unit.live
        or not staying(unit)
        or not _is_current(draft, service, unit)
        or host.state is not HostState.ACTIVE
    ):
        return
    why = _held_back(draft, service, unit, lost=False)
    details: tuple[str, ...] = ()
    others = [other for other in draft.slots(unit.service)[unit.slot] if other is not unit]
    alone = not any(other.live and staying(other) for other in others)
    if not why and alone and any(other.live for other in others):
        # A third one in the slot is one too many: what goes there is waited for.
        return
    if not why and alone and start_first_possible(draft, service):
        writes = draft.writes
        successor = next_unit(draft, service, unit.slot, unit)
        draft.apply([Put(object=successor, reason=f"host {host.name} is drained")])
        address_units(draft, service, unit.slot)
        fresh = draft.get(Unit, successor.id)
        assert fresh is not None
        if fresh.waiting is None and place_units(draft, service, [fresh], without=(HostId(host.id),)).units:
            return
        draft.undo_unit(fresh, unit, writes)
    if not why:
        outcome = place(draft.fleet(service.environment), ask_for(draft, service, None, (HostId(host.id),)), 1)
        if outcome.where:
            draft.apply(retire(unit, f"host {host.name} is drained, and another host can take it"))
            return
        why, details = outcome.reason, outcome.details
    draft.apply(waits(unit, f"host {host.name} is drained, and it cannot go elsewhere: {why}", details, draft.now_s))


def _is_current(draft: Draft, service: Service, unit: Unit) -> bool:
    return current(draft, service, draft.slots(unit.service)[unit.slot]).generation == unit.generation
