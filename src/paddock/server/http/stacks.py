"""Routes on stacks, services, networks, volumes, and on why things are as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from litestar import delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from paddock.core import commands
from paddock.core.dry_run import dry_run as planned_changes
from paddock.core.powers import check_powers, stack_powers
from paddock.core.stacks import apply_stack, orphans
from paddock.model.changes import Change
from paddock.model.errors import UserError
from paddock.model.objects import Service, Stack
from paddock.model.snapshot import Snapshot
from paddock.model.specs import StackSpec
from paddock.server.committing import Decision
from paddock.server.explaining import explain
from paddock.server.http.api import Api, TheApi, TheCaller, TheEnvironment
from paddock.server.planning import planned
from paddock.server.views import (
    network_views,
    service_named,
    service_view,
    stack_named,
    stack_view,
    volume_views,
)
from paddock.wire.api import (
    Accepted,
    Applied,
    Explanation,
    NetworkView,
    ScaleRequest,
    ServiceView,
    StackView,
    VolumeView,
)

BELOW = "/v1/environments/{environment_name:str}"
ONE_SERVICE = BELOW + "/services/{stack:str}/{name:str}"
MOST_REPLICAS = 1_000_000


@get(f"{BELOW}/stacks", tags=["stacks"])
async def list_stacks(api: TheApi, environment: TheEnvironment) -> list[StackView]:
    snapshot = api.snapshot
    stacks = sorted(snapshot.in_environment(Stack, environment.id), key=lambda stack: stack.name)
    return [stack_view(snapshot, stack) for stack in stacks]


@get(f"{BELOW}/stacks/{{name:str}}", tags=["stacks"])
async def get_stack(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> StackView:
    return stack_view(api.snapshot, stack_named(api.snapshot, environment, name))


@put(f"{BELOW}/stacks/{{name:str}}", tags=["stacks"])
async def put_stack(
    api: TheApi,
    caller: TheCaller,
    environment: TheEnvironment,
    name: FromPath[str],
    data: JSONBody[StackSpec],
    dry_run: FromQuery[bool] = False,
    remove_orphans: FromQuery[bool] = False,
) -> Applied:
    """Creates the stack, or changes it to match."""
    if data.name != name:
        raise UserError(f"the stack in the address is {name!r}, the one in the body {data.name!r}")
    check_powers(stack_powers(api.snapshot, environment.id, data), privileged=caller.privileged)
    sealed = api.plane.sealer.seal_all(environment.id, data)

    def decide(snapshot: Snapshot) -> Decision[tuple[tuple[Change, ...], tuple[str, ...]]]:
        now_s = api.world.now_s()
        left = () if remove_orphans else orphans(snapshot, environment.id, data)
        wish = apply_stack(snapshot, environment.id, data, now_s, sealed=sealed, remove_orphans=remove_orphans)
        plan = planned_changes(snapshot, wish, now_s)
        return () if dry_run else wish, (plan, tuple(sorted(service.name for service in left)))

    (plan, left), version = await api.decide(decide)
    warnings = tuple(f"{service} stays, though it is not asked for: --remove-orphans removes it" for service in left)
    return Applied(version=version, plan=planned(plan), dry_run=dry_run, warnings=warnings)


@delete(f"{BELOW}/stacks/{{name:str}}", status_code=200, tags=["stacks"])
async def delete_stack(
    api: TheApi, environment: TheEnvironment, name: FromPath[str], volumes: FromQuery[bool] = False
) -> Accepted:
    return await _accepted(api, lambda snapshot: commands.remove_stack(snapshot, environment.id, name, volumes=volumes))


async def _accepted(api: Api, decide: Callable[[Snapshot], Sequence[Change]]) -> Accepted:
    def whole(snapshot: Snapshot) -> Decision[None]:
        return decide(snapshot), None

    _, version = await api.decide(whole)
    return Accepted(version=version)


@get(f"{BELOW}/services", tags=["services"])
async def list_services(api: TheApi, environment: TheEnvironment, stack: FromQuery[str] = "") -> list[ServiceView]:
    snapshot = api.snapshot
    wanted = stack_named(snapshot, environment, stack).id if stack else ""
    services = [one for one in snapshot.in_environment(Service, environment.id) if not wanted or one.stack == wanted]
    return [service_view(snapshot, one) for one in sorted(services, key=lambda one: (one.stack_name, one.name))]


@get(ONE_SERVICE, tags=["services"])
async def get_service(
    api: TheApi, environment: TheEnvironment, stack: FromPath[str], name: FromPath[str]
) -> ServiceView:
    return service_view(api.snapshot, service_named(api.snapshot, environment, stack, name))


@post(f"{ONE_SERVICE}/scale", status_code=200, tags=["services"])
async def scale(
    api: TheApi, environment: TheEnvironment, stack: FromPath[str], name: FromPath[str], data: JSONBody[ScaleRequest]
) -> Accepted:
    if not 0 <= data.replicas <= MOST_REPLICAS:
        raise UserError(f"replicas must be between 0 and {MOST_REPLICAS}, not {data.replicas}")

    def decide(snapshot: Snapshot) -> Sequence[Change]:
        return commands.scale(snapshot, service_named(snapshot, environment, stack, name), data.replicas)

    return await _accepted(api, decide)


def _action(verb: str, decide: Callable[[Snapshot, Service, float], Sequence[Change]]) -> HTTPRouteHandler:
    """A route that asks something of one service without further words."""

    async def act(api: TheApi, environment: TheEnvironment, stack: FromPath[str], name: FromPath[str]) -> Accepted:
        def on_service(snapshot: Snapshot) -> Sequence[Change]:
            return decide(snapshot, service_named(snapshot, environment, stack, name), api.world.now_s())

        return await _accepted(api, on_service)

    act.__name__ = verb
    return post(f"{ONE_SERVICE}/{verb}", status_code=200, tags=["services"])(act)


ACTIONS = [
    _action("restart", lambda _snapshot, service, _now_s: commands.restart(service)),
    _action("stop", lambda _snapshot, service, _now_s: commands.stop(service)),
    _action("start", lambda _snapshot, service, _now_s: commands.start(service)),
    _action("rollback", commands.rollback),
    _action("pause", lambda _snapshot, service, _now_s: commands.pause(service)),
    _action("resume", lambda _snapshot, service, _now_s: commands.resume(service)),
]


@get(f"{BELOW}/networks", tags=["networks"])
async def list_networks(api: TheApi, environment: TheEnvironment) -> list[NetworkView]:
    return network_views(api.snapshot, environment)


@get(f"{BELOW}/volumes", tags=["volumes"])
async def list_volumes(api: TheApi, environment: TheEnvironment) -> list[VolumeView]:
    return volume_views(api.snapshot, environment)


@delete(f"{BELOW}/volumes/{{name:str}}", status_code=200, tags=["volumes"])
async def delete_volume(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> Accepted:
    return await _accepted(api, lambda snapshot: commands.remove_volume(snapshot, environment.id, name))


@get(f"{BELOW}/explain/{{name:path}}", tags=["explain"])
async def explain_name(api: TheApi, environment: TheEnvironment, name: FromPath[str]) -> Explanation:
    """A container, `stack/service`, stack or host: why it waits, why it is where it is, what was tried."""
    return await explain(api.store, environment, name.strip("/"))


ROUTES = [
    list_stacks, get_stack, put_stack, delete_stack, list_services, get_service, scale, *ACTIONS,
    list_networks, list_volumes, delete_volume, explain_name,
]  # fmt: skip
