"""One word for how a service or stack is doing."""

from __future__ import annotations

from collections.abc import Sequence

from paddock.model.objects import Service, Stack, Unit, UnitDesired, UnitState
from paddock.model.specs import ServiceSpec


def service_state(service: Service, spec: ServiceSpec | None, units: Sequence[Unit]) -> str:
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


_WORST_FIRST = (
    "removing", "failed", "waiting", "paused", "updating", "degraded", "converging", "running", "complete", "stopped",
)  # fmt: skip


def stack_state(stack: Stack, services: Sequence[str]) -> str:
    """The state of the service that is worst off."""
    if stack.removing:
        return "removing"
    return min(services, key=_WORST_FIRST.index, default="running")
