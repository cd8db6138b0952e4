"""Slots to units: which slots a service should have, a unit in each, none elsewhere; stopping and going in order."""

from __future__ import annotations

import msgspec

from paddock.core.dependencies import goes_after
from paddock.core.draft import GONE, Draft
from paddock.core.generations import memory_after as _memory_after
from paddock.core.generations import next_unit, started_again
from paddock.core.placing import given_on
from paddock.core.revisions import other_container
from paddock.core.schedule.expressions import host_satisfies, parse
from paddock.core.slots import retire
from paddock.model.changes import Change, Put
from paddock.model.objects import Host, HostId, HostState, Service, ServiceId, Unit, UnitDesired, UnitState
from paddock.model.specs import ServiceSpec

_STOPPED = (UnitState.SHUTDOWN, UnitState.FAILED, UnitState.COMPLETE)
"""Where a unit may be that was asked to stop: it can have ended by itself just before."""
Wanted = dict[int, HostId | None]
"""Slot -> the host it belongs to (global services), or None where the scheduler chooses."""


def services(draft: Draft, service: Service) -> None:
    if not service.removing and _vanished(draft, service):
        service = msgspec.structs.replace(service, removing=True)
        draft.apply([Put(object=service, reason=f"container {service.name} was removed")])
    if service.removing or service.stopped:
        draft.apply(_going(draft, service, keep=not service.removing))
        return
    wanted = wanted_slots(draft, service)
    draft.apply(_unwanted(draft, service, wanted))
    _missing(draft, service, wanted)


def _vanished(draft: Draft, service: Service) -> bool:
    """A standalone container that is gone is not made anew; one that could not even be prepared tries elsewhere, and so
    does one that is to be rescheduled when its host is taken out."""
    if draft.spec(service).mode != "standalone":
        return False
    units = draft.units(ServiceId(service.id))
    if not units or units[-1].state not in GONE or units[-1].ended == UnitState.REJECTED:
        return False
    rescheduled = draft.spec(service).reschedule and (units[-1].containers or units[-1].remake)
    return not (rescheduled and units[-1].state == UnitState.ORPHANED)


def wanted_slots(draft: Draft, service: Service) -> Wanted:
    spec = draft.spec(service)
    if not spec.mode.startswith("global"):
        return dict.fromkeys(range(1, service.replicas + 1))
    bound: dict[str, int] = {}
    slots = draft.slots(ServiceId(service.id))
    for slot in sorted(slots):
        host = slots[slot][-1].host
        if host is not None and host not in bound:
            bound[host] = slot
    free = (slot for slot in range(1, len(slots) + len(draft.hosts(service.environment)) + 1) if slot not in slots)
    wanted: Wanted = {}
    for there in draft.hosts(service.environment):
        if serves(there, spec):
            known = bound.get(there.id)
            wanted[known if known is not None else next(free)] = HostId(there.id)
    return dict(sorted(wanted.items()))


def serves(host: Host, spec: ServiceSpec) -> bool:
    """A global service wants a unit there. A silent or lost host keeps its slot: the unit cannot go elsewhere."""
    if host.state is HostState.JOINING or host.availability != "active":
        return False
    found = [parse(text) for text in spec.placement.constraints]
    return all(
        host_satisfies(host, expression) for expression in found if expression is not None and not expression.soft
    )


def _going(draft: Draft, service: Service, *, keep: bool) -> list[Change]:
    """Every unit stops; with `keep` its containers stay. Dependents that are going too go first."""
    last = goes_after(draft, service)
    changes: list[Change] = []
    reason = "the service is stopped" if keep else "the service is removed"
    for unit in draft.units(ServiceId(service.id)):
        if last and unit.live:
            continue
        if not keep or unit.state == UnitState.NEW:
            changes += retire(unit, reason)
        elif unit.live and unit.desired < UnitDesired.STOPPED:
            changes.append(Put(object=msgspec.structs.replace(unit, desired=UnitDesired.STOPPED), reason=reason))
    return changes


def _unwanted(draft: Draft, service: Service, wanted: Wanted) -> list[Change]:
    slots = draft.slots(ServiceId(service.id))
    if len(slots) == len(wanted) and all(slot in wanted for slot in slots):
        return []
    changes: list[Change] = []
    for slot in sorted(slots, reverse=True):
        if slot not in wanted:
            for unit in slots[slot]:
                changes += retire(unit, f"{service.name} is scaled down: slot {slot} is given up")
    return changes


def _missing(draft: Draft, service: Service, wanted: Wanted) -> None:
    """Each slot's changes are taken in before the next one is looked at: they may want the same of one host."""
    slots = draft.slots(ServiceId(service.id))
    for slot, host in wanted.items():
        units = slots.get(slot)
        if units is None or all(unit.state in GONE for unit in units):
            unit = next_unit(draft, service, slot, units[-1] if units else None)
            if host is not None:
                unit = msgspec.structs.replace(unit, host=host)
            reason = f"{service.name} wants slot {slot}"
            draft.apply([Put(object=unit, reason=_because(units[-1], reason) if units else reason)])
        elif units[-1].desired == UnitDesired.STOPPED and units[-1].state in _STOPPED:
            draft.apply(_start(draft, service, units[-1]))


def _start(draft: Draft, service: Service, unit: Unit) -> list[Change]:
    """A unit that was stopped on request, of a service that is not stopped (any more)."""
    if other_container(draft, service, unit) or draft.host_gone(unit.host):
        return retire(unit, "its containers are not what the service wants now")
    if why := given_on(draft, unit):
        return retire(unit, f"its containers cannot be started again: {why}")
    again = started_again(draft, service, unit, _memory_after(unit, draft.spec(service).restart))
    over = msgspec.structs.replace(
        unit, state=UnitState.REMOVED, ended=unit.state, message=f"its containers became generation {again.generation}"
    )
    return [
        Put(object=over, reason="its containers are started again"),
        Put(object=again, reason="the service is started"),
    ]


def _because(previous: Unit, otherwise: str) -> str:
    ended = previous.ended if previous.ended is not None else previous.state
    match ended:
        case UnitState.ORPHANED:
            return f"{previous.name}'s host was lost"
        case UnitState.FAILED | UnitState.REJECTED | UnitState.COMPLETE:
            return f"{previous.name} {ended.name.lower()}: {previous.message}" if previous.message else otherwise
    return otherwise
