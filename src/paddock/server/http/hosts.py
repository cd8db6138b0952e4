"""Routes on hosts and the environment's breaker."""

from __future__ import annotations

import msgspec
from litestar import get, patch, post

from paddock.core.stacks import activate, drain
from paddock.model.objects import Environment, Host
from paddock.model.snapshot import Snapshot
from paddock.server import environments
from paddock.server.committing import Decision
from paddock.server.http.api import Api
from paddock.server.views import host_view
from paddock.wire.api import DrainAnswer, HostPatch, HostView

BELOW = "/v1/environments/{environment_name:str}"


@get(f"{BELOW}/hosts", tags=["hosts"])
async def list_hosts(api: Api, environment: Environment) -> list[HostView]:
    snapshot = api.snapshot
    hosts = snapshot.in_environment(Host, environment.id)
    return [host_view(snapshot, host) for host in sorted(hosts, key=lambda host: host.name)]


@get(f"{BELOW}/hosts/{{name:str}}", tags=["hosts"])
async def get_host(api: Api, environment: Environment, name: str) -> HostView:
    return host_view(api.snapshot, environments.host_named(api.snapshot, environment, name))


@patch(f"{BELOW}/hosts/{{name:str}}", tags=["hosts"])
async def patch_host(api: Api, environment: Environment, name: str, data: HostPatch) -> HostView:
    def decide(snapshot: Snapshot) -> Decision[str]:
        return environments.patch_host(snapshot, environments.host_named(snapshot, environment, name), data)

    await api.decide(decide)
    return host_view(api.snapshot, environments.host_named(api.snapshot, environment, name))


@post(f"{BELOW}/hosts/{{name:str}}/drain", tags=["hosts"])
async def drain_host(api: Api, environment: Environment, name: str) -> DrainAnswer:
    def decide(snapshot: Snapshot) -> Decision[DrainAnswer]:
        return drain(snapshot, environments.host_named(snapshot, environment, name), api.world.now_s())

    answer, version = await api.decide(decide)
    return msgspec.structs.replace(answer, version=version)


@post(f"{BELOW}/hosts/{{name:str}}/activate", tags=["hosts"])
async def activate_host(api: Api, environment: Environment, name: str) -> HostView:
    def decide(snapshot: Snapshot) -> Decision[None]:
        return activate(snapshot, environments.host_named(snapshot, environment, name)), None

    await api.decide(decide)
    return host_view(api.snapshot, environments.host_named(api.snapshot, environment, name))


ROUTES = [list_hosts, get_host, patch_host, drain_host, activate_host]
