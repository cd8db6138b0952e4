"""Taking a service from one revision to the next, slot by slot, and back when the new one fails.

A slot is taken on by retiring its unit (stop-first; the slot is then filled with the new revision like any other) or by
adding the next unit beside it (start-first), which hands over once it is ready. How many slots are on their way at
once, the pause between them, and what happens on failures follow Swarm mode's update_config; unlike there, a rollback
takes the whole service back, and units that never ran are replaced at once.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from paddock.core.dependencies import dependents, unmet
from paddock.core.draft import GONE, Draft
from paddock.core.generations import end_of, next_unit
from paddock.core.placing import partner_of
from paddock.core.revisions import current, other_container, outdated
from paddock.core.rolling import policy_of, start_first_obstacle, starts_first
from paddock.core.slots import retire, staying
from paddock.model.changes import Change, Put
from paddock.model.objects import Rollout, Service, ServiceId, Unit, UnitDesired, UnitState

SETTLE_S = 2.0
"""Without a healthcheck a unit counts as good once it has run this long (or its shorter monitor time)."""
_FAILED = (UnitState.FAILED, UnitState.REJECTED)


class Progress(msgspec.Struct):
    """Slots' current units by where they are. `stale`: to be replaced. `gone`: gone while an older one may run."""

    stale: list[Unit] = []
    under_way: int = 0
    failing: list[Unit] = []
    good: list[Unit] = []
    gone: list[Unit] = []
    total: int = 0


def rollouts(draft: Draft, service: Service) -> None:
    if service.removing or service.stopped:
        return
    _replace_idle(draft, service)
    if service.rollout is None and not _any_stale(draft, service):
        return
    progress = _progress(draft, service)
    current = _begun(draft, service, progress)
    if current.rollout is None or current.rollout.state in ("completed", "rolled-back"):
        return
    revision = current.revision
    current = _on_failures(draft, current, progress)
    if current.revision != revision:
        # What was stale is what is wished for again, and what waits for a host must not get one for the other revision.
        _replace_idle(draft, current)
        progress = _progress(draft, current)
    rollout = current.rollout
    assert rollout is not None
    if rollout.state in ("updating", "rolling-back"):
        _take_on(draft, current, progress)
    _finish(draft, current, progress)


def _replace_idle(draft: Draft, service: Service) -> None:
    """Units of another revision that do not run, or whose partner's containers are new: nothing is lost."""
    changes: list[Change] = []
    slots = draft.slots(ServiceId(service.id))
    sharing = bool(draft.spec(service).container.sharing)
    for slot in sorted(slots):
        unit = current(draft, service, slots[slot])
        if not staying(unit) or unit.state in GONE:
            continue
        if unit.state != UnitState.RUNNING and outdated(draft, service, unit):
            changes += retire(unit, _reason(draft, service, unit))
        elif sharing and _partner_is_newer(draft, service, unit):
            changes += retire(unit, "the container it shares with was replaced")
    draft.apply(changes)


def _partner_is_newer(draft: Draft, service: Service, unit: Unit) -> bool:
    for sharing in draft.spec(service).container.sharing:
        partner = partner_of(draft, service, sharing.service, unit.slot)
        if partner is not None and partner.created_at_s > unit.created_at_s and unit.state >= UnitState.PLACED:
            return True
    return False


def _any_stale(draft: Draft, service: Service) -> bool:
    slots = draft.slots(ServiceId(service.id))
    for units in slots.values():
        for unit in units:
            if unit.live and staying(unit) and outdated(draft, service, unit):
                return True
    return False


def _reason(draft: Draft, service: Service, unit: Unit) -> str:
    if other_container(draft, service, unit):
        return f"{service.name} changed: {unit.name} is replaced"
    return f"a restart of {service.name} was asked for"


