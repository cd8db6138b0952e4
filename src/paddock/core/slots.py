"""Small moves on the units of a slot that several reconcilers make."""

from __future__ import annotations

import msgspec

from paddock.core.draft import GONE
from paddock.model.changes import Change, Delete, Put
from paddock.model.objects import Unit, UnitDesired, UnitState, Waiting


def retire(unit: Unit, reason: str, ended: UnitState | None = None) -> list[Change]:
    """The unit and its containers are to go. One that was never placed is simply taken away."""
    if unit.state == UnitState.NEW:
        return [Delete(object=unit, reason=reason)]
    if unit.state in GONE or unit.desired == UnitDesired.REMOVED:
        return []
    end = ended if ended is not None else unit.ended
    if end is None and not unit.live:
        end = unit.state
    changed = msgspec.structs.replace(unit, desired=UnitDesired.REMOVED, ended=end, waiting=None)
    return [Put(object=changed, reason=reason)]


def given_up(unit: Unit, reason: str, now_s: float) -> Put:
    """Its host is not heard any more, or is no more. What is left of it there goes when that host is back."""
    end = unit.ended if unit.ended is not None or unit.live else unit.state
    orphaned = msgspec.structs.replace(
        unit, state=UnitState.ORPHANED, ended=end, message=unit.message or reason, healthy=False, waiting=None,
        state_since_s=now_s, desired=UnitDesired.REMOVED if unit.adopts else unit.desired,
    )  # fmt: skip
    return Put(object=orphaned, reason=reason)


def staying(unit: Unit) -> bool:
    """It has not been told to stop or go."""
    return unit.desired < UnitDesired.STOPPED


def waits(unit: Unit, reason: str, details: tuple[str, ...], now_s: float) -> list[Change]:
    """The unit waits for this reason; "" for nothing. Says when it began, and nothing new when nothing is new."""
    if not reason:
        if unit.waiting is None:
            return []
        return [Put(object=msgspec.structs.replace(unit, waiting=None), reason="waits no longer")]
    known = unit.waiting
    if known is not None and known.reason == reason and known.details == details:
        return []
    waiting = Waiting(reason=reason, details=details, since_s=known.since_s if known is not None else now_s)
    return [Put(object=msgspec.structs.replace(unit, waiting=waiting), reason=reason)]


def backing_off(unit: Unit, before: str = "") -> str:
    """`before`: how the unit before it ended."""
    times = "failure" if unit.crashes == 1 else "failures in a row"
    wait_s = unit.not_before_s - unit.created_at_s
    return f"backs off for {max(wait_s, 0):.3g} s after {unit.crashes} {times}{f': {before}' if before else ''}"
