"""The one next step that brings a unit closer to what is wished of it, or None when it is there or has to wait."""

from __future__ import annotations

from paddock.core.lifecycle.order import by_role, start_order, strays
from paddock.core.lifecycle.state import goes_on, started, vanished
from paddock.core.lifecycle.waits import hindrance_to_create, hindrance_to_start
from paddock.model.assignment import ContainerAssignment, UnitAssignment
from paddock.model.objects import UnitDesired, UnitState
from paddock.model.observed import ObservedContainer, ObservedUnit, Progress
from paddock.model.steps import (
    ConnectNetwork,
    CreateContainer,
    PrepareContainer,
    PullImage,
    RefuseUnit,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
    UnitStep,
)


def next_step(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    """`progress` is what `remember` made of the same view."""
    if progress.given_up:
        return None
    if assignment.desired == UnitDesired.REMOVED:
        return _removal(assignment, seen, progress)
    if assignment.hands_off:
        return _preparation(assignment, seen, progress) or _remaking(assignment, seen, progress)
    if assignment.desired == UnitDesired.STOPPED or _over(seen, progress):
        return _stop(assignment, seen, progress)
    if stray := next(iter(strays(seen, progress)), None):
        return _discard(stray, grace_s=0.0)
    for container in start_order(assignment):
        if container.role not in progress.owned:
            return _creation(assignment, container, seen, progress)
    if step := _connection(assignment, seen, progress):
        return step
    return _start(assignment, seen, progress) if assignment.desired == UnitDesired.RUN else None


def _preparation(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    """All that is done for a container in somebody else's hands; again when it takes part in another network."""
    if progress.refused or progress.state >= UnitState.COMPLETE:
        return None
    for container in assignment.containers:
        wanted = [endpoint.network for endpoint in container.endpoints]
        if any(network not in seen.networks for network in wanted):
            return None
        if progress.prepared is None or any(network not in progress.prepared for network in wanted):
            return PrepareContainer(unit=assignment.unit, container=container)
    return None


def _remaking(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    """A container in the place of one that was lost with its host: made and started once, then in others' hands too."""
    if not assignment.remake or progress.prepared is None or _over(seen, progress):
        return None
    for container in assignment.containers:
        if container.role not in progress.owned:
            return _creation(assignment, container, seen, progress)
    if step := _connection(assignment, seen, progress):
        return step
    for observed in by_role(seen, progress).values():
        if assignment.remake == "start" and observed.state == "created":
            return StartContainer(container=observed.id, role=observed.role, again=False)
    return None


def _over(seen: ObservedUnit, progress: Progress) -> bool:
    return progress.state >= UnitState.COMPLETE or bool(progress.refused) or bool(vanished(seen, progress))


def _grace_s(assignment: UnitAssignment, container: ObservedContainer) -> float:
    graces = [asked.stop_grace_s for asked in assignment.containers if asked.role == container.role]
    return graces[0] if graces else 10.0


def _last_first(assignment: UnitAssignment, seen: ObservedUnit) -> list[ObservedContainer]:
    ranks = {container.role: rank for rank, container in enumerate(start_order(assignment))}
    return sorted(seen.containers, key=lambda container: (-ranks.get(container.role, -1), container.id))


def _stop(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    for container in _last_first(assignment, seen):
        if container.alive:
            return StopContainer(container=container.id, grace_s=_grace_s(assignment, container))
    return None


def _removal(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    if step := _stop(assignment, seen, progress):
        return step
    for container in _last_first(assignment, seen):
        if container.state != "removing":
            return RemoveContainer(container=container.id)
    return None


def _discard(container: ObservedContainer, *, grace_s: float) -> UnitStep | None:
    if container.state == "removing":
        return None
    if container.alive:
        return StopContainer(container=container.id, grace_s=grace_s)
    return RemoveContainer(container=container.id)


def _creation(
    assignment: UnitAssignment, container: ContainerAssignment, seen: ObservedUnit, progress: Progress
) -> UnitStep | None:
    if hindrance_to_create(assignment, container, seen, progress):
        return None
    if container.pull == "always" and container.role not in progress.pulled:
        return _pull(assignment, container, always=True)
    if container.image in seen.missing_images:
        return _pull(assignment, container, always=False)
    if holder := seen.named.get(container.name):
        if holder.unit is None:
            reason = (
                f"the name {container.name} is taken on this host by container {holder.id[:12]}, "
                "which Paddock did not make: rename or remove it"
            )
            return RefuseUnit(unit=assignment.unit, reason=reason)
        return RenameContainer(container=holder.id, name=f"{container.name}_old_{holder.id[:12]}")
    return CreateContainer(unit=assignment.unit, container=container)


def _pull(assignment: UnitAssignment, container: ContainerAssignment, *, always: bool) -> PullImage:
    return PullImage(
        unit=assignment.unit,
        role=container.role,
        image=container.image,
        image_id=container.image_id,
        platform=container.platform,
        always=always,
        asks_registry=container.pull != "never",
    )


def _connection(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    """Networks the engine would not take at creation. Only before the start: what runs keeps what it has. One that was
    taken over as it ran gets what it never had."""
    there = by_role(seen, progress)
    for container in start_order(assignment):
        observed = there[container.role]
        adopted = container.adopts == observed.id and observed.alive
        if started(observed, progress.owned[container.role]) and not adopted:
            continue
        for endpoint in container.endpoints:
            name = seen.networks.get(endpoint.network)
            if name is None or name in observed.networks:
                continue
            return ConnectNetwork(
                container=observed.id,
                network=name,
                ipv4=endpoint.ipv4,
                ipv6=endpoint.ipv6,
                mac=endpoint.mac,
                driver_opts=endpoint.driver_opts,
                link_local_ips=endpoint.link_local_ips,
            )
    return None


def _start(assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> UnitStep | None:
    there = by_role(seen, progress)
    for container in start_order(assignment):
        observed = there[container.role]
        if observed.alive or observed.state == "removing":
            continue
        first = not started(observed, progress.owned[container.role])
        if first and hindrance_to_start(assignment, container, seen, progress):
            return None
        if first or goes_on(assignment, seen, observed):
            return StartContainer(
                container=observed.id,
                role=container.role,
                again=observed.state != "created",
                local_restart=not first,
            )
    return None