def _progress(draft: Draft, service: Service) -> Progress:
    progress = Progress(stale=[], failing=[], good=[], gone=[])
    slots = draft.slots(ServiceId(service.id))
    for slot in sorted(slots):
        unit = current(draft, service, slots[slot])
        progress.total += 1
        if not staying(unit) or unit.state in GONE:
            progress.under_way += 1
            if not outdated(draft, service, unit) and end_of(unit) in _FAILED:
                progress.failing.append(unit)
            if unit.state in GONE and len(slots[slot]) > 1:
                progress.gone.append(unit)
        elif outdated(draft, service, unit):
            progress.stale.append(unit)
        elif _failing(draft, service, unit):
            progress.failing.append(unit)
            progress.under_way += 1
        elif _good(draft, service, unit):
            progress.good.append(unit)
        else:
            progress.under_way += 1
    return progress


def _failing(draft: Draft, service: Service, unit: Unit) -> bool:
    if unit.state in _FAILED:
        return True
    if unit.crashes == 0 or not unit.live:
        return False
    if unit.state != UnitState.RUNNING:
        return True
    held_s = unit.running_since_s + policy_of(draft, service).monitor_s
    draft.wake(held_s)
    return draft.now_s < held_s


def _good(draft: Draft, service: Service, unit: Unit) -> bool:
    """It holds, so the next slots may be taken on. Its monitor time may go on."""
    if unit.state != UnitState.RUNNING:
        return not unit.live
    if draft.spec(service).mode.endswith("-job"):
        return True
    if not unit.healthy:
        return False
    if draft.spec(service).container.has_healthcheck or any(container.health for container in unit.containers):
        return True
    settled_s = unit.running_since_s + min(SETTLE_S, policy_of(draft, service).monitor_s)
    draft.wake(settled_s)
    return draft.now_s >= settled_s


def _write(draft: Draft, service: Service, rollout: Rollout, reason: str) -> Service:
    changed = msgspec.structs.replace(service, rollout=rollout)
    if changed != service:
        draft.apply([Put(object=changed, reason=reason)])
    return changed


def _begun(draft: Draft, service: Service, progress: Progress) -> Service:
    """The service with the rollout that its stale units ask for."""
    known = service.rollout
    if not progress.stale:
        return service
    if known is not None and known.target == service.revision and known.state not in ("completed", "rolled-back"):
        return service
    revisions = Counter(unit.revision for unit in progress.stale)
    origin = max(sorted(revisions), key=lambda revision: revisions[revision])
    rollout = Rollout(target=service.revision, origin=origin, started_at_s=draft.now_s)
    return _write(draft, service, rollout, f"{len(progress.stale)} units of {service.name} are to be replaced")


def _on_failures(draft: Draft, service: Service, progress: Progress) -> Service:
    rollout = service.rollout
    assert rollout is not None
    failing = len(progress.failing)
    if failing <= rollout.failures or rollout.state == "paused":
        return service
    policy = policy_of(draft, service)
    told = _last_words(draft, progress.failing[0])
    message = f"{failing} of {progress.total} units failed" + (f": {told}" if told else "")
    noted = msgspec.structs.replace(rollout, failures=failing, message=message)
    if failing / progress.total <= policy.max_failure_ratio or policy.failure_action == "continue":
        return _write(draft, service, noted, message)
    if policy.failure_action == "rollback" and not rollout.back and rollout.origin != rollout.target:
        return rolled_back(draft, service, f"{message}: back to the revision before")
    return _write(draft, service, msgspec.structs.replace(noted, state="paused"), f"{message}: paused")


def _last_words(draft: Draft, unit: Unit) -> str:
    """The newest message of the slot: a unit that is about to try again has none of its own."""
    units = draft.slots(unit.service)[unit.slot]
    return next((one.message for one in reversed(units) if one.message), "")


def rolled_back(draft: Draft, service: Service, reason: str) -> Service:
    rollout = service.rollout
    assert rollout is not None
    back = Rollout(
        target=rollout.origin,
        origin=rollout.target,
        state="rolling-back",
        back=True,
        started_at_s=draft.now_s,
        message=reason,
    )
    return _write(draft, msgspec.structs.replace(service, revision=rollout.origin), back, reason)


