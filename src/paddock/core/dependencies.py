"""What a service waits for before its units may run (Compose's `depends_on`), and the order of going."""

from __future__ import annotations

from collections.abc import Iterator

from paddock.core.draft import Draft
from paddock.core.generations import attempts_exhausted
from paddock.core.links import links
from paddock.core.revisions import current, outdated
from paddock.model.objects import Service, ServiceId, Unit, UnitDesired, UnitState
from paddock.model.specs import Dependency, RestartPolicy


def ended_for_good(unit: Unit, policy: RestartPolicy) -> bool:
    """The newest unit of a slot has ended, and no next generation will follow by itself."""
    if unit.desired >= UnitDesired.STOPPED:
        return False
    if unit.state == UnitState.COMPLETE:
        return policy.condition != "any" or attempts_exhausted(unit, policy)
    if unit.state in (UnitState.FAILED, UnitState.SHUTDOWN):
        return policy.condition == "none" or attempts_exhausted(unit, policy)
    return unit.state == UnitState.REJECTED and attempts_exhausted(unit, policy)


def unmet(draft: Draft, service: Service) -> tuple[str, ...]:
    """What is still missing, a sentence each, in the order of the file."""
    return tuple(
        reason for dependency in draft.spec(service).depends_on if (reason := _unmet(draft, service, dependency))
    )


def _unmet(draft: Draft, service: Service, dependency: Dependency) -> str:
    other = draft.service_named(service, dependency.service)
    if other is None or other.removing:
        return f"{dependency.service} is not there" if dependency.required else ""
    policy = draft.spec(other).restart
    for unit in newest_wanted(draft, other):
        if unit is None or outdated(draft, other, unit):
            return f"{other.name} is not up to date yet"
        if ended_for_good(unit, policy) and unit.state != UnitState.COMPLETE:
            if dependency.required:
                return f"{unit.name} failed ({unit.message or 'no message'}) and is not started again"
        elif reason := _unit_unmet(unit, dependency):
            return reason
    return ""


def _unit_unmet(unit: Unit, dependency: Dependency) -> str:
    if unit.desired >= UnitDesired.STOPPED:
        return f"{unit.name} is {'stopped' if unit.desired == UnitDesired.STOPPED else 'being replaced'}"
    match dependency.condition:
        case "service_started":
            met = unit.state in (UnitState.RUNNING, UnitState.COMPLETE)
            return "" if met else f"{unit.name} has not started"
        case "service_healthy":
            return "" if unit.ready else f"{unit.name} is not healthy"
        case "service_completed_successfully":
            return "" if unit.state == UnitState.COMPLETE else f"{unit.name} has not completed"


def newest_wanted(draft: Draft, service: Service) -> Iterator[Unit | None]:
    """The newest unit of each slot that should be there; None for a slot without any."""
    slots = draft.slots(ServiceId(service.id))
    if draft.spec(service).mode.startswith("global"):
        wanted = sorted(slots)
    else:
        wanted = list(range(1, service.replicas + 1))
    for slot in wanted:
        units = slots.get(slot)
        yield current(draft, service, units) if units else None


def dependents(draft: Draft, service: Service) -> list[tuple[Service, Dependency]]:
    """Services of the stack that depend on this one."""
    found = []
    for id, dependency in links(draft, service.stack).dependents.get(service.name, ()):
        other = draft.get(Service, id)
        if other is not None and id != service.id:
            found.append((other, dependency))
    return found


def goes_after(draft: Draft, service: Service) -> str:
    """The name of a dependent that is going too and has not gone yet, "" if it is this service's turn."""
    for other, _ in dependents(draft, service):
        if (other.removing or other.stopped) and any(unit.live for unit in draft.units(ServiceId(other.id))):
            return other.name
    return ""
