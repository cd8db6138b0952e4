"""Slots with two live units, an old one and its successor: when the old one goes."""

from __future__ import annotations

from paddock.core.draft import Draft
from paddock.core.placing import ask_for
from paddock.core.revisions import outdated
from paddock.core.schedule.place import place
from paddock.core.slots import retire, staying
from paddock.model.objects import Service, ServiceId, Unit, UnitState


def handover(draft: Draft, service: Service) -> None:
    slots = draft.slots(ServiceId(service.id))
    for slot in sorted(slots):
        if len(slots[slot]) < 2:
            continue
        there = [unit for unit in slots[slot] if unit.live and staying(unit)]
        if len(there) > 1:
            _between(draft, service, there[:-1], there[-1])


def _between(draft: Draft, service: Service, old: list[Unit], new: Unit) -> None:
    if outdated(draft, service, new) and not outdated(draft, service, old[-1]):
        draft.apply(retire(new, "the service went back to the revision of the unit before it"))
    elif new.ready:
        for unit in old:
            draft.apply(retire(unit, f"{new.name} has taken over"))
    elif new.state == UnitState.NEW and new.waiting is not None and new.not_before_s <= draft.now_s:
        _make_room(draft, service, old[-1])


def _make_room(draft: Draft, service: Service, old: Unit) -> None:
    """No host has room for both: the old one goes first, but only if the new one then fits."""
    writes, fleet = draft.writes, draft.fleet(service.environment)
    draft.apply(retire(old, "no host has room for it and its successor at once"))
    fleet.give(draft.spec(old), [old])
    fits = bool(place(fleet, ask_for(draft, service, None), 1).where)
    fleet.take(draft.spec(old), [old])
    if not fits:
        draft.undo_unit(None, old, writes)
