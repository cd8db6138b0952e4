"""Calls on one container: passed on to its host as they are, under the id it has there."""

from __future__ import annotations

from typing import Any

import msgspec

from paddock.gateway import remembered
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.finding import Found, being_made
from paddock.gateway.forward import Asked, forward
from paddock.gateway.listing import Rewriting
from paddock.gateway.problems import no_such
from paddock.gateway.router import Router
from paddock.model.errors import Transient
from paddock.model.objects import Host, HostId, Revision
from paddock.model.snapshot import Snapshot
from paddock.wire.engine_http import EngineNotFound

Json = dict[str, Any]
INSPECT_TIMEOUT_S = 10.0
LOST_CODE = 137
"""The exit code said of a container whose host is gone: killed, as far as anybody can tell."""
PLAIN = (
    ("GET", "top"), ("GET", "logs"), ("GET", "changes"), ("GET", "export"), ("GET", "stats"), ("POST", "resize"),
    ("POST", "start"), ("POST", "stop"), ("POST", "restart"), ("POST", "kill"), ("POST", "update"), ("POST", "pause"),
    ("POST", "unpause"), ("HEAD", "archive"), ("GET", "archive"), ("PUT", "archive"),
)  # fmt: skip
HIJACKED = (("POST", "attach"), ("GET", "attach/ws"))


def register(router: Router) -> None:
    router.add("GET", "/containers/{name:path}/json", inspect)
    for method, word in PLAIN:
        router.add(method, f"/containers/{{name:path}}/{word}", passed_on)
    router.add("POST", "/containers/{name:path}/wait", wait)
    for method, word in HIJACKED:
        router.add(method, f"/containers/{{name:path}}/{word}", hijacked)


async def found_container(call: Call) -> Found:
    return await call.gateway.finder.container(call.environment, call.params["name"])


async def passed_on(call: Call) -> None:
    found = await found_container(call)
    await forward(call, Asked(host=HostId(found.host.id), path=_path(call, found)))


async def wait(call: Call) -> None:
    """Ends with an error in the engine's own form when the host is gone."""
    found = await found_container(call)
    gone = {"StatusCode": LOST_CODE, "Error": {"Message": f"host {found.host.name} does not answer any more"}}
    instead = msgspec.json.encode(gone) + b"\n"
    await forward(call, Asked(host=HostId(found.host.id), path=_path(call, found), instead=instead))


async def hijacked(call: Call) -> None:
    found = await found_container(call)
    await forward(call, Asked(host=HostId(found.host.id), path=_path(call, found), hijack=True))


def _path(call: Call, found: Found) -> str:
    word = call.path.removeprefix(f"/containers/{call.params['name']}/")
    return f"/containers/{found.engine_name}/{word}"


async def inspect(call: Call) -> Answer:
    found = await found_container(call)
    engine = call.cluster.engine(HostId(found.host.id))
    query = {"size": 1} if call.head.wants("size") else {}
    try:
        path = f"/containers/{found.engine_name}/json"
        seen: Json = await engine.json("GET", path, query=query, timeout_s=INSPECT_TIMEOUT_S)
    except (EngineNotFound, Transient) as error:
        if (last := _last_known(call, found, away=isinstance(error, Transient))) is not None:
            return Answer(200, {**last, "Node": node_of(found.host)})
        if isinstance(error, Transient):
            raise
        raise no_such("container", call.params["name"]) from error
    rewriting = Rewriting(call.cluster.snapshot(), call.environment)
    aliases = aliases_of(call.cluster.snapshot(), found)
    return Answer(200, {**rewriting.inspected(found.host, seen, aliases), "Node": node_of(found.host)})


def _last_known(call: Call, found: Found, *, away: bool) -> Json | None:
    """A host that does not answer is no reason not to say what its container was, or is about to be again."""
    unit = found.unit
    if unit is None or not (away or remembered.made_anew(unit)):
        return None
    if not unit.containers:
        return remembered.inspected(call.cluster.snapshot(), found.host, unit, being_made(unit))
    status = next((one for one in unit.containers if found.engine_name in (one.id, one.name)), None)
    return remembered.inspected(call.cluster.snapshot(), found.host, unit, status) if status is not None else None


def aliases_of(snapshot: Snapshot, found: Found) -> dict[str, tuple[str, ...]]:
    revision = snapshot.get(Revision, found.unit.revision) if found.unit is not None else None
    if revision is None:
        return {}
    return {one.network: one.aliases for one in revision.spec.container.networks}


def node_of(host: Host) -> Json:
    """As classic Swarm said where a container is."""
    return {
        "ID": host.id,
        "Name": host.name,
        "IP": host.facts.address,
        "Addr": host.facts.address,
        "Cpus": host.facts.cpus,
        "Memory": host.facts.memory_bytes,
        "Labels": dict(host.labels),
    }
