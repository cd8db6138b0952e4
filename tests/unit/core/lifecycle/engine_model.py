"""An engine as a value: applying a step gives the next one. Just enough to ask whether steps lead where they should."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from paddock.core.lifecycle import next_step, remember
from paddock.model.assignment import UnitAssignment
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

MOST_TURNS = 60


class World(msgspec.Struct, frozen=True):
    """One unit's corner of a host. `images`: what is there. `now_s` counts steps."""

    containers: tuple[ObservedContainer, ...] = ()
    others: tuple[ObservedContainer, ...] = ()
    images: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    networks: dict[str, str] = {}
    now_s: float = 1.0
    cut_off: bool = False

    def seen(self) -> ObservedUnit:
        return ObservedUnit(
            containers=self.containers,
            named={other.name: other for other in self.others},
            missing_images=self.missing,
            networks=self.networks,  # type: ignore[arg-type]
            cut_off=self.cut_off,
        )


def settle(assignment: UnitAssignment, world: World, progress: Progress) -> tuple[World, Progress, list[UnitStep]]:
    """Turn after turn until there is no next step; every state on the way only climbs."""
    steps: list[UnitStep] = []
    for _ in range(MOST_TURNS):
        after = remember(assignment, world.seen(), progress)
        assert after.state >= progress.state
        assert remember(assignment, world.seen(), after) == after
        progress = after
        step = next_step(assignment, world.seen(), progress)
        if step is None:
            return world, progress, steps
        steps.append(step)
        world, progress = apply(assignment, world, progress, step)
    raise AssertionError(f"no rest after {MOST_TURNS} steps: {steps}")


def apply(assignment: UnitAssignment, world: World, progress: Progress, step: UnitStep) -> tuple[World, Progress]:
    world = replace(world, now_s=world.now_s + 1)
    match step:
        case PrepareContainer():
            prepared = tuple(endpoint.network for endpoint in step.container.endpoints)
            return world, replace(progress, prepared=prepared)
        case PullImage(image=image):
            progress = replace(progress, pulled=(*progress.pulled, step.role))
            missing = tuple(name for name in world.missing if name != image)
            return replace(world, images=(*world.images, image), missing=missing), progress
        case RefuseUnit(reason=reason):
            return world, replace(progress, refused=reason)
        case CreateContainer():
            return _create(assignment, world, step), progress
        case RenameContainer():
            assert all(other.name != step.name for other in (*world.others, *world.containers))
            others = tuple(
                replace(other, name=step.name) if other.id == step.container else other for other in world.others
            )
            return replace(world, others=others), progress
        case RemoveContainer():
            kept = tuple(container for container in world.containers if container.id != step.container)
            assert len(kept) < len(world.containers)
            assert all(not c.alive for c in world.containers if c.id == step.container), "removed while it ran"
            return replace(world, containers=kept), progress
        case StartContainer() | StopContainer() | ConnectNetwork():
            return replace(world, containers=tuple(_changed(c, step, world) for c in world.containers)), progress


def _create(assignment: UnitAssignment, world: World, step: CreateContainer) -> World:
    asked = step.container
    if asked.image not in world.images:
        return replace(world, missing=(*world.missing, asked.image))
    names = [container.name for container in (*world.containers, *world.others)]
    assert asked.name not in names, "a name twice"
    endpoints = asked.endpoints[:1]
    made = ObservedContainer(
        id=f"id-{asked.name}-{world.now_s}",
        name=asked.name,
        state="created",
        unit=assignment.unit,
        role=asked.role,
        networks={world.networks[endpoint.network]: endpoint.ipv4 for endpoint in endpoints},
    )
    return replace(world, containers=(*world.containers, made))


def _changed(
    container: ObservedContainer, step: StartContainer | StopContainer | ConnectNetwork, world: World
) -> ObservedContainer:
    if container.id != step.container:
        return container
    match step:
        case StartContainer():
            assert not container.alive, "started while it ran"
            return replace(container, state="running", started_at_s=world.now_s, exit_code=0)
        case StopContainer():
            return replace(container, state="exited", finished_at_s=world.now_s, exit_code=137)
        case ConnectNetwork():
            assert step.network not in container.networks
            return replace(container, networks={**container.networks, step.network: step.ipv4})
