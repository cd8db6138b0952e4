"""One word for how a service or stack is, and the counts behind it; for views only, nothing is decided by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from paddock.model.objects import (
    Host,
    HostState,
    Revision,
    Service,
    ServiceId,
    Unit,
    UnitDesired,
    UnitState,
    Waiting,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ServiceSpec

WORST_FIRST = (
    "removing", "failed", "waiting", "paused", "updating", "degraded", "converging", "running", "complete", "stopped",
)  # fmt: skip


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: running (as wished), converging, waiting, degraded, updating, paused, stopped, complete, failed or
    removing. `wanted` counts slots; `waiting` is the first reason found."""

    state: str
    wanted: int
    running: int
    ready: int
    waiting: Waiting | None = None


def service_status(snapshot: Snapshot, service: Service) -> ServiceStatus:
    revision = snapshot.get(Revision, service.revision)
    spec = revision.spec if revision is not None else None
    units = [as_known(snapshot, unit) for unit in snapshot.units_of_service(ServiceId(service.id))]
    live = [unit for unit in units if unit.live]
    return ServiceStatus(
        state=_state(service, spec, units),
        wanted=_wanted(service, spec, _newest_per_slot(units)),
        running=sum(unit.state == UnitState.RUNNING for unit in live),
        ready=sum(unit.ready for unit in live),
        waiting=next((unit.waiting for unit in live if unit.waiting is not None), None),
    )


def as_known(snapshot: Snapshot, unit: Unit) -> Unit:
    """Nothing on a host that is not heard of can be called ready, nor what is only known of the time before."""
    host = snapshot.get(Host, unit.host) if unit.host is not None else None
    if host is None or (host.state is HostState.ACTIVE and not host.unheard) or not unit.healthy:
        return unit
    return msgspec.structs.replace(unit, healthy=False)


def _state(service: Service, spec: ServiceSpec | None, units: Sequence[Unit]) -> str:
    """running (as wished), converging, waiting, degraded, updating, paused, stopped, complete, failed or removing."""
    live = [unit for unit in units if unit.live]
    newest = _newest_per_slot(units)
    job = spec is not None and spec.mode.endswith("-job")
    if service.removing:
        return "removing"
    if service.stopped:
        return "stopped" if not any(unit.state == UnitState.RUNNING for unit in live) else "converging"
    if service.rollout is not None and service.rollout.state == "paused":
        return "paused"
    if service.rollout is not None and service.rollout.state in ("updating", "rolling-back"):
        return "updating"
    if any(unit.state == UnitState.NEW and unit.waiting is not None for unit in live):
        return "waiting"
    wished = [unit for unit in live if unit.desired == UnitDesired.RUN]
    ready = sum(1 for unit in wished if unit.ready)
    ended = [unit for unit in newest if not unit.live]
    if any(unit.state in (UnitState.FAILED, UnitState.REJECTED) for unit in ended):
        return "failed" if ready == 0 else "degraded"
    done = sum(1 for unit in ended if unit.state == UnitState.COMPLETE)
    if (job or not wished) and done and done >= _wanted(service, spec, newest):
        return "complete"
    if ready + done >= _wanted(service, spec, newest) and ready == len(wished):
        return "running"
    return "degraded" if any(unit.crashes for unit in live) else "converging"


def _wanted(service: Service, spec: ServiceSpec | None, newest: Sequence[Unit]) -> int:
    """A global service has as many slots as there are hosts for it."""
    if spec is not None and spec.mode.startswith("global"):
        return len([unit for unit in newest if unit.desired <= UnitDesired.RUN])
    return service.replicas


def _newest_per_slot(units: Sequence[Unit]) -> list[Unit]:
    newest: dict[int, Unit] = {}
    for unit in units:
        known = newest.get(unit.slot)
        if known is None or unit.generation > known.generation:
            newest[unit.slot] = unit
    return [newest[slot] for slot in sorted(newest)]


def stack_state(states: Iterable[str]) -> str:
    """Of a stack whose services are in these states: the worst of them; "running" for none."""
    return min(states, key=WORST_FIRST.index, default="running")
