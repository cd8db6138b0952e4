"""Containers join networks of the cluster and leave them."""

from __future__ import annotations

import asyncio
from typing import Any

from paddock.core.standalone import Connected, connect, disconnect
from paddock.core.subnets import mac_of
from paddock.drivers.docker_body import connect_body
from paddock.gateway import shapes
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.finding import Found
from paddock.gateway.networks import OF_ENGINES, network_called
from paddock.gateway.problems import ApiProblem, no_such
from paddock.gateway.router import Router
from paddock.gateway.shapes import check_shape
from paddock.gateway.wishes import attachment
from paddock.model.changes import Change
from paddock.model.errors import Conflict, PaddockError, Transient
from paddock.model.objects import HostId, Network, NetworkId, Unit
from paddock.model.snapshot import Snapshot
from paddock.model.steps import ConnectNetwork
from paddock.wire.engine_errors import EngineNotFound
from paddock.wire.engine_http import EngineHttp

Json = dict[str, Any]
READY_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.05


def register(router: Router) -> None:
    router.add("POST", "/networks/{name}/connect", connected)
    router.add("POST", "/networks/{name}/disconnect", disconnected)


async def connected(call: Call) -> Answer:
    body = await call.json_object()
    check_shape(body, shapes.Connection)
    found = await call.gateway.finder.container(call.environment, str(body.get("Container") or ""))
    name = call.params["name"]
    engine = call.cluster.engine(HostId(found.host.id))
    if name in OF_ENGINES or found.unit is None:
        await engine.call("POST", f"/networks/{name}/connect", body={**body, "Container": found.engine_name})
        return Answer(200)
    unit = _standalone(found)
    made = await _committed(call, unit, name, body.get("EndpointConfig") or {})
    try:
        await _joined(engine, found, made, body.get("EndpointConfig") or {})
    except PaddockError:
        await _undone(call, made.unit, made.network)
        raise
    return Answer(200)


def _standalone(found: Found) -> Unit:
    assert found.unit is not None
    if not found.unit.standalone:
        raise ApiProblem(403, f"{found.unit.name} belongs to stack {found.unit.stack_name}: change its networks there")
    return found.unit


async def _committed(call: Call, unit: Unit, name: str, endpoint: Json) -> Connected:
    def decide(snapshot: Snapshot) -> tuple[tuple[Change, ...], Connected]:
        network = network_called(snapshot, call.environment, name)
        known = snapshot.get(Unit, unit.id)
        if known is None:
            raise no_such("container", unit.name)
        made = connect(snapshot, known, network, attachment(network.name, endpoint), call.cluster.world.now_s())
        return made.changes, made

    try:
        return (await call.cluster.commit(decide))[0]
    except Conflict as error:
        raise ApiProblem(403, error.message) from error


async def _joined(engine: EngineHttp, found: Found, made: Connected, asked: Json) -> None:
    """Once the host's agent has made the network there."""
    address = made.unit.addresses[NetworkId(made.network.id)]
    mac = str(asked.get("MacAddress") or "") or mac_of(address)
    step = ConnectNetwork(container=found.engine_name, network=made.network.on_engines, ipv4=address, mac=mac)
    api = engine.api or await engine.negotiate()
    body = connect_body(step, api)
    if links := asked.get("Links"):
        body["EndpointConfig"]["Links"] = links
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            while True:
                if await _taken_in(engine, made.network.on_engines, body):
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        where = f"network {made.network.name} within {READY_TIMEOUT_S:.0f} s"
        raise Transient(f"the host has not made {where}") from None


async def _taken_in(engine: EngineHttp, network: str, body: Json) -> bool:
    """False while the network is not there: made in a moment, or made anew after it was without containers."""
    try:
        await engine.call("GET", f"/networks/{network}")
        await engine.call("POST", f"/networks/{network}/connect", body=body)
    except EngineNotFound as error:
        if "network" not in error.message:
            raise
        return False
    return True


async def _undone(call: Call, unit: Unit, network: Network) -> None:
    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        known, there = snapshot.get(Unit, unit.id), snapshot.get(Network, network.id)
        if known is None or there is None or network.id not in known.addresses:
            return [], None
        return disconnect(snapshot, known, there, call.cluster.world.now_s()), None

    await call.cluster.commit(decide)


async def disconnected(call: Call) -> Answer:
    body = await call.json_object()
    name = call.params["name"]
    found = await call.gateway.finder.container(call.environment, str(body.get("Container") or ""))
    engine = call.cluster.engine(HostId(found.host.id))
    network = None if name in OF_ENGINES else network_called(call.cluster.snapshot(), call.environment, name)
    if found.unit is not None and network is not None:
        _standalone(found)
    path = f"/networks/{network.on_engines if network is not None else name}/disconnect"
    try:
        await engine.call("POST", path, body={**body, "Container": found.engine_name})
    except EngineNotFound:
        if network is None:
            raise
        raise ApiProblem(403, f"container {found.engine_name} is not connected to network {network.name}") from None
    if network is not None and found.unit is not None:
        await _undone(call, found.unit, network)
    return Answer(200)
