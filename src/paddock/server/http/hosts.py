"""Routes on hosts and the environment's breaker."""

from __future__ import annotations

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody

from paddock.core import commands
from paddock.model.objects import Environment, Host
from paddock.model.snapshot import Snapshot
from paddock.server import environments
from paddock.server.committing import Decision
from paddock.server.http.api import TheApi, TheEnvironment
from paddock.server.planning import drain_answer
from paddock.server.views import environment_view, host_view
from paddock.wire.api import Accepted, DrainAnswer, EnvironmentView, HostPatch, HostView

BELOW = "/v1/environments/{environment_name:str}"


@get(f"{BELOW}/hosts", tags=["hosts"])
async def list_hosts(api: TheApi, environment: TheEnvironment) -> list[HostView]:
    snapshot = api.snapshot
    hosts = snapshot.in_environment(Host, environment.id)
    return [host_view(snapshot, host) for host in sorted(hosts, key=lambda host: host.name)]


@get(f"{BELOW}/hosts/{{name:str}}", tags=["hosts"])
async def get_host(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> HostView:
    return host_view(api.snapshot, environments.host_named(api.snapshot, environment, name))


@patch(f"{BELOW}/hosts/{{name:str}}", tags=["hosts"])
async def patch_host(
    api: TheApi, environment: TheEnvironment, name: FromPath[str], data: JSONBody[HostPatch]
) -> HostView:
    def decide(snapshot: Snapshot) -> Decision[str]:
        return environments.patch_host(snapshot, environments.host_named(snapshot, environment, name), data)

    await api.decide(decide)
    return host_view(api.snapshot, environments.host_named(api.snapshot, environment, name))


@post(f"{BELOW}/hosts/{{name:str}}/drain", status_code=200, tags=["hosts"])
async def drain_host(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> DrainAnswer:
    """`staying` names what cannot leave, and why."""

    def decide(snapshot: Snapshot) -> Decision[DrainAnswer]:
        host = environments.host_named(snapshot, environment, name)
        wish = commands.drain(host)
        return wish, drain_answer(snapshot, host, wish, api.world.now_s())

    answer, version = await api.decide(decide)
    return msgspec.structs.replace(answer, version=version)


@post(f"{BELOW}/hosts/{{name:str}}/activate", status_code=200, tags=["hosts"])
async def activate_host(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> HostView:
    def decide(snapshot: Snapshot) -> Decision[None]:
        return commands.activate(environments.host_named(snapshot, environment, name)), None

    await api.decide(decide)
    return host_view(api.snapshot, environments.host_named(api.snapshot, environment, name))


@delete(f"{BELOW}/hosts/{{name:str}}", status_code=200, tags=["hosts"])
async def remove_host(
    api: TheApi, environment: TheEnvironment, name: FromPath[str], force: FromQuery[bool] = False
) -> Accepted:
    def decide(snapshot: Snapshot) -> Decision[None]:
        host = environments.host_named(snapshot, environment, name)
        return commands.remove_host(snapshot, host, api.world.now_s(), force=force), None

    _, version = await api.decide(decide)
    return Accepted(version=version)


@post(f"{BELOW}/breaker/override", status_code=200, tags=["hosts"])
async def override_breaker(api: TheApi, environment: TheEnvironment) -> EnvironmentView:
    def decide(snapshot: Snapshot) -> Decision[None]:
        return commands.override_breaker(snapshot.get(Environment, environment.id) or environment), None

    await api.decide(decide)
    return environment_view(api.snapshot, api.snapshot.get(Environment, environment.id) or environment)


ROUTES = [list_hosts, get_host, patch_host, drain_host, activate_host, remove_host, override_breaker]
