"""What `docker compose` started on one host before, and somebody now wants to have as a stack of the cluster."""

from __future__ import annotations

import random

from paddock.core.adoption import SeenContainer, SeenProject, adopt
from paddock.model.changes import Change
from paddock.model.objects import Stack
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, ContainerSpec, NetworkSpec, RestartPolicy, ServiceSpec, StackSpec
from paddock.sim.container import Container
from paddock.sim.machine import Machine

NAMES = ("old1", "old2")
PROGRAMS = ("steady", "flaky", "stubborn")


def free_name(view: Snapshot, wishes: dict[str, StackSpec]) -> str:
    """ "" when there are projects enough."""
    taken = {stack.name for stack in view.table(Stack).values()} | wishes.keys()
    return next((name for name in NAMES if name not in taken), "")


def project(chance: random.Random, name: str) -> StackSpec:
    services = {
        service: ServiceSpec(
            name=service,
            container=ContainerSpec(
                image=f"app/{chance.choice(PROGRAMS)}:1", networks=(Attachment(network="default"),)
            ),
            replicas=chance.randint(1, 2),
            restart=RestartPolicy(condition="any"),
        )
        for service in ("web", "db")[: chance.randint(1, 2)]
    }
    return StackSpec(name=name, services=services, networks={"default": NetworkSpec(name=f"{name}_default")})


def start(spec: StackSpec, machine: Machine) -> SeenProject:
    """`docker compose up` on the host, past the cluster."""
    engine, seen = machine.engine, []
    for service in spec.services.values():
        engine.images[service.container.image] = None
        for number in range(1, service.replicas + 1):
            container = Container(
                id=engine.new_id(), name=f"{spec.name}-{service.name}-{number}", image=service.container.image,
                unit=None, role="", body={}, project=spec.name,
            )  # fmt: skip
            engine.add(container)
            engine.start_now(container)
            one = SeenContainer(
                id=container.id, name=container.name, service=service.name, number=number, state=container.state
            )
            seen.append(one)
    return SeenProject(name=spec.name, host=machine.id, containers=tuple(seen))


def take_down(name: str, machine: Machine) -> None:
    """`docker compose down`, by somebody who was told that it could not be adopted."""
    for container in [one for one in machine.engine.containers.values() if one.project == name]:
        machine.engine.remove_now(container)


def adoption(now: Snapshot, spec: StackSpec, seen: SeenProject, now_s: float) -> tuple[Change, ...]:
    return adopt(now, spec, seen, now_s).changes
