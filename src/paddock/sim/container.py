"""A container of a simulated engine, and what the program in it does with its life."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from paddock.model.objects import UnitId
from paddock.model.observed import ContainerState, ObservedContainer

FOREVER = -1.0


class Mood:
    """Whether programs misbehave as their image allows. In the calm only those do that always do."""

    def __init__(self) -> None:
        self.stormy = True


@dataclass
class Container:
    """`networks`: engine network name -> (the network's own id, address). `run` counts starts."""

    id: str
    name: str
    image: str
    unit: UnitId | None
    role: str
    body: dict[str, Any]
    mode: str = ""
    networks: dict[str, tuple[int, str]] = field(default_factory=dict)
    state: ContainerState = "created"
    exit_code: int | None = None
    error: str = ""
    health: str = ""
    restarts: int = 0
    quick_ends: int = 0
    started_at_s: float = 0.0
    finished_at_s: float = 0.0
    run: int = 0
    told_to_stop: bool = False
    bound: tuple[str, ...] = ()
    project: str = ""
    """Of docker compose, which made it without us."""

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def policy(self) -> str:
        return str(((self.body.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "")

    @property
    def has_healthcheck(self) -> bool:
        return bool(self.body.get("Healthcheck"))

    @property
    def volumes(self) -> tuple[str, ...]:
        mounts = (self.body.get("HostConfig") or {}).get("Mounts") or ()
        return tuple(str(mount["Source"]) for mount in mounts if mount["Type"] == "volume")

    def restarted_by_engine(self, exit_code: int) -> bool:
        if self.told_to_stop:
            return False
        return self.policy in ("always", "unless-stopped") or (self.policy == "on-failure" and exit_code != 0)

    def observed(self) -> ObservedContainer:
        return ObservedContainer(
            id=self.id,
            name=self.name,
            state=self.state,
            unit=self.unit,
            role=self.role,
            image=self.image,
            exit_code=self.exit_code,
            error=self.error,
            health=self.health if self.running else "",
            restarts=self.restarts,
            restart_policy=self.policy,
            started_at_s=self.started_at_s,
            finished_at_s=self.finished_at_s,
            networks={name: address for name, (_, address) in self.networks.items()},
            ports=self.bound if self.running else (),
        )


def program(image: str) -> str:
    """`app/steady:3` -> `steady`: what a program does follows from its image's name."""
    return image.partition("/")[2].partition(":")[0]


def life_s(image: str, mood: Mood, chance: random.Random) -> tuple[float, int]:
    """How long the program runs and its exit code; `FOREVER` when it does not end by itself."""
    match program(image):
        case "crash":
            return chance.uniform(0.1, 3.0), 1
        case "job":
            return chance.uniform(0.5, 8.0), 0
        case "flaky" if mood.stormy and chance.random() < 0.7:
            return chance.uniform(0.5, 60.0), chance.choice((0, 1, 137))
    return FOREVER, 0


def stop_s(image: str, grace_s: float, chance: random.Random) -> tuple[float, int]:
    """How long it takes to end once asked to, and its exit code."""
    wish_s = chance.uniform(0.02, 1.5)
    if program(image) == "stubborn" or wish_s > grace_s:
        return grace_s, 137
    return wish_s, 143


def first_health(image: str, chance: random.Random) -> tuple[float, str]:
    """When the healthcheck has its first say, and what it says."""
    if program(image) == "sick":
        return chance.uniform(3.0, 8.0), "unhealthy"
    return chance.uniform(0.5, 4.0), "healthy"


def next_health(container: Container, mood: Mood, chance: random.Random) -> tuple[float, str] | None:
    """When the healthcheck changes its mind again, if ever."""
    if program(container.image) == "wobbly" and (mood.stormy or container.health == "unhealthy"):
        return chance.uniform(5.0, 60.0), "unhealthy" if container.health == "healthy" else "healthy"
    return None


def bindings(container: Container) -> list[tuple[str, str, str]]:
    """(protocol, host address, asked port or range) of every published port."""
    asked = (container.body.get("HostConfig") or {}).get("PortBindings") or {}
    return [
        (target.partition("/")[2], str(binding["HostIp"]), str(binding["HostPort"]))
        for target, several in sorted(asked.items())
        for binding in several
    ]
