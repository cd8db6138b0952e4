"""Where a unit is, from what is seen of its containers and what is remembered of it."""

from __future__ import annotations

from msgspec.structs import replace

from paddock.core.lifecycle.order import by_role
from paddock.model.assignment import UnitAssignment
from paddock.model.objects import NetworkId, UnitDesired, UnitState
from paddock.model.observed import ObservedContainer, ObservedUnit, OwnedContainer, Progress

_GONE_ON_ITS_OWN = ("always", "unless-stopped")


def remember(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> Progress:
    """What must be durable before the next step: containers newly found to be the unit's own, and the state reached."""
    if progress.given_up:
        return replace(progress, state=max(progress.state, _state_without_containers(assignment, progress)))
    owned = dict(progress.owned)
    taken = {container.id for container in owned.values()}
    roles = {container.role for container in assignment.containers}
    adopted = {container.adopts for container in assignment.containers if container.adopts}
    for container in seen.containers:
        if container.role not in roles or container.role in owned or container.id in taken:
            continue
        reused = container.unit != assignment.unit and container.id not in adopted
        owned[container.role] = OwnedContainer(id=container.id, baseline_s=-1.0 if reused else 0.0)
    owned = _with_baselines(owned, seen)
    progress = replace(progress, owned=owned, prepared=_still_wanted(assignment, progress))
    state = max(progress.state, _seen_state(assignment, seen, progress))
    if state == UnitState.FAILED and progress.state < state:
        progress = replace(progress, message=_why_failed(assignment, seen, progress))
    return replace(progress, state=state)


def _still_wanted(assignment: UnitAssignment, progress: Progress) -> tuple[NetworkId, ...] | None:
    """A network it has left may go from the engine, and is made ready anew should it come back."""
    if progress.prepared is None:
        return None
    wanted = [endpoint.network for container in assignment.containers for endpoint in container.endpoints]
    return tuple(network for network in progress.prepared if network in wanted)


def _with_baselines(owned: dict[str, OwnedContainer], seen: ObservedUnit) -> dict[str, OwnedContainer]:
    by_id = {container.id: container for container in seen.containers}
    return {
        role: replace(container, baseline_s=by_id[container.id].started_at_s)
        if container.baseline_s < 0 and container.id in by_id
        else container
        for role, container in owned.items()
    }


def take_over(assignment: UnitAssignment, older: Progress) -> tuple[Progress, Progress]:
    """The containers of the unit it reuses become its own: its own progress, and what is left to the older one."""
    roles = {container.role for container in assignment.containers}
    owned = {role: OwnedContainer(id=c.id, baseline_s=-1.0) for role, c in older.owned.items() if role in roles}
    left = {role: container for role, container in older.owned.items() if role not in roles}
    return Progress(owned=owned), replace(older, owned=left, given_up=not left)


def started(container: ObservedContainer, owned: OwnedContainer) -> bool:
    """It was started for this unit, whatever became of it."""
    if container.alive:
        return True
    return container.started_at_s > 0 and container.started_at_s != owned.baseline_s


def goes_on(assignment: UnitAssignment, seen: ObservedUnit, container: ObservedContainer) -> bool:
    """An exit of `container` is not its end: somebody starts it again, and if it is us."""
    if assignment.engine_restarts and container.restart_policy in _GONE_ON_ITS_OWN:
        return True
    if not seen.cut_off or assignment.restart == "none":
        return False
    return assignment.restart == "any" or not finished(container)


def finished(container: ObservedContainer) -> bool:
    """It ended well and by itself: many programs end with 0 when a machine that goes down asks them to."""
    return container.exit_code == 0 and not (container.interrupted and container.role == "")


def vanished(seen: ObservedUnit, progress: Progress) -> tuple[str, ...]:
    """Ids of containers that somebody else removed."""
    there = by_role(seen, progress)
    return tuple(owned.id for role, owned in progress.owned.items() if role not in there)


def ended(
    assignment: UnitAssignment, seen: ObservedUnit, progress: Progress
) -> tuple[UnitState, ObservedContainer] | None:
    """The end of the unit, and the container it comes from: its primary's exit, or the failure of a sidekick."""
    for role, container in by_role(seen, progress).items():
        if container.state not in ("exited", "dead") or not started(container, progress.owned[role]):
            continue
        if goes_on(assignment, seen, container):
            continue
        if not finished(container):
            return UnitState.FAILED, container
        if role == "":
            return UnitState.COMPLETE, container
    return None


def _why_failed(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> str:
    if end := ended(assignment, seen, progress):
        return end_of(end[1])
    gone = vanished(seen, progress)
    return f"container {gone[0][:12]} was removed from its host by somebody else" if gone else ""


def end_of(container: ObservedContainer) -> str:
    """How a container ended, as a sentence."""
    text = f"{container.name} ended with exit code {container.exit_code}"
    if container.exit_code == 0:
        return f"{text}, stopped on its host by somebody else"
    if container.oom_killed:
        text += ", killed because it used more memory than it may"
    return f"{text}: {container.error}" if container.error else text


def _seen_state(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitState:
    alive = any(container.alive for container in seen.containers)
    if assignment.desired >= UnitDesired.REMOVED and not seen.containers:
        return UnitState.REMOVED
    if assignment.desired >= UnitDesired.STOPPED:
        return progress.state if alive or progress.state >= UnitState.COMPLETE else UnitState.SHUTDOWN
    if progress.state >= UnitState.COMPLETE:
        return progress.state
    if progress.refused:
        return progress.state if alive else UnitState.REJECTED
    if assignment.hands_off:
        return _state_of_others(seen, progress)
    if vanished(seen, progress):
        return UnitState.FAILED
    if end := ended(assignment, seen, progress):
        return end[0]
    return _seen_live_state(assignment, seen, progress)


def _state_of_others(seen: ObservedUnit, progress: Progress) -> UnitState:
    """Of a unit whose container somebody else creates and removes."""
    if vanished(seen, progress):
        return UnitState.REMOVED
    if progress.owned:
        return UnitState.READY
    return UnitState.PREPARING if progress.prepared is None else UnitState.PREPARED


def _state_without_containers(assignment: UnitAssignment, progress: Progress) -> UnitState:
    """Of a unit whose containers are another's now."""
    if assignment.desired == UnitDesired.REMOVED:
        return UnitState.REMOVED
    return max(progress.state, UnitState.SHUTDOWN) if progress.state < UnitState.COMPLETE else progress.state


def _seen_live_state(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitState:
    there = by_role(seen, progress)
    if any(container.role not in there for container in assignment.containers):
        return UnitState.PREPARING
    if all(started(container, progress.owned[role]) for role, container in there.items()):
        return UnitState.RUNNING
    return UnitState.STARTING if assignment.desired == UnitDesired.RUN else UnitState.READY
