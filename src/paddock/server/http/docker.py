"""Access for Docker clients."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import WebSocket, post, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.params import JSONBody

from paddock.server.docker_access import Holder, issue
from paddock.server.docker_door import carry
from paddock.server.http.api import TheApi, TheCaller, TheEnvironment
from paddock.wire.api import DockerCertificate, DockerCertificateRequest
from paddock.wire.channel import ChannelClosed


@post("/v1/environments/{environment_name:str}/docker-certificates", tags=["docker"])
async def create_docker_certificate(
    api: TheApi, caller: TheCaller, environment: TheEnvironment, data: JSONBody[DockerCertificateRequest]
) -> DockerCertificate:
    """A client certificate for the Docker API, good as long as the key it was asked for with."""
    made = issue(api.authority, caller, environment, data, api.world.now_s())
    return msgspec.structs.replace(made, port=api.docker_port)


@websocket("/v1/environments/{environment_name:str}/docker")
async def docker(socket: WebSocket[Any, Any, Any], api: TheApi, caller: TheCaller, environment: TheEnvironment) -> None:
    """The environment's Docker API as a stream of bytes."""
    await socket.accept()

    async def receive() -> bytes | None:
        event = await socket.receive()
        if event["type"] == "websocket.disconnect":
            return None
        data = event.get("bytes")
        return data if isinstance(data, bytes) else b""

    async def send(data: bytes) -> None:
        try:
            await socket.send_bytes(data)
        except (WebSocketDisconnect, OSError) as error:
            raise ChannelClosed("the client has gone") from error

    if api.docker is not None:
        holder = Holder(environment=environment.id, name=caller.name, privileged=caller.privileged)
        await carry(api.docker, holder, receive, send)
    await socket.close()


ROUTES = [create_docker_certificate, docker]
