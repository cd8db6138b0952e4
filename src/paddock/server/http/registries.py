"""Routes on logins at registries."""

from __future__ import annotations

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody

from paddock.model.objects import Host, HostId, Registry
from paddock.server.http.api import TheApi, TheEnvironment
from paddock.server.registries import checked, log_in, log_out, registry_view, try_login
from paddock.wire.api import Accepted, RegistryLogin, RegistryView

BELOW = "/v1/environments/{environment_name:str}/registries"


@get(BELOW, tags=["registries"])
async def list_registries(api: TheApi, environment: TheEnvironment) -> list[RegistryView]:
    """Never with passwords."""
    logins = api.snapshot.in_environment(Registry, environment.id)
    return [registry_view(login) for login in sorted(logins, key=lambda login: login.name)]


@post(BELOW, status_code=200, tags=["registries"])
async def create_registry(api: TheApi, environment: TheEnvironment, data: JSONBody[RegistryLogin]) -> RegistryView:
    """Whoever runs or builds something in this environment pulls with it from then on."""
    login = checked(data)
    hosts = sorted(api.snapshot.in_environment(Host, environment.id), key=lambda host: host.name)
    asked = next((host for host in hosts if api.plane.sessions.alive(HostId(host.id))), None)
    if login.check and asked is not None:
        await try_login(api.plane.streams.engine(HostId(asked.id), asked.name), login)
    sealed = api.plane.sealer.seal(environment.id, "secret", login.password.encode())
    view, _ = await api.decide(lambda snapshot: log_in(snapshot, environment, login, sealed, api.world.now_s()))
    return view


@delete(BELOW + "/{address:str}", status_code=200, tags=["registries"])
async def delete_registry(api: TheApi, environment: TheEnvironment, address: FromPath[str]) -> Accepted:
    _, version = await api.decide(lambda snapshot: log_out(snapshot, environment, address))
    return Accepted(version=version)


ROUTES = [list_registries, create_registry, delete_registry]
