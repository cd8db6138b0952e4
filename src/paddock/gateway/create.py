"""`POST /containers/create`: placed by the cluster's scheduler, prepared by the host's agent, made by its engine.

The wish is committed together with its placement, so that two who want the same name cannot both get it. Then the
host's agent makes networks and volumes ready and says so, and the engine is asked in the client's own words, with what
the cluster decided in them; its answer, warnings and all, is the client's. What fails is taken back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from paddock.core.assignment import network_assignment
from paddock.core.bodies import endpoints_of, labels_of
from paddock.core.dry_run import dry_run
from paddock.core.powers import check_powers, powers_asked, volume_powers
from paddock.core.standalone import NameInUse, id_of, wish
from paddock.drivers.docker_body import connect_body, create_body
from paddock.gateway import shapes
from paddock.gateway.call import Call
from paddock.gateway.classic import holds, image_affinities, taken_out
from paddock.gateway.client import Answer
from paddock.gateway.departed import gone_meanwhile, taken_back
from paddock.gateway.image_finding import bring_image, require_image
from paddock.gateway.leaning import leaning
from paddock.gateway.links import with_links
from paddock.gateway.names import checked_name, made_up_name
from paddock.gateway.problems import ApiProblem
from paddock.gateway.router import Router
from paddock.gateway.shapes import check_shape
from paddock.gateway.volumes import check_volume_name
from paddock.gateway.waiting import until
from paddock.gateway.wishes import (
    Wish,
    endpoints_asked,
    for_engine,
    host_config,
    service_spec,
    volumes_named,
    with_partners,
)
from paddock.model.assignment import ContainerAssignment, Endpoint, NetworkAssignment
from paddock.model.changes import Change
from paddock.model.errors import NotFound, PaddockError, Transient
from paddock.model.objects import Host, HostId, HostState, Network, NetworkId, Revision, Unit, UnitId, UnitState, Volume
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Placement, ServiceSpec
from paddock.model.steps import ConnectNetwork, CreateContainer
from paddock.wire.engine_errors import EngineFault, EngineUnreachable
from paddock.wire.engine_http import EngineHttp

PREPARE_TIMEOUT_S = 60.0
CREATE_TIMEOUT_S = 120.0
NAME_TRIES = 3
HOST_TRIES = 3
Json = dict[str, Any]


def register(router: Router) -> None:
    router.add("POST", "/containers/create", create)


class Place(NamedTuple):
    """A unit that is ready for its container, and all that is needed to make it."""

    unit: Unit
    revision: Revision
    host: Host
    networks: dict[NetworkId, NetworkAssignment]
    endpoints: tuple[Endpoint, ...]
    labels: dict[str, str]


async def create(call: Call) -> Answer:
    body = await call.json_object()
    if not body.get("Image") and not body:
        raise ApiProblem(400, "config cannot be empty in order to create a container")
    check_shape(body, shapes.Container)
    check_powers([*powers_asked(host_config(body)), *_volume_powers(call, body)], privileged=call.caller.privileged)
    await require_image(call, str(body.get("Image") or ""))
    wished = await _wish(call, body)
    for volume in volumes_named(wished.body):
        check_volume_name(volume)
    return await _made_somewhere(call, wished)


async def _made_somewhere(call: Call, wished: Wish) -> Answer:
    """A host that fails at it (its disk is full, its engine is dying) is tried once, as long as another will do."""
    tried: dict[str, BaseException] = {}
    while True:
        placement = _shunning(wished.placement, tuple(tried))
        unit_id = await _committed(call, service_spec(replace(wished, placement=placement)))
        host = _host_of(call, unit_id)
        try:
            if host in tried:
                raise tried[host]
            place = await _prepared(call, unit_id)
            return await _made(call, wished, place)
        except BaseException as error:
            await taken_back(call, unit_id)
            if host in tried or len(tried) + 1 == HOST_TRIES or not _hosts_own(error):
                raise
            tried[host] = error
            call.cluster.world.log.warning("a container is made elsewhere", name=wished.name, host=host, why=str(error))


def _hosts_own(error: BaseException) -> bool:
    """It says something of the host, not of what was asked for."""
    return isinstance(error, EngineFault | EngineUnreachable) or (isinstance(error, ApiProblem) and error.status == 500)


def _shunning(placement: Placement, hosts: tuple[str, ...]) -> Placement:
    """Softly: where only those hosts will do, it is their word that the client hears."""
    return replace(placement, constraints=(*placement.constraints, *(f"~node.id!={host}" for host in hosts)))


def _host_of(call: Call, unit_id: str) -> str:
    unit = call.cluster.snapshot().get(Unit, unit_id)
    return unit.host or "" if unit is not None else ""


def _volume_powers(call: Call, body: Json) -> list[str]:
    """Of volumes that are there already, under whose name a path of a host may be."""
    snapshot = call.cluster.snapshot()
    known = (snapshot.named(Volume, call.environment, name) for name in volumes_named(body))
    return [power for volume in known if volume is not None for power in volume_powers(volume.spec.driver_opts)]


async def _wish(call: Call, body: Json) -> Wish:
    environment = call.environment
    asked = call.head.asked("name")
    name = checked_name(asked) if asked else made_up_name(call.cluster.world)
    wanted = taken_out(body, call.gateway.hosts.all(environment))
    leant = await leaning(call, wanted.body)
    wish = Wish(
        name=name,
        body=_with_network_names(call, with_partners(wanted.body, leant.ids)),
        placement=replace(
            wanted.placement, beside=tuple(leant.beside.items()), holders=_holders(call, wanted.placement)
        ),
        reschedule=wanted.reschedule,
        platform=call.head.asked("platform"),
        without=leant.without,
    )
    return await with_links(call, wish)


def _holders(call: Call, placement: Placement) -> tuple[tuple[str, tuple[str, ...]], ...]:
    hosts = call.gateway.hosts.all(call.environment)

    def holding(word: str) -> tuple[str, ...]:
        images = call.cluster.images
        return tuple(host.id for host in hosts if any(holds(one, word) for one in images.on_host(HostId(host.id))))

    return tuple((wish.text, holding(wish.value)) for wish in image_affinities(placement))


def _with_network_names(call: Call, body: Json) -> Json:
    """Networks may be asked for by id; from here on they go by name."""
    snapshot = call.cluster.snapshot()
    by_id = {
        id_of("network", network.id): network.name for network in snapshot.in_environment(Network, call.environment)
    }

    def name_of(asked: str) -> str:
        if asked in by_id.values():
            return asked
        fitting = [name for id, name in by_id.items() if len(asked) >= 4 and id.startswith(asked)]
        return fitting[0] if len(fitting) == 1 else asked

    host = dict(host_config(body))
    if host.get("NetworkMode"):
        host["NetworkMode"] = name_of(str(host["NetworkMode"]))
    asked = {name_of(key): endpoint for key, endpoint in endpoints_asked(body).items()}
    networking = {**(body.get("NetworkingConfig") or {}), "EndpointsConfig": asked}
    return {**body, "HostConfig": host, "NetworkingConfig": networking}


async def _committed(call: Call, spec: ServiceSpec) -> str:
    """-> the unit's id, which has a host. Raises `ApiProblem` with the scheduler's explanation when none fits."""

    def decide(snapshot: Snapshot) -> tuple[tuple[Change, ...], str]:
        now_s = call.cluster.world.now_s()
        wished = wish(snapshot, call.environment, spec, now_s)
        changes = dry_run(snapshot, wished, now_s)
        units = [change.object for change in changes if isinstance(change.object, Unit) and change.object.standalone]
        mine = [unit for unit in units if unit.name == spec.name and unit.state == UnitState.PLACED]
        if not mine:
            raise ApiProblem(503, _why_not(units, spec.name))
        return changes, mine[-1].id

    for _ in range(NAME_TRIES):
        try:
            return (await call.cluster.commit(decide))[0]
        except NameInUse as taken:
            if not await gone_meanwhile(call, taken.unit):
                raise ApiProblem(409, _in_use(spec.name, taken.unit)) from taken
        except NotFound as missing:
            raise ApiProblem(400, missing.message) from missing
    raise Transient(f"the name {spec.name} is contended", retry_after_s=1.0)


def _why_not(units: list[Unit], name: str) -> str:
    for unit in units:
        if unit.name == name and unit.waiting is not None:
            return f"the container cannot be placed: {unit.waiting.reason}"
    return "no host can take this container now"


def _in_use(name: str, unit: Unit) -> str:
    id = next((container.id for container in unit.containers if not container.role), "")
    return (
        f'Conflict. The container name "/{name}" is already in use by container "{id or unit.id}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


async def _prepared(call: Call, unit_id: str) -> Place:
    def look(snapshot: Snapshot) -> Unit | None:
        unit = snapshot.get(Unit, unit_id)
        if unit is None:
            raise ApiProblem(409, "the container was removed while it was being created")
        host = snapshot.get(Host, unit.host or "")
        if host is None or host.state is HostState.LOST:
            raise ApiProblem(500, "the host of the container was lost while it was being created")
        return unit if unit.state >= UnitState.PREPARED else None

    unit = await until(call.cluster, look, PREPARE_TIMEOUT_S)
    snapshot = call.cluster.snapshot()
    known = unit or snapshot.get(Unit, unit_id)
    host = snapshot.get(Host, known.host or "") if known is not None else None
    if unit is None or host is None or unit.state >= UnitState.COMPLETE:
        where = host.name if host is not None else "its host"
        why = f": {known.message}" if known is not None and known.message else ""
        raise ApiProblem(500, f"{where} could not prepare networks and volumes for the container{why}")
    return _place(snapshot, unit, host)


def _place(snapshot: Snapshot, unit: Unit, host: Host) -> Place:
    revision = snapshot.get(Revision, unit.revision)
    if revision is None:
        raise ApiProblem(409, "the container was removed while it was being created")
    networks = {}
    for id in unit.addresses:
        network = snapshot.get(Network, id)
        if network is not None:
            networks[id] = network_assignment(network, host)
    endpoints = endpoints_of(unit, revision, revision.spec.container)
    return Place(unit, revision, host, networks, endpoints, labels_of(snapshot, unit))


async def _made(call: Call, wished: Wish, place: Place) -> Answer:
    engine = call.cluster.engine(HostId(place.host.id))
    api = engine.api or await engine.negotiate()
    container = ContainerAssignment(
        name=place.unit.name,
        image=str(wished.body.get("Image") or ""),
        body=for_engine(wished),
        network_mode=place.revision.spec.container.network_mode,
        endpoints=place.endpoints,
    )
    await bring_image(call, place.host, container.image)
    step = CreateContainer(unit=UnitId(place.unit.id), container=container, networks=place.networks)
    body = final_body(create_body(step, api), wished.body, place)
    query = {"name": place.unit.name} | ({"platform": wished.platform} if wished.platform else {})
    answer = await engine.call("POST", "/containers/create", query=query, body=body, timeout_s=CREATE_TIMEOUT_S)
    told = answer.json()
    try:
        await _connect_rest(engine, str(told["Id"]), place, api)
    except PaddockError:
        await engine.call("DELETE", f"/containers/{told['Id']}", query={"force": 1, "v": 1})
        raise
    call.gateway.finder.made.put(str(told["Id"]), HostId(place.host.id))
    call.gateway.finder.units.put(str(told["Id"]), UnitId(place.unit.id))
    call.gateway.finder.ids.put(place.unit.id, str(told["Id"]))
    return Answer(answer.status, told)


def final_body(body: Json, asked: Json, place: Place) -> Json:
    """With the labels that tell the agent whose it is, the user's own DNS servers behind ours, and links."""
    host = body.setdefault("HostConfig", {})
    body["Labels"] = {**body["Labels"], **place.labels}
    if place.endpoints:
        host["Dns"] = [*host["Dns"], *(host_config(asked).get("Dns") or ())]
        host.pop("Links", None)
        wanted = endpoints_asked(asked)
        for name, endpoint in body["NetworkingConfig"]["EndpointsConfig"].items():
            if links := (wanted.get(name) or {}).get("Links"):
                endpoint["Links"] = links
    return body


async def _connect_rest(engine: EngineHttp, id: str, place: Place, api: tuple[int, int]) -> None:
    """Older engines take one network at creation."""
    if api >= (1, 44):
        return
    for endpoint in place.endpoints[1:]:
        network = place.networks[endpoint.network]
        step = ConnectNetwork(
            container=id,
            network=network.engine_name,
            ipv4=endpoint.ipv4,
            ipv6=endpoint.ipv6,
            mac=endpoint.mac,
            driver_opts=endpoint.driver_opts,
            link_local_ips=endpoint.link_local_ips,
        )
        await engine.call("POST", f"/networks/{network.engine_name}/connect", body=connect_body(step, api))
