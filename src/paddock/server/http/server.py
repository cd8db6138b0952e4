"""Routes on the server itself: ping, CA, joining, environments, API keys."""

from __future__ import annotations

import msgspec
from litestar import MediaType, delete, get, post

import paddock
from paddock.model.objects import Environment
from paddock.model.snapshot import Snapshot
from paddock.server import auth, environments, joining
from paddock.server.auth import Caller
from paddock.server.committing import Decision
from paddock.server.http.service import Service
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


@get("/v1/ping", security=[], tags=["server"])
async def ping(service: Service) -> Ping:
    return Ping(
        version=paddock.__version__, ca_fingerprint=service.authority.fingerprint, agents_port=service.agents_port
    )


@get("/v1/ca", media_type=MediaType.TEXT, security=[], tags=["server"])
async def ca(service: Service) -> str:
    return service.authority.pem


@post("/v1/join", security=[], tags=["server"])
async def join(service: Service, data: JoinRequest) -> Joined:
    joined, _ = await service.decide(lambda snapshot: joining.join(snapshot, data, service.world, service.authority))
    return msgspec.structs.replace(joined, agents_port=service.agents_port)


@get("/v1/environments", tags=["environments"])
async def list_environments(service: Service, caller: Caller) -> list[EnvironmentView]:
    snapshot = service.snapshot
    found = [one for one in snapshot.table(Environment).values() if caller.environment in ("", one.id)]
    return [environment_view(snapshot, one) for one in sorted(found, key=lambda one: one.name)]


@post("/v1/environments", tags=["environments"])
async def create_environment(service: Service, caller: Caller, data: NewEnvironment) -> EnvironmentView:
    caller.demand_admin()
    name, _ = await service.decide(
        lambda snapshot: environments.create_environment(snapshot, data.name, service.world)
    )
    created = auth.environment_for(caller, service.snapshot, name)
    return environment_view(service.snapshot, created)


@delete("/v1/environments/{environment_name:str}", tags=["environments"])
async def delete_environment(service: Service, caller: Caller, environment_name: str) -> None:
    caller.demand_admin()

    def decide(snapshot: Snapshot) -> Decision[None]:
        return environments.delete_environment(snapshot, auth.environment_for(caller, snapshot, environment_name))

    await service.decide(decide)


@get("/v1/api-keys", tags=["keys"])
async def list_keys(service: Service, caller: Caller) -> list[ApiKeyView]:
    caller.demand_admin()
    return auth.key_views(service.snapshot)


@post("/v1/api-keys", tags=["keys"])
async def create_key(service: Service, caller: Caller, data: NewApiKey) -> CreatedApiKey:
    caller.demand_admin()
    created, _ = await service.decide(lambda snapshot: auth.new_key(snapshot, data, service.world))
    return created


@delete("/v1/api-keys/{key_id:str}", tags=["keys"])
async def delete_key(service: Service, caller: Caller, key_id: str) -> None:
    caller.demand_admin()
    await service.decide(lambda snapshot: auth.delete_key(snapshot, key_id, caller))


@post("/v1/environments/{environment_name:str}/join-tokens", tags=["hosts"])
async def create_join_token(
    service: Service, environment: Environment, data: JoinTokenRequest | None = None
) -> CreatedJoinToken:
    ttl_s = (data or JoinTokenRequest()).ttl_s
    (token, secret), _ = await service.decide(
        lambda snapshot: joining.new_token(snapshot, environment, ttl_s, service.world)
    )
    text = encode_token(JoinToken(server=service.address, ca=service.authority.fingerprint, secret=secret))
    return CreatedJoinToken(
        id=token.id, token=text, command=f"paddock agent join {text}", expires_at_s=token.expires_at_s
    )


ROUTES = [
    ping, ca, join, list_environments, create_environment, delete_environment, list_keys, create_key, delete_key,
    create_join_token,
]  # fmt: skip
