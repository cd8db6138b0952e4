"""What is over: finished units beyond a few per slot, revisions nothing is made of, services with nothing left."""

from __future__ import annotations

import msgspec

from paddock.core.draft import GONE, Draft
from paddock.core.generations import end_of
from paddock.core.revisions import outdated
from paddock.core.slots import retire, staying
from paddock.model.changes import Change, Delete, Put
from paddock.model.objects import Host, HostState, Service, ServiceId, Unit, UnitState

FAILURES_KEPT = 3
"""Per slot, besides the newest unit; of those that went because they were told to, none is kept."""


def history(draft: Draft, service: Service) -> None:
    slots = draft.slots(ServiceId(service.id))
    highest = service.used_generations
    everywhere = draft.spec(service).mode.startswith("global")
    for slot in sorted(slots):
        units = list(slots[slot])
        if service.removing:
            draft.apply(_delete([unit for unit in units if unit.state in GONE and not _left_adopted(draft, unit)]))
        elif (not everywhere and slot > service.replicas) or (everywhere and _over(draft, units)):
            if all(_over(draft, [unit]) for unit in units):
                highest = max(highest, units[-1].generation)
                draft.apply(_delete(units))
        elif len(units) > 1:
            withdrawn = _withdrawn(draft, service, units)
            highest = max([highest, *(unit.generation for unit in withdrawn)])
            draft.apply(_delete(withdrawn))
            draft.apply(_trimmed(draft, [unit for unit in units if unit not in withdrawn]))
    if service.removing:
        _end(draft, service)
    elif highest > service.used_generations:
        changed = msgspec.structs.replace(service, used_generations=highest)
        draft.apply([Put(object=changed, reason="slots were given up")])


def _delete(units: list[Unit]) -> list[Change]:
    return [Delete(object=unit, reason="nothing of it is left") for unit in units]


def _over(draft: Draft, units: list[Unit]) -> bool:
    """Nothing of these units can turn up again: gone, and the hosts of those given up are back, or are no more."""
    for unit in units:
        if unit.state == UnitState.REMOVED:
            continue
        host = draft.get(Host, unit.host) if unit.host is not None else None
        back = host is None or host.state is HostState.ACTIVE
        if unit.state != UnitState.ORPHANED or not back or _left_adopted(draft, unit):
            return False
    return True


def _left_adopted(draft: Draft, unit: Unit) -> bool:
    """Its container has no label of ours, so that only as this unit's will its host ever remove it."""
    return bool(unit.adopts) and unit.state == UnitState.ORPHANED and draft.get(Host, unit.host or "") is not None


def _withdrawn(draft: Draft, service: Service, units: list[Unit]) -> list[Unit]:
    """What a rollout that went back had put beside a unit that is still there: the slot is that unit's again."""
    there = [unit for unit in units if unit.state not in GONE and staying(unit)]
    if not there:
        return []
    return [
        unit
        for unit in units
        if unit.generation > there[-1].generation and _over(draft, [unit]) and outdated(draft, service, unit)
    ]


def _trimmed(draft: Draft, units: list[Unit]) -> list[Change]:
    changes: list[Change] = []
    for unit in units[:-1]:
        if not unit.live and unit.state not in GONE:
            changes += retire(unit, "a newer unit has its slot")
    over = [unit for unit in units[:-1] if _over(draft, [unit])]
    if units[-1].state == UnitState.NEW and units[-2] in over:
        # The new one may be taken away unplaced, and nobody may then get the id of one that was on a host.
        over.remove(units[-2])
    told = [unit for unit in over if end_of(unit) == UnitState.REMOVED or end_of(unit) == UnitState.SHUTDOWN]
    failed = [unit for unit in over if unit not in told]
    return changes + _delete(told + failed[: max(len(failed) - FAILURES_KEPT, 0)])


def _end(draft: Draft, service: Service) -> None:
    if draft.slots(ServiceId(service.id)):
        return
    changes: list[Change] = [
        Delete(object=revision, reason="its service is removed")
        for revision in draft.snapshot.revisions_of_service(ServiceId(service.id))
    ]
    changes.append(Delete(object=service, reason="nothing of it is left"))
    draft.apply(changes)


def unused_revisions(draft: Draft, service: Service) -> None:
    """Revisions that no unit has, and that neither the service nor its rollout names."""
    revisions = draft.snapshot.revisions_of_service(ServiceId(service.id))
    if len(revisions) < 2:
        return
    used = {unit.revision: None for unit in draft.units(ServiceId(service.id))} | {service.revision: None}
    if service.rollout is not None:
        used |= {service.rollout.target: None, service.rollout.origin: None}
    draft.apply(
        Delete(object=revision, reason="no unit is made of it") for revision in revisions if revision.id not in used
    )
