"""What would happen, told before or as it does."""

from __future__ import annotations

from collections.abc import Sequence

from paddock.core.converge import Scope, converge
from paddock.model.changes import Change, Delete
from paddock.model.objects import Host, HostId, Revision, Unit
from paddock.model.snapshot import Snapshot
from paddock.server.event_views import kind_word, name_word
from paddock.wire.api import DrainAnswer, PlannedChange

MOST_PLANNED = 5_000
"""Changes told one by one; of a larger plan, the first ones."""


def planned(changes: Sequence[Change]) -> tuple[PlannedChange, ...]:
    """Revisions are left out: they are how a service's change is written down, not a change of its own."""
    told = [change for change in changes if not isinstance(change.object, Revision)][:MOST_PLANNED]
    return tuple(
        PlannedChange(
            action="remove" if isinstance(change, Delete) else "change" if change.object.version else "create",
            kind=kind_word(change.object),
            name=name_word(change.object),
            reason=change.reason,
        )
        for change in told
    )


def drain_answer(snapshot: Snapshot, host: Host, wish: Sequence[Change], now_s: float) -> DrainAnswer:
    """Which containers will leave the host, and which cannot and why. The version is filled in by the caller."""
    after = snapshot.with_changes(wish)
    plan = converge(after, now_s, Scope.of(wish, after))
    result = after.with_changes(plan.changes)
    moving: list[str] = []
    staying: dict[str, str] = {}
    for unit in snapshot.units_on_host(HostId(host.id)):
        then = result.get(Unit, unit.id)
        if not unit.live:
            continue
        if then is not None and then.live and then.waiting is not None:
            staying[unit.name] = then.waiting.reason
        else:
            moving.append(unit.name)
    return DrainAnswer(version=0, moving=tuple(sorted(moving)), staying=staying)