def _take_on(draft: Draft, service: Service, progress: Progress) -> None:
    """As many stale slots as the policy has room for, those that do not work first."""
    for unit in progress.gone:
        _retried(draft, service, unit)
    rollout = service.rollout
    if not progress.stale or rollout is None:
        return
    policy = policy_of(draft, service)
    on_their_way = progress.under_way
    if policy.failure_action == "continue":
        on_their_way -= len(progress.failing)
    room = (policy.parallelism or progress.total) - max(on_their_way, 0)
    if policy.delay_s > 0:
        due_s = max([rollout.last_batch_at_s, *(unit.running_since_s for unit in progress.good)]) + policy.delay_s
        if rollout.last_batch_at_s and (on_their_way > 0 or draft.now_s < due_s):
            draft.wake(due_s)
            return
    if room <= 0 or unmet(draft, service):
        return
    start_first = starts_first(draft, service)
    stale = [unit for unit in progress.stale if not (start_first and _going_beside(draft, unit))]
    chosen = sorted(stale, key=lambda unit: (unit.ready, unit.slot))[:room]
    if not chosen:
        return
    for unit in chosen:
        draft.apply(_replaced(draft, service, unit, start_first=start_first))
    _write(draft, service, msgspec.structs.replace(rollout, last_batch_at_s=draft.now_s), "the next slots are taken on")


def _going_beside(draft: Draft, unit: Unit) -> bool:
    """Another one is still going in its slot: a third one would be one too many."""
    return any(other.live and not staying(other) for other in draft.slots(unit.service)[unit.slot])


def _retried(draft: Draft, service: Service, unit: Unit) -> None:
    """The successor went before it took over from the one that runs: another one, with its memory."""
    old = [one for one in draft.slots(unit.service)[unit.slot] if one.live and staying(one)]
    if old and start_first_obstacle(draft, service):
        draft.apply(retire(old[-1], _reason(draft, service, old[-1])))
    elif old and not _going_beside(draft, old[-1]):
        draft.apply([Put(object=next_unit(draft, service, unit.slot, unit), reason=f"after {unit.name}, which failed")])


def _replaced(draft: Draft, service: Service, unit: Unit, *, start_first: bool) -> list[Change]:
    reason = _reason(draft, service, unit)
    if not other_container(draft, service, unit):
        return [Put(object=msgspec.structs.replace(unit, desired=UnitDesired.STOPPED, waiting=None), reason=reason)]
    earlier = [
        other for other in draft.slots(unit.service)[unit.slot] if other.live and staying(other) and other is not unit
    ]
    if any(not outdated(draft, service, other) for other in earlier):
        return retire(unit, f"{reason} by the one before it, which is still there")
    if earlier:
        return retire(unit, f"{reason}; the one before it is still there meanwhile")
    if not start_first:
        return retire(unit, reason)
    return [Put(object=next_unit(draft, service, unit.slot, unit), reason=f"{reason}, the new one first")]


def _finish(draft: Draft, service: Service, progress: Progress) -> None:
    rollout = service.rollout
    assert rollout is not None
    open_ones = progress.under_way
    if policy_of(draft, service).failure_action == "continue":
        open_ones -= len(progress.failing)
    if (
        progress.stale
        or open_ones > 0
        or any(_outgoing(units) for units in draft.slots(ServiceId(service.id)).values())
    ):
        return
    running = [unit.running_since_s for unit in progress.good if unit.state == UnitState.RUNNING]
    held_s = max(running, default=0.0) + policy_of(draft, service).monitor_s
    if draft.now_s < held_s and running:
        draft.wake(held_s)
        return
    back = rollout.back
    done = msgspec.structs.replace(rollout, state="rolled-back" if back else "completed")
    _write(draft, service, done, f"every unit of {service.name} is {'back' if back else 'replaced'}")
    for other, dependency in dependents(draft, service):
        if dependency.restart and not other.removing:
            again = msgspec.structs.replace(other, forced=other.forced + 1)
            draft.apply([Put(object=again, reason=f"{service.name}, which it depends on, was changed")])


def _outgoing(units: list[Unit]) -> bool:
    return any(unit.live for unit in units[:-1])
