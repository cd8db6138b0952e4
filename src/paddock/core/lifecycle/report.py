"""What the server is told about a unit."""

from __future__ import annotations

from paddock.core.lifecycle.order import by_role, start_order
from paddock.core.lifecycle.state import end_of, finished
from paddock.core.lifecycle.waits import hindrance_to_create, hindrance_to_start
from paddock.model.assignment import UnitAssignment
from paddock.model.objects import ContainerStatus, UnitDesired, UnitState
from paddock.model.observed import ObservedContainer, ObservedUnit, Progress
from paddock.model.reports import UnitReport


def report_of(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitReport:
    """`progress` is what `remember` made of the same view. Without a time: that is the caller's."""
    there = {} if progress.given_up else by_role(seen, progress)
    return UnitReport(
        unit=assignment.unit,
        state=progress.state,
        healthy=_healthy(assignment, progress, there),
        containers=(
            *(_status(role, container) for role, container in there.items()),
            *_removed(assignment, there, progress),
        ),
        message=_message(assignment, seen, progress),
    )


def _healthy(assignment: UnitAssignment, progress: Progress, there: dict[str, ObservedContainer]) -> bool:
    runs = UnitState.READY if assignment.hands_off else UnitState.RUNNING
    return progress.state == runs and all(map(_well, there.values()))


def _removed(
    assignment: UnitAssignment, there: dict[str, ObservedContainer], progress: Progress
) -> tuple[ContainerStatus, ...]:
    """Those that somebody else removed: they cannot be started again."""
    if progress.state != UnitState.FAILED or progress.given_up or assignment.desired >= UnitDesired.STOPPED:
        return ()
    return tuple(
        ContainerStatus(role=container.role, id=progress.owned[container.role].id, name=container.name, state="removed")
        for container in assignment.containers
        if container.role in progress.owned and container.role not in there
    )


def _well(container: ObservedContainer) -> bool:
    if container.state == "exited":
        return container.role != "" and container.exit_code == 0
    return container.state == "running" and container.health in ("", "healthy")


def _status(role: str, container: ObservedContainer) -> ContainerStatus:
    return ContainerStatus(
        role=role,
        id=container.id,
        name=container.name,
        state=container.state,
        health=container.health,
        exit_code=None if container.state in ("created", "running", "paused") else container.exit_code,
        error=container.error,
        restarts=container.restarts,
        started_at_s=container.started_at_s,
        finished_at_s=container.finished_at_s,
        oom_killed=container.oom_killed,
        ports=container.ports,
    )


def _message(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> str:
    """One sentence about what went wrong or what is waited for; "" when all is well."""
    if progress.refused:
        return progress.refused
    if progress.state >= UnitState.COMPLETE:
        return progress.message
    return seen.waiting or _waiting(assignment, seen, progress) or _restarting(assignment, seen, progress)


def _waiting(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> str:
    if assignment.desired >= UnitDesired.STOPPED or assignment.hands_off:
        return ""
    for container in start_order(assignment):
        if container.role not in progress.owned:
            return hindrance_to_create(assignment, container, seen, progress)
    if assignment.desired == UnitDesired.RUN and progress.state < UnitState.RUNNING:
        there = by_role(seen, progress)
        for container in start_order(assignment):
            if there[container.role].state == "created":
                return hindrance_to_start(assignment, container, seen, progress)
    return ""


def _restarting(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> str:
    if assignment.hands_off:
        return ""
    for container in by_role(seen, progress).values():
        if container.state == "restarting" or (container.state == "exited" and not finished(container)):
            restarts = f"{container.restarts} {'restart' if container.restarts == 1 else 'restarts'}"
            return f"{end_of(container)}; it is being started again ({restarts} so far)"
    return ""
