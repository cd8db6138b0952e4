"""Routes on the server itself: ping, CA, joining, environments, API keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import BinaryIO

import msgspec
from litestar import MediaType, delete, get, post
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

import paddock
from paddock.model.objects import Environment
from paddock.model.snapshot import Snapshot
from paddock.server import auth, environments, joining
from paddock.server.committing import Decision
from paddock.server.http.api import TheApi, TheCaller, TheEnvironment
from paddock.server.upkeep import write_backup
from paddock.server.views import environment_view
from paddock.wire.api import (
    ApiKeyView,
    CreatedApiKey,
    CreatedJoinToken,
    EnvironmentView,
    Joined,
    JoinRequest,
    JoinTokenRequest,
    NewApiKey,
    NewEnvironment,
    Ping,
)
from paddock.wire.join_token import JoinToken, encode_token

PIECE_BYTES = 2**18


@get("/v1/ping", security=[], tags=["server"])
async def ping(api: TheApi) -> Ping:
    return Ping(version=paddock.__version__, ca_fingerprint=api.authority.fingerprint, agents_port=api.agents_port)


@get("/v1/ca", media_type=MediaType.TEXT, security=[], tags=["server"])
async def ca(api: TheApi) -> str:
    return api.authority.pem


@post("/v1/join", security=[], tags=["server"])
async def join(api: TheApi, data: JSONBody[JoinRequest]) -> Joined:
    joined, _ = await api.decide(lambda snapshot: joining.join(snapshot, data, api.world, api.authority))
    return msgspec.structs.replace(joined, agents_port=api.agents_port)


@get("/v1/environments", tags=["environments"])
async def list_environments(api: TheApi, caller: TheCaller) -> list[EnvironmentView]:
    snapshot = api.snapshot
    found = [one for one in snapshot.table(Environment).values() if caller.environment in ("", one.id)]
    return [environment_view(snapshot, one) for one in sorted(found, key=lambda one: one.name)]


@post("/v1/environments", tags=["environments"])
async def create_environment(api: TheApi, caller: TheCaller, data: JSONBody[NewEnvironment]) -> EnvironmentView:
    caller.demand_admin()
    name, _ = await api.decide(lambda snapshot: environments.create_environment(snapshot, data.name, api.world))
    created = auth.environment_for(caller, api.snapshot, name)
    return environment_view(api.snapshot, created)


@delete("/v1/environments/{environment_name:str}", tags=["environments"])
async def delete_environment(api: TheApi, caller: TheCaller, environment_name: FromPath[str]) -> None:
    caller.demand_admin()

    def decide(snapshot: Snapshot) -> Decision[None]:
        return environments.delete_environment(snapshot, auth.environment_for(caller, snapshot, environment_name))

    await api.decide(decide)


@get("/v1/api-keys", tags=["keys"])
async def list_keys(api: TheApi, caller: TheCaller) -> list[ApiKeyView]:
    caller.demand_admin()
    return auth.key_views(api.snapshot)


@post("/v1/api-keys", tags=["keys"])
async def create_key(api: TheApi, caller: TheCaller, data: JSONBody[NewApiKey]) -> CreatedApiKey:
    caller.demand_admin()
    created, _ = await api.decide(lambda snapshot: auth.new_key(snapshot, data, api.world))
    return created


@delete("/v1/api-keys/{key_id:str}", tags=["keys"])
async def delete_key(api: TheApi, caller: TheCaller, key_id: FromPath[str]) -> None:
    caller.demand_admin()
    await api.decide(lambda snapshot: auth.delete_key(snapshot, key_id, caller))


@post("/v1/environments/{environment_name:str}/join-tokens", tags=["hosts"])
async def create_join_token(
    api: TheApi, environment: TheEnvironment, data: JSONBody[JoinTokenRequest | None] = None
) -> CreatedJoinToken:
    ttl_s = (data or JoinTokenRequest()).ttl_s
    (token, secret), _ = await api.decide(lambda snapshot: joining.new_token(snapshot, environment, ttl_s, api.world))
    text = encode_token(JoinToken(server=api.address, ca=api.authority.fingerprint, secret=secret))
    return CreatedJoinToken(
        id=token.id, token=text, command=f"paddock agent join {text}", expires_at_s=token.expires_at_s
    )


@get("/v1/backup", tags=["server"], media_type="application/x-tar")
async def backup(api: TheApi, caller: TheCaller) -> Stream:
    """The whole server as an archive, keys included: for admins, and to be kept as safe as the server itself."""
    caller.demand_admin()
    archive = api.data / f".backup-{api.world.chance.hex(12)}"
    await write_backup(api.store, api.data, archive)
    file = archive.open("rb")
    archive.unlink()
    return Stream(_pieces(file), media_type="application/x-tar")


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while data := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield data


ROUTES = [
    ping, ca, join, list_environments, create_environment, delete_environment, list_keys, create_key, delete_key,
    create_join_token, backup,
]  # fmt: skip
