"""A host for every unit that has its addresses and whose time has come; for the others, why not."""

from __future__ import annotations

from paddock.core.addressing import address_units
from paddock.core.attachments import attachments
from paddock.core.draft import Draft
from paddock.core.placing import place_units
from paddock.core.slots import backing_off, waits
from paddock.model.objects import Service, ServiceId, Unit, UnitState


def placement(draft: Draft, service: Service) -> None:
    address_units(draft, service)
    ripe: list[Unit] = []
    slots = draft.slots(ServiceId(service.id))
    revision = draft.revision(service)
    networks = len(attachments(revision, revision.spec.container))
    for slot in sorted(slots):
        unit = slots[slot][-1]
        if unit.state != UnitState.NEW or len(unit.addresses) < networks:
            continue
        if unit.not_before_s > draft.now_s:
            draft.wake(unit.not_before_s)
            before = slots[slot][-2].message if len(slots[slot]) > 1 else ""
            draft.apply(waits(unit, backing_off(unit, before), (), draft.now_s))
        else:
            ripe.append(unit)
    if not ripe:
        return
    placed = place_units(draft, service, ripe)
    for unit in ripe[len(placed.units) :]:
        draft.apply(waits(unit, placed.reason, placed.details, draft.now_s))
