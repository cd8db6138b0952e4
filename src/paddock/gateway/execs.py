"""Exec instances: made in a container on its host, later called by an id that names neither."""

from __future__ import annotations

from paddock.core.powers import check_powers
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.containers import found_container
from paddock.gateway.forward import Asked, forward
from paddock.gateway.rights import check_reach
from paddock.gateway.router import Router
from paddock.model.objects import Host, HostId


def register(router: Router) -> None:
    router.add("POST", "/containers/{name:path}/exec", create)
    router.add("POST", "/exec/{id}/start", start)
    router.add("POST", "/exec/{id}/resize", passed_on)
    router.add("GET", "/exec/{id}/json", passed_on)


async def create(call: Call) -> Answer:
    body = await call.json_object()
    check_powers(["Privileged"] if body.get("Privileged") else [], privileged=call.caller.privileged)
    found = await found_container(call)
    await check_reach(call, found)
    engine = call.cluster.engine(HostId(found.host.id))
    made = await engine.call("POST", f"/containers/{found.said or found.engine_name}/exec", body=body)
    told = made.json()
    call.gateway.finder.execs.put(str(told["Id"]), HostId(found.host.id))
    return Answer(made.status, told)


async def start(call: Call) -> None:
    await _on_its_host(call, hijack=True)


async def passed_on(call: Call) -> None:
    await _on_its_host(call, hijack=False)


async def _on_its_host(call: Call, *, hijack: bool) -> None:
    host = await call.gateway.finder.exec_host(call.environment, call.params["id"])
    if hijack and not call.caller.privileged:
        await _check_reach_by(call, host)
    await forward(call, Asked(host=HostId(host.id), hijack=hijack))


async def _check_reach_by(call: Call, host: Host) -> None:
    """Another caller may have made it: its id stands in what inspect says of the container."""
    seen = await call.cluster.engine(HostId(host.id)).json("GET", f"/exec/{call.params['id']}/json")
    check_powers(
        ["Privileged"] if (seen.get("ProcessConfig") or {}).get("privileged") else [], privileged=call.caller.privileged
    )
    await check_reach(call, await call.gateway.finder.container(call.environment, str(seen["ContainerID"])))
