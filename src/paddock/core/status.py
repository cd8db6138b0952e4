"""One word for how a service or stack is, and the counts behind it; for views only, nothing is decided by it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from paddock.core.converge import Scope, converge
from paddock.core.dependencies import ended_for_good
from paddock.core.draft import Draft
from paddock.core.revisions import current
from paddock.model.objects import Host, HostState, Service, ServiceId, Unit, UnitState, Waiting
from paddock.model.snapshot import Snapshot

WORST_FIRST = (
    "removing", "failed", "paused", "updating", "waiting", "degraded", "converging", "stopped", "running", "complete",
)  # fmt: skip


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: running (as wished), converging, waiting, degraded, updating, paused, stopped, complete, failed or
    removing. `wanted` counts slots; `waiting` is the first reason found."""

    state: str
    wanted: int
    running: int
    ready: int
    failed: int = 0
    waiting: Waiting | None = None


def service_status(snapshot: Snapshot, service: Service) -> ServiceStatus:
    draft = Draft(snapshot, 0.0)
    slots = draft.slots(ServiceId(service.id))
    spec = draft.spec(service)
    units = [current(draft, service, slots[slot]) for slot in sorted(slots)]
    live = [unit for unit in units if unit.live]
    for_good = [unit for unit in units if ended_for_good(unit, spec.restart)]
    failed = [unit for unit in for_good if unit.state != UnitState.COMPLETE]
    status = ServiceStatus(
        state="",
        wanted=service.replicas if not spec.mode.startswith("global") else len(slots),
        running=sum(unit.state == UnitState.RUNNING for unit in live),
        ready=sum(unit.ready and not _lost(snapshot, unit) for unit in live),
        failed=len(failed),
        waiting=next((unit.waiting for unit in units if unit.waiting is not None), None),
    )
    complete = len(for_good) - len(failed)
    return msgspec.structs.replace(status, state=_state(service, status, complete, units))


def _lost(snapshot: Snapshot, unit: Unit) -> bool:
    host = snapshot.get(Host, unit.host) if unit.host is not None else None
    return host is None or host.state is HostState.LOST


def _state(service: Service, status: ServiceStatus, complete: int, units: list[Unit]) -> str:
    if service.removing:
        return "removing"
    if service.stopped:
        return "stopped" if not any(unit.live for unit in units) else "converging"
    rollout = service.rollout
    if rollout is not None and rollout.state in ("updating", "rolling-back"):
        return "updating"
    if rollout is not None and rollout.state == "paused":
        return "paused"
    if status.ready + complete >= status.wanted and status.ready + complete >= len(units):
        return "complete" if complete and not status.ready else "running"
    if status.failed and not status.running:
        return "failed"
    if status.waiting is not None:
        return "waiting" if not status.ready else "degraded"
    return "degraded" if status.failed else "converging"


def stack_state(states: Iterable[str]) -> str:
    """Of a stack whose services are in these states: the worst of them; "running" for none."""
    found = list(states)
    return next((state for state in WORST_FIRST if state in found), "running")


def at_rest(snapshot: Snapshot, now_s: float) -> bool:
    """Nothing is left to decide at this time."""
    return not converge(snapshot, now_s, Scope.everything()).changes
