"""The end of containers, and their names: what changes on the engine changes in the cluster's mind as well."""

from __future__ import annotations

from msgspec.structs import replace

from paddock.core.standalone import NameInUse, forget, rename
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.containers import found_container
from paddock.gateway.filters import encode_filters, parse_filters
from paddock.gateway.finding import Found
from paddock.gateway.forward import Asked, forward
from paddock.gateway.links import unlinked
from paddock.gateway.names import checked_name
from paddock.gateway.problems import ApiProblem
from paddock.gateway.pruning import pruned_on_engines
from paddock.gateway.router import Router
from paddock.model.changes import Change, Put
from paddock.model.errors import PaddockError, Transient
from paddock.model.objects import HostId, HostState, Service, Unit
from paddock.model.snapshot import Snapshot
from paddock.wire.engine_errors import EngineNotFound

REMOVE_TIMEOUT_S = 120.0
STACK_LABEL = "io.paddock.stack"


def register(router: Router) -> None:
    router.add("POST", "/containers/{name:path}/start", started)
    router.add("DELETE", "/containers/{name:path}", remove)
    router.add("POST", "/containers/{name:path}/rename", renamed)
    router.add("POST", "/containers/prune", prune)


async def started(call: Call) -> None:
    """Its names are told while its engine starts it: whoever is started next finds it."""
    found = await found_container(call)
    unit = found.unit
    if unit is not None and unit.standalone and unit.addresses:
        await _starting(call, unit, starting=True)
    status = 500
    try:
        path = f"/containers/{found.engine_name}/start"
        status = await forward(call, Asked(host=HostId(found.host.id), path=path))
    finally:
        if status >= 300 and unit is not None:
            await _starting(call, unit, starting=False)


async def _starting(call: Call, unit: Unit, *, starting: bool) -> None:
    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        known = snapshot.get(Unit, unit.id)
        if known is None or not known.standalone or known.starting == starting:
            return [], None
        if starting and any(one.state == "running" for one in known.containers):
            return [], None
        words = "is being started" if starting else "was not started"
        return [Put(object=replace(known, starting=starting), reason=f"{known.name} {words}")], None

    await call.cluster.commit(decide)


async def remove(call: Call) -> Answer | None:
    if call.head.wants("link"):
        return await unlinked(call)
    found = await found_container(call)
    engine = call.cluster.engine(HostId(found.host.id))
    query = {name: values[0] for name, values in call.head.query.items()}
    status = 204
    try:
        path = f"/containers/{found.engine_name}"
        status = (await engine.call("DELETE", path, query=query, timeout_s=REMOVE_TIMEOUT_S)).status
    except EngineNotFound:
        if found.unit is None or not found.unit.standalone:
            raise
    except Transient:
        if found.host.state is not HostState.LOST or not call.head.wants("force"):
            raise
    await _let_go(call, found)
    return Answer(status)


async def _let_go(call: Call, found: Found) -> None:
    call.gateway.finder.made.forget(found.engine_name)
    name = call.params["name"].removeprefix("/")

    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        unit = snapshot.get(Unit, found.unit.id) if found.unit is not None else _unreported(snapshot, call, name)
        if unit is None or not unit.standalone:
            return [], None
        service = snapshot.get(Service, unit.service)
        return (forget(snapshot, service) if service is not None else []), None

    await call.cluster.commit(decide)


def _unreported(snapshot: Snapshot, call: Call, name: str) -> Unit | None:
    named = snapshot.units_named(call.environment, name)
    return named[-1] if named else None


async def renamed(call: Call) -> Answer:
    found = await found_container(call)
    asked = call.head.asked("name")
    if not asked:
        raise ApiProblem(400, "Neither old nor new names may be empty")
    name = checked_name(asked)
    unit = found.unit
    if unit is not None and not unit.standalone:
        raise ApiProblem(409, f"{unit.name} belongs to stack {unit.stack_name}, which names its containers")
    if unit is not None and unit.name == name:
        raise ApiProblem(400, "Renaming a container with the same name as its current name")
    if unit is not None:
        await _rename(call, unit, name)
    try:
        engine = call.cluster.engine(HostId(found.host.id))
        answer = await engine.call("POST", f"/containers/{found.engine_name}/rename", query={"name": name})
    except PaddockError:
        if unit is not None:
            await _rename(call, unit, unit.name)
        raise
    return Answer(answer.status)


async def _rename(call: Call, unit: Unit, name: str) -> None:
    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        known = snapshot.get(Unit, unit.id)
        return (rename(snapshot, known, name) if known is not None and known.name != name else []), None

    try:
        await call.cluster.commit(decide)
    except NameInUse as taken:
        id = next((container.id for container in taken.unit.containers), taken.unit.id)
        raise ApiProblem(
            409,
            f'Error when allocating new name: Conflict. The container name "/{name}" is already in use by container '
            f'"{id}". You have to remove (or rename) that container to be able to reuse that name.',
        ) from taken


async def prune(call: Call) -> Answer:
    """Stopped containers of stacks stay: `paddock start` starts them again."""
    filters = parse_filters(call.head.asked("filters"))
    filters["label!"] = [*filters.get("label!", ()), STACK_LABEL]
    query = {"filters": encode_filters(filters)}
    pruned = await pruned_on_engines(call, "/containers/prune", "ContainersDeleted", query)
    return Answer(200, {"ContainersDeleted": pruned.deleted or None, "SpaceReclaimed": pruned.reclaimed_bytes})
