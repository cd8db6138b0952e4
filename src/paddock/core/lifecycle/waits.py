"""What a unit waits for on its host before a container can be created or started."""

from __future__ import annotations

from paddock.core.lifecycle.order import by_role
from paddock.model.assignment import ContainerAssignment, UnitAssignment
from paddock.model.observed import ObservedContainer, ObservedUnit, Progress


def hindrance_to_create(
    assignment: UnitAssignment, container: ContainerAssignment, seen: ObservedUnit, progress: Progress
) -> str:
    """ "" when nothing is in the way."""
    for endpoint in container.endpoints:
        if endpoint.network not in seen.networks:
            return f"{container.name} waits for network {endpoint.network}, which this host has not been given yet"
    for name in container.after:
        if _named(name, assignment, seen, progress) is None:
            return f"{container.name} waits for container {name} to be created"
    return ""


def hindrance_to_start(
    assignment: UnitAssignment, container: ContainerAssignment, seen: ObservedUnit, progress: Progress
) -> str:
    """ "" when nothing is in the way."""
    for name in container.after:
        other = _named(name, assignment, seen, progress)
        if other is None or other.state == "created":
            return f"{container.name} waits for container {name} to be started"
    return ""


def _named(name: str, assignment: UnitAssignment, seen: ObservedUnit, progress: Progress) -> ObservedContainer | None:
    there = by_role(seen, progress)
    for container in assignment.containers:
        if container.name == name:
            return there.get(container.role)
    return seen.named.get(name)
