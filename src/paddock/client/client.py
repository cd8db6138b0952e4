"""The REST API as methods: one per call, with the types of `wire.api`. Errors are those of `model.errors`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from paddock.client.connection import Connections, Query, error_of, fetch_ca, pinned_tls
from paddock.model.errors import Transient
from paddock.model.specs import StackSpec
from paddock.wire.api import (
    Accepted,
    Adoptable,
    Adopted,
    ApiKeyView,
    Applied,
    ContainerView,
    CreatedApiKey,
    CreatedJoinToken,
    DockerCertificate,
    DockerCertificateRequest,
    DrainAnswer,
    EnvironmentView,
    EventView,
    ExecStart,
    Explanation,
    HostPatch,
    HostView,
    Joined,
    JoinRequest,
    JoinTokenRequest,
    LogLine,
    NetworkView,
    NewApiKey,
    NewEnvironment,
    Ping,
    RegistryLogin,
    RegistryView,
    ScaleRequest,
    ServiceView,
    StackView,
    StatsSample,
    TopAnswer,
    VolumeView,
)

if TYPE_CHECKING:
    from paddock.client.exec import ExecStream
    from paddock.wire.engine_http import EngineHttp

T = TypeVar("T")
_ERROR_START = b'{"code":'
MOST_LINE_BYTES = 16 * 2**20


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server is, how to know it (`ca` is PEM), and as whom. The key stays out of its representation."""

    server: str
    ca: str
    key: str = ""
    environment: str = "default"

    def __repr__(self) -> str:
        return f"Endpoint({self.server!r}, environment={self.environment!r})"


