"""Joins the control plane and the gateway: the Docker Engine API of the cluster, served beside the server's own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from paddock.gateway.cluster import Caller, Decide, ImageOf, Say
from paddock.gateway.gateway import Gateway
from paddock.gateway.listener import Listener, unix_listener
from paddock.gateway.tls import TlsDoor, tls_listener
from paddock.model.changes import Commit
from paddock.model.errors import NotFound
from paddock.model.images import HeldImage
from paddock.model.objects import EnvironmentId, Host, HostId
from paddock.model.snapshot import Snapshot
from paddock.server.addresses import bound_socket
from paddock.server.authority import Authority
from paddock.server.committing import commit_decision
from paddock.server.config import ServerConfig
from paddock.server.docker_access import Holder, holder_of
from paddock.server.docker_door import DockerDoor
from paddock.server.plane import DEFAULT_ENVIRONMENT, ControlPlane
from paddock.wire.engine_connection import ByteStream
from paddock.wire.engine_http import EngineHttp

if TYPE_CHECKING:
    from paddock.world.world import World

SOCKET = "docker.sock"
SOCKET_PATH_MAX = 107
"""Linux refuses longer Unix socket paths."""
T = TypeVar("T")


class PlaneImages:
    """Its images."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def holders(self, environment: str, name: str) -> list[ImageOf]:
        return [ImageOf(held.host, held.image) for held in self._plane.images.holders(environment, name)]

    def on_host(self, host: HostId) -> tuple[HeldImage, ...]:
        return self._plane.images.on_host(host)

    async def refresh(self, host: HostId) -> None:
        await self._plane.images.refresh(host)

    async def bring(self, name: str, target: Host, say: Say) -> bool:
        return await self._plane.copies.bring(name, target, say) is not None

    def auth(self, environment: str, name: str) -> str:
        return self._plane.registries.auth(environment, name)

    def auths(self, environment: str) -> dict[str, dict[str, str]]:
        return self._plane.registries.auths(environment)


class PlaneCluster:
    """The control plane as the gateway knows it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.world: World = plane.world
        self.images = PlaneImages(plane)

    def snapshot(self) -> Snapshot:
        return self._plane.store.snapshot()

    def durable(self) -> Snapshot:
        return self._plane.store.durable()

    async def commit(self, decide: Decide[T]) -> tuple[T, int]:
        return await commit_decision(self._plane.store, decide)

    def watch(self) -> tuple[Snapshot, AsyncIterator[Commit]]:
        return self._plane.store.snapshot_and_watch()

    def connected(self, host: HostId) -> bool:
        return self._plane.sessions.alive(host)

    async def dial(self, host: HostId) -> ByteStream:
        return await self._plane.streams.dial(host)

    def engine(self, host: HostId) -> EngineHttp:
        known = self.snapshot().get(Host, host)
        return self._plane.streams.engine(host, known.name if known is not None else host)


class KeyDoor:
    """Who comes in by the REST API has shown a key, which opens all of its environment."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def serve(self, stream: ByteStream, holder: Holder) -> None:
        await self._listener.serve(*stream, _caller(holder))


def _caller(holder: Holder) -> Caller:
    return Caller(environment=EnvironmentId(holder.environment), name=holder.name, privileged=holder.privileged)


@asynccontextmanager
async def docker_api(config: ServerConfig, plane: ControlPlane, authority: Authority) -> AsyncIterator[DockerDoor]:
    """For as long as the server runs. On the socket everything of the default environment is allowed: it is root's."""
    listener = Listener(Gateway(PlaneCluster(plane)))

    def owner() -> Caller:
        home = plane.store.snapshot().environment_named(DEFAULT_ENVIRONMENT)
        if home is None:
            raise NotFound(f"environment {DEFAULT_ENVIRONMENT} was removed", hint="use `paddock context create`")
        return Caller(environment=EnvironmentId(home.id), name="the server's owner")

    def holder(certificate: bytes) -> Caller:
        return _caller(holder_of(certificate, plane.store.durable(), plane.world.now_s()))

    async with contextlib.AsyncExitStack() as doors:
        path = config.directory / SOCKET
        if len(bytes(path)) > SOCKET_PATH_MAX:
            plane.world.log.warning("no docker socket: its path would be too long", path=str(path))
        else:
            await doors.enter_async_context(unix_listener(listener, path, owner))
        if config.docker_port:
            door = TlsDoor(listener, authority.agents_tls(), holder, plane.world)
            listening = bound_socket(config.listen, config.docker_port, "--docker-port")
            await doors.enter_async_context(tls_listener(door, listening))
        yield KeyDoor(listener)
