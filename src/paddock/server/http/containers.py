"""Routes on containers: lists from the snapshot, the rest from the engine of the container's host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import WebSocket, delete, get, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from paddock.core.commands import remove_container
from paddock.core.powers import check_powers
from paddock.model.errors import NotFound, PaddockError
from paddock.model.objects import Environment, Revision, ServiceId, StackId, Unit
from paddock.model.snapshot import Snapshot
from paddock.server.auth import Caller
from paddock.server.committing import Decision
from paddock.server.containers import Located, LogsAsked, find_container, locate
from paddock.server.exec_session import ExecSession
from paddock.server.http.answers import NDJSON, answer_of, lines
from paddock.server.http.api import Api, TheApi, TheCaller, TheEnvironment
from paddock.server.views import container_views, service_named, stack_named, unit_views
from paddock.wire.api import Accepted, ContainerView, ExecEnd, LogLine, StatsSample, TopAnswer
from paddock.wire.channel import ChannelClosed
from paddock.wire.engine_powers import container_powers

BELOW = "/v1/environments/{environment_name:str}"


@get(f"{BELOW}/containers", tags=["containers"])
async def list_containers(
    api: TheApi,
    environment: TheEnvironment,
    stack: FromQuery[str] = "",
    service: FromQuery[str] = "",
    all: FromQuery[bool] = False,
) -> list[ContainerView]:
    """`service`: its name with `stack`, else `stack/name`. `all`: finished ones too."""
    units = _units(api.snapshot, environment, stack, service)
    return container_views(api.snapshot, units, finished=all)


def _units(snapshot: Snapshot, environment: Environment, stack: str, service: str) -> list[Unit]:
    if service:
        stack_name, _, name = service.partition("/") if "/" in service else (stack, "", service)
        found = service_named(snapshot, environment, stack_name, name)
        return snapshot.units_of_service(ServiceId(found.id))
    if stack:
        wanted = stack_named(snapshot, environment, stack)
        services = snapshot.services_of_stack(StackId(wanted.id))
        return [unit for one in services for unit in snapshot.units_of_service(ServiceId(one.id))]
    return snapshot.in_environment(Unit, environment.id)


@get(f"{BELOW}/containers/{{name:str}}", tags=["containers"])
async def get_container(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> ContainerView:
    found = find_container(api.snapshot, environment.id, name)
    if found is None:
        raise NotFound(f"there is no container {name!r} in environment {environment.name}", hint="see `paddock ps -a`")
    unit, status = found
    role = status.role if status is not None else ""
    return next(view for view in unit_views(api.snapshot, unit) if view.role == role)


@delete(f"{BELOW}/containers/{{name:str}}", status_code=200, tags=["containers"])
async def delete_container(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> Accepted:
    def decide(snapshot: Snapshot) -> Decision[None]:
        found = find_container(snapshot, environment.id, name)
        if found is None:
            raise NotFound(f"there is no container {name!r} in environment {environment.name}")
        return remove_container(found[0]), None

    _, version = await api.decide(decide)
    return Accepted(version=version)


def _located(api: Api, environment: Environment, name: str) -> Located:
    return locate(api.snapshot, environment, name)


@get(f"{BELOW}/containers/{{name:str}}/inspect", tags=["containers"])
async def inspect_container(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> dict[str, Any]:
    """The engine's own answer."""
    return await api.containers.inspect(_located(api, environment, name))


@get(f"{BELOW}/containers/{{name:str}}/top", tags=["containers"])
async def top(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> TopAnswer:
    return await api.containers.top(_located(api, environment, name))


@get(f"{BELOW}/containers/{{name:str}}/logs", tags=["containers"], media_type=NDJSON)
async def logs(
    api: TheApi,
    environment: TheEnvironment,
    name: FromPath[str],
    follow: FromQuery[bool] = False,
    tail: FromQuery[str] = "all",
    since: FromQuery[str] = "",
    timestamps: FromQuery[bool] = False,
) -> Stream:
    """One LogLine per line."""
    asked = LogsAsked(follow=follow, tail=tail, since=since, timestamps=timestamps).checked()
    found: AsyncIterator[LogLine] = await api.containers.logs(_located(api, environment, name), asked)
    return Stream(lines(found), media_type=NDJSON)


@get(f"{BELOW}/containers/{{name:str}}/stats", tags=["containers"], media_type=NDJSON)
async def stats(
    api: TheApi, environment: TheEnvironment, name: FromPath[str], stream: FromQuery[bool] = True
) -> Stream:
    """One StatsSample per line and second; without `stream` one."""
    found: AsyncIterator[StatsSample] = api.containers.stats(_located(api, environment, name), stream=stream)
    return Stream(lines(found), media_type=NDJSON)


async def _check_reach(api: Api, caller: Caller, located: Located) -> None:
    """Raises `Forbidden` for a container from which the host could be reached, unless the caller may."""
    if caller.privileged:
        return
    revision = api.snapshot.get(Revision, located.unit.revision)
    spec = revision.spec if revision is not None else None
    check_powers(await container_powers(api.containers.engine(located), located.id, spec), privileged=False)


@websocket(f"{BELOW}/containers/{{name:str}}/exec")
async def execute(
    socket: WebSocket[Any, Any, Any],
    api: TheApi,
    caller: TheCaller,
    environment: TheEnvironment,
    name: FromPath[str],
) -> None:
    await socket.accept()

    async def receive() -> bytes | str | None:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            return None
        text, data = event.get("text"), event.get("bytes")
        return text if isinstance(text, str) else data if isinstance(data, bytes) else b""

    async def send(message: bytes | str) -> None:
        try:
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)
        except (WebSocketDisconnect, OSError) as error:
            raise ChannelClosed("the client has gone") from error

    try:
        located = _located(api, environment, name)
        await _check_reach(api, caller, located)
    except PaddockError as error:
        await send(msgspec.json.encode(ExecEnd(exit_code=-1, error=answer_of(error).message)).decode())
    else:
        engine = api.containers.engine(located)
        session = ExecSession(engine, located.id, receive, send, privileged=caller.privileged)
        await session.run()
        if session.gone:
            return
    await socket.close()


ROUTES = [
    list_containers, get_container, delete_container, inspect_container, top, logs, stats, execute,
]  # fmt: skip