class Client:
    """`async with Client(endpoint) as client: …`"""

    def __init__(self, endpoint: Endpoint) -> None:
        self._connections = Connections(endpoint.server, pinned_tls(endpoint.ca), endpoint.key)
        self.environment = endpoint.environment

    @staticmethod
    async def by_fingerprint(server: str, fingerprint: str, key: str = "", environment: str = "default") -> Client:
        """For who knows the SHA-256 of the CA only, as join tokens do."""
        ca = await fetch_ca(server, fingerprint)
        return Client(Endpoint(server=server, ca=ca, key=key, environment=environment))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._connections.close()

    # The server itself

    async def ping(self) -> Ping:
        return await self._get(Ping, "/v1/ping")

    async def ca(self) -> str:
        return (await self._connections.call("GET", "/v1/ca")).decode()

    async def join(self, request: JoinRequest) -> Joined:
        return await self._send(Joined, "POST", "/v1/join", request)

    async def environments(self) -> list[EnvironmentView]:
        return await self._get(list[EnvironmentView], "/v1/environments")

    async def create_environment(self, name: str) -> EnvironmentView:
        return await self._send(EnvironmentView, "POST", "/v1/environments", NewEnvironment(name=name))

    async def remove_environment(self, name: str) -> None:
        await self._connections.call("DELETE", f"/v1/environments/{_part(name)}")

    async def api_keys(self) -> list[ApiKeyView]:
        return await self._get(list[ApiKeyView], "/v1/api-keys")

    async def create_api_key(self, request: NewApiKey) -> CreatedApiKey:
        return await self._send(CreatedApiKey, "POST", "/v1/api-keys", request)

    async def remove_api_key(self, id: str) -> None:
        await self._connections.call("DELETE", f"/v1/api-keys/{_part(id)}")

    async def backup(self, write: Callable[[bytes], object]) -> int:
        """Hands the server's backup, which holds its keys, to `write` piece by piece. -> its size."""
        size = 0
        async with self._connections.stream("/v1/backup") as pieces:
            async for piece in pieces:
                write(piece)
                size += len(piece)
        return size

    # Registries

    async def registries(self) -> list[RegistryView]:
        return await self._get(list[RegistryView], self._path("registries"))

    async def log_in(self, login: RegistryLogin) -> RegistryView:
        return await self._send(RegistryView, "POST", self._path("registries"), login)

    async def log_out(self, address: str) -> Accepted:
        return await self._send(Accepted, "DELETE", self._path("registries", address))

    @asynccontextmanager
    async def docker(self) -> AsyncIterator[EngineHttp]:
        """The environment's Docker API."""
        from paddock.client.docker import docker_api

        async with docker_api(self._connections, self._path("docker")) as engine:
            yield engine

    # Hosts

    async def create_join_token(self, ttl_s: float = 3600.0) -> CreatedJoinToken:
        return await self._send(CreatedJoinToken, "POST", self._path("join-tokens"), JoinTokenRequest(ttl_s=ttl_s))

    async def docker_certificate(self, csr: str, *, privileged: bool = True) -> DockerCertificate:
        """For Docker clients of this environment; `csr` in PEM form."""
        asked = DockerCertificateRequest(csr=csr, privileged=privileged)
        return await self._send(DockerCertificate, "POST", self._path("docker-certificates"), asked)

    async def hosts(self) -> list[HostView]:
        return await self._get(list[HostView], self._path("hosts"))

    async def host(self, name: str) -> HostView:
        return await self._get(HostView, self._path("hosts", name))

    async def label_host(self, name: str, labels: dict[str, str | None]) -> HostView:
        """A None value takes the label away."""
        return await self._send(HostView, "PATCH", self._path("hosts", name), HostPatch(labels=labels))

    async def drain_host(self, name: str) -> DrainAnswer:
        return await self._send(DrainAnswer, "POST", self._path("hosts", name, "drain"))

    async def activate_host(self, name: str) -> HostView:
        return await self._send(HostView, "POST", self._path("hosts", name, "activate"))

    async def remove_host(self, name: str, *, force: bool = False) -> Accepted:
        return await self._send(Accepted, "DELETE", self._path("hosts", name), query={"force": force})

    async def override_breaker(self) -> EnvironmentView:
        return await self._send(EnvironmentView, "POST", self._path("breaker", "override"))

    # Stacks and services

    async def stacks(self) -> list[StackView]:
        return await self._get(list[StackView], self._path("stacks"))

    async def stack(self, name: str) -> StackView:
        return await self._get(StackView, self._path("stacks", name))

    async def apply_stack(self, spec: StackSpec, *, dry_run: bool = False, remove_orphans: bool = False) -> Applied:
        query = {"dry_run": dry_run, "remove_orphans": remove_orphans}
        return await self._send(Applied, "PUT", self._path("stacks", spec.name), spec, query=query)

    async def adoptable(self) -> list[Adoptable]:
        return await self._get(list[Adoptable], self._path("adoptable"))

    async def adopt(self, spec: StackSpec, *, host: str = "", dry_run: bool = False) -> Adopted:
        """Takes a compose project over that runs on a host of the cluster."""
        query: Query = {"host": host, "dry_run": dry_run}
        return await self._send(Adopted, "POST", self._path("stacks", spec.name, "adopt"), spec, query=query)

    async def remove_stack(self, name: str, *, volumes: bool = False) -> Accepted:
        return await self._send(Accepted, "DELETE", self._path("stacks", name), query={"volumes": volumes})

    async def services(self, *, stack: str = "") -> list[ServiceView]:
        return await self._get(list[ServiceView], self._path("services"), {"stack": stack or None})

    async def service(self, stack: str, name: str) -> ServiceView:
        return await self._get(ServiceView, self._path("services", stack, name))

    async def scale(self, stack: str, name: str, replicas: int) -> Accepted:
        body = ScaleRequest(replicas=replicas)
        return await self._send(Accepted, "POST", self._path("services", stack, name, "scale"), body)

    async def restart(self, stack: str, name: str) -> Accepted:
        return await self._act(stack, name, "restart")

    async def stop(self, stack: str, name: str) -> Accepted:
        return await self._act(stack, name, "stop")

    async def start(self, stack: str, name: str) -> Accepted:
        return await self._act(stack, name, "start")

    async def rollback(self, stack: str, name: str) -> Accepted:
        return await self._act(stack, name, "rollback")

    async def pause(self, stack: str, name: str) -> Accepted:
        return await self._act(stack, name, "pause")

    async def resume(self, stack: str, name: str) -> Accepted:
        return await self._act(stack, name, "resume")

    async def _act(self, stack: str, name: str, action: str) -> Accepted:
        return await self._send(Accepted, "POST", self._path("services", stack, name, action))

    async def explain(self, name: str) -> Explanation:
        """`name`: a container, service (`stack/service`), stack or host."""
        return await self._get(Explanation, self._path("explain") + f"/{quote(name, safe='/')}")

    # Containers, networks, volumes

    async def containers(self, *, stack: str = "", service: str = "", all: bool = False) -> list[ContainerView]:
        """`all`: finished ones too."""
        query = {"stack": stack or None, "service": service or None, "all": all}
        return await self._get(list[ContainerView], self._path("containers"), query)

    async def container(self, name: str) -> ContainerView:
        return await self._get(ContainerView, self._path("containers", name))

    async def inspect(self, name: str) -> dict[str, Any]:
        return await self._get(dict[str, Any], self._path("containers", name, "inspect"))

    async def remove_container(self, name: str) -> Accepted:
        return await self._send(Accepted, "DELETE", self._path("containers", name))

    async def top(self, name: str) -> TopAnswer:
        return await self._get(TopAnswer, self._path("containers", name, "top"))

    async def networks(self) -> list[NetworkView]:
        return await self._get(list[NetworkView], self._path("networks"))

    async def volumes(self) -> list[VolumeView]:
        return await self._get(list[VolumeView], self._path("volumes"))

    async def remove_volume(self, name: str) -> Accepted:
        return await self._send(Accepted, "DELETE", self._path("volumes", name))

    # Streams

    def events(self, *, since: int | None = None, follow: bool = False) -> AsyncGenerator[EventView, None]:
        """Raises `TooOld` when what came after `since` is no longer kept."""
        return self._stream(EventView, self._path("events"), {"since": since, "follow": follow})

    def logs(
        self, name: str, *, follow: bool = False, tail: str = "all", since: str = "", timestamps: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        query: Query = {"follow": follow, "tail": tail, "since": since or None, "timestamps": timestamps}
        return self._stream(LogLine, self._path("containers", name, "logs"), query)

    def stats(self, name: str, *, stream: bool = True) -> AsyncGenerator[StatsSample, None]:
        return self._stream(StatsSample, self._path("containers", name, "stats"), {"stream": stream})

    @asynccontextmanager
    async def exec(self, name: str, start: ExecStart) -> AsyncIterator[ExecStream]:
        from paddock.client.exec import open_exec

        async with open_exec(self._connections, self._path("containers", name, "exec"), start) as stream:
            yield stream

    # Parts

    def _path(self, *parts: str) -> str:
        return "/".join(["/v1/environments", _part(self.environment), *map(_part, parts)])

    async def _get(self, kind: type[T], path: str, query: Query | None = None) -> T:
        return self._decoded(await self._connections.call("GET", path, query=query), kind)

    async def _send(
        self, kind: type[T], method: str, path: str, body: msgspec.Struct | None = None, query: Query | None = None
    ) -> T:
        data = msgspec.json.encode(body) if body is not None else None
        return self._decoded(await self._connections.call(method, path, query=query, body=data), kind)

    def _decoded(self, data: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise Transient(
                f"the server at {self._connections.server} answered something unexpected: {error}",
                hint="client and server may be of different versions",
            ) from error

    async def _stream(self, kind: type[T], path: str, query: Query) -> AsyncGenerator[T, None]:
        decode = msgspec.json.Decoder(kind).decode
        async with self._connections.stream(path, query=query) as pieces:
            async for line in _lines(pieces):
                if line.startswith(_ERROR_START):
                    raise error_of(503, line)
                yield decode(line)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Empty ones only kept the connection alive."""
    pending = b""
    async for piece in pieces:
        *whole, pending = (pending + piece).split(b"\n")
        for line in whole:
            if line:
                yield line
        if len(pending) > MOST_LINE_BYTES:
            raise Transient("the server sent a line without an end")
    if pending:
        yield pending


def _part(text: str) -> str:
    return quote(text, safe="")
