"""In which order a unit's containers are created and started; the other way round they are stopped and removed."""

from __future__ import annotations

from paddock.model.assignment import ContainerAssignment, UnitAssignment
from paddock.model.observed import ObservedContainer, ObservedUnit, Progress


def start_order(assignment: UnitAssignment) -> tuple[ContainerAssignment, ...]:
    """Whose name another one is `after` comes first; otherwise as assigned. A circle is left as assigned."""
    by_name = {container.name: container for container in assignment.containers}
    ordered: dict[str, ContainerAssignment] = {}

    def place(container: ContainerAssignment, above: tuple[str, ...]) -> None:
        if container.name in ordered or container.name in above:
            return
        for name in container.after:
            if name in by_name:
                place(by_name[name], (*above, container.name))
        ordered[container.name] = container

    for container in assignment.containers:
        place(container, ())
    return tuple(ordered.values())


def by_role(seen: ObservedUnit, progress: Progress) -> dict[str, ObservedContainer]:
    """role -> the container that is this unit's own in that role."""
    by_id = {container.id: container for container in seen.containers}
    return {role: by_id[owned.id] for role, owned in progress.owned.items() if owned.id in by_id}


def strays(seen: ObservedUnit, progress: Progress) -> tuple[ObservedContainer, ...]:
    """This unit's containers that no role of it owns: left by an agent that died in between, or not asked for now."""
    owned = {role_container.id for role_container in progress.owned.values()}
    return tuple(container for container in seen.containers if container.id not in owned)
