"""What the routes are handed: the control plane, and what they need to know of the machine around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from litestar.di import NamedDependency

from paddock.model.objects import Environment
from paddock.model.snapshot import Snapshot
from paddock.server.auth import Caller
from paddock.server.authority import Authority
from paddock.server.committing import Decision, commit_decision
from paddock.server.config import ServerConfig
from paddock.server.containers import Containers
from paddock.server.docker_door import DockerDoor
from paddock.server.plane import ControlPlane
from paddock.store.store import Store
from paddock.world.world import World

T = TypeVar("T")


class Api:
    """`address` is where hosts reach the API: `https://…`. `agents_port` is known once it is bound."""

    def __init__(
        self, plane: ControlPlane, authority: Authority, config: ServerConfig, address: str, agents_port: int
    ) -> None:
        self.plane = plane
        self.authority = authority
        self.data = config.directory
        self.docker_port = config.docker_port
        self.address = address
        self.agents_port = agents_port
        self.containers = Containers(plane.streams)
        self.docker: DockerDoor | None = None

    @property
    def world(self) -> World:
        return self.plane.world

    @property
    def store(self) -> Store:
        return self.plane.store

    @property
    def snapshot(self) -> Snapshot:
        """What may be told: nothing in it can be lost any more."""
        return self.plane.store.durable()

    async def decide(self, decide: Callable[[Snapshot], Decision[T]]) -> tuple[T, int]:
        return await commit_decision(self.store, decide)


TheApi = NamedDependency[Api]
TheCaller = NamedDependency[Caller]
TheEnvironment = NamedDependency[Environment]
