"""What follows when the newest unit of a slot has ended by itself: nothing, the same containers again, or new ones.

The first crashes start the same containers again on the same host, as Docker's engine does (name, address and writable
layer stay); after `SAME_CONTAINERS_AT_MOST` quick ones, or when the host would not have it, the slot gets new
containers, wherever the scheduler finds best. Delays are those of `generations.backoff_s`.
"""

from __future__ import annotations

import msgspec

from paddock.core.dependencies import ended_for_good
from paddock.core.draft import Draft
from paddock.core.generations import memory_after, started_again
from paddock.core.placing import given_on
from paddock.core.revisions import current, outdated
from paddock.core.slots import retire, staying, waits
from paddock.model.changes import Change, Put
from paddock.model.objects import Host, HostState, Service, ServiceId, Unit, UnitState

SAME_CONTAINERS_AT_MOST = 3


def restarts(draft: Draft, service: Service) -> None:
    if service.removing or service.stopped:
        return
    slots = draft.slots(ServiceId(service.id))
    for slot in sorted(slots):
        unit = current(draft, service, slots[slot])
        if staying(unit) and (not unit.live or (unit.state == UnitState.RUNNING and unit.containers)):
            draft.apply(_after(draft, service, unit))


def _after(draft: Draft, service: Service, unit: Unit) -> list[Change]:
    if unit.live:
        return _unhealthy(draft, service, unit)
    if unit.state in (UnitState.ORPHANED, UnitState.REMOVED) or outdated(draft, service, unit):
        return []
    spec = draft.spec(service)
    if spec.mode.endswith("-job") and unit.state == UnitState.COMPLETE:
        return []
    if ended_for_good(unit, spec.restart) and not (unit.remake and unit.state == UnitState.REJECTED):
        return _given_up(draft, service, unit)
    if unit.state == UnitState.REJECTED:
        return retire(unit, f"its host could not run it: {unit.message}")
    return _again(draft, service, unit)


def _given_up(draft: Draft, service: Service, unit: Unit) -> list[Change]:
    policy = draft.spec(service).restart
    if unit.state == UnitState.COMPLETE and policy.condition != "any":
        return []
    why = f"gave up after {unit.attempts} restarts" if policy.max_attempts else "its restart policy is none"
    return waits(unit, f"not started again: {why}", (unit.message,) if unit.message else (), draft.now_s)


def _again(draft: Draft, service: Service, unit: Unit) -> list[Change]:
    host = draft.get(Host, unit.host) if unit.host is not None else None
    memory = memory_after(unit, draft.spec(service).restart)
    why = f"{unit.name} ended ({unit.message or unit.state.name.lower()})"
    usable = host is not None and host.state is HostState.ACTIVE and host.availability == "active"
    removed = any(container.state == "removed" for container in unit.containers)
    if not usable or removed or memory.crashes > SAME_CONTAINERS_AT_MOST or unit.finished_at_s == 0.0:
        return retire(unit, f"{why}: new containers follow")
    if taken := given_on(draft, unit):
        return retire(unit, f"{why}: new containers follow, {taken}")
    again = started_again(draft, service, unit, memory)
    over = msgspec.structs.replace(unit, state=UnitState.REMOVED, ended=unit.state, waiting=None)
    return [Put(object=over, reason=why), Put(object=again, reason=f"{why}: its containers are started again")]


def _unhealthy(draft: Draft, service: Service, unit: Unit) -> list[Change]:
    sick = [container for container in unit.containers if container.health == "unhealthy"]
    if not sick or outdated(draft, service, unit) or draft.host_gone(unit.host):
        return []
    names = ", ".join(container.name or unit.name for container in sick)
    marked = msgspec.structs.replace(unit, message=f"{names} is unhealthy")
    return retire(marked, f"{names} is unhealthy: replaced", UnitState.FAILED)
