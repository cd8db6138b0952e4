"""When units that are placed may run: after their backoff, what their service depends on, and whom they share with."""

from __future__ import annotations

import msgspec

from paddock.core.dependencies import unmet
from paddock.core.draft import Draft
from paddock.core.placing import partner_of
from paddock.core.slots import backing_off, waits
from paddock.model.changes import Change, Put
from paddock.model.objects import Host, HostState, Service, ServiceId, Unit, UnitDesired, UnitState


def ordering(draft: Draft, service: Service) -> None:
    slots = draft.slots(ServiceId(service.id))
    ready = [
        unit
        for slot in sorted(slots)
        for unit in slots[slot]
        if unit.desired == UnitDesired.READY and unit.live and unit.state != UnitState.NEW
    ]
    if not ready:
        return
    missing = unmet(draft, service)
    for unit in ready:
        host = draft.get(Host, unit.host) if unit.host is not None else None
        if host is None or host.state is HostState.LOST or host.availability == "drained":
            continue
        draft.apply(_decided(draft, service, unit, missing))


def _decided(draft: Draft, service: Service, unit: Unit, missing: tuple[str, ...]) -> list[Change]:
    if unit.not_before_s > draft.now_s:
        draft.wake(unit.not_before_s)
        return waits(unit, backing_off(unit), (), draft.now_s)
    if missing and not unit.attempts:
        return waits(unit, f"waits: {missing[0]}", missing[1:], draft.now_s)
    for sharing in draft.spec(unit).container.sharing:
        partner = partner_of(draft, service, sharing.service, unit.slot)
        if sharing.what != "volumes" and (partner is None or partner.state != UnitState.RUNNING):
            return waits(unit, f"waits for {sharing.service}, which it shares with, to run", (), draft.now_s)
    run = msgspec.structs.replace(unit, desired=UnitDesired.RUN, waiting=None)
    return [Put(object=run, reason="nothing holds it back")]
