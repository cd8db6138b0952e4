"""Calls on one container: passed on to its host as they are, under the id it has there."""

from __future__ import annotations

from typing import Any

import msgspec

from paddock.gateway import remembered
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.finding import Found, being_made
from paddock.gateway.forward import Asked, forward
from paddock.gateway.links import shown
from paddock.gateway.listing import Rewriting
from paddock.gateway.problems import no_such
from paddock.gateway.rights import check_reach
from paddock.gateway.router import Router
from paddock.model.errors import Transient
from paddock.model.objects import Host, HostId, Revision
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec
from paddock.wire.engine_errors import EngineNotFound

Json = dict[str, Any]
INSPECT_TIMEOUT_S = 10.0
LOST_CODE = 137
"""The exit code said of a container whose host is gone: killed, as far as anybody can tell."""
PLAIN = (
    ("GET", "top"), ("GET", "logs"), ("GET", "changes"), ("GET", "export"), ("GET", "stats"), ("POST", "resize"),
    ("POST", "stop"), ("POST", "restart"), ("POST", "kill"), ("POST", "update"), ("POST", "pause"),
    ("POST", "unpause"), ("HEAD", "archive"), ("GET", "archive"), ("PUT", "archive"),
)  # fmt: skip
HIJACKED = (("POST", "attach"), ("GET", "attach/ws"))
REACHING = ("archive", "export", "attach", "attach/ws")
"""What lets the caller get at what is inside."""


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
    await _to_its_host(call, hijack=False)


async def wait(call: Call) -> None:
    """Ends with an error in the engine's own form when the host is gone."""
    found = await found_container(call)
    path = f"/containers/{found.said or found.engine_name}/wait"
    gone = {"StatusCode": LOST_CODE, "Error": {"Message": f"host {found.host.name} does not answer any more"}}
    said = msgspec.json.encode(gone) + b"\n"
    await forward(call, Asked(host=HostId(found.host.id), path=path, in_place=said))


async def hijacked(call: Call) -> None:
    await _to_its_host(call, hijack=True)


async def _to_its_host(call: Call, *, hijack: bool) -> None:
    found = await found_container(call)
    word = call.path.removeprefix(f"/containers/{call.params['name']}/")
    if word in REACHING:
        await check_reach(call, found)
    path = f"/containers/{found.said or found.engine_name}/{word}"
    await forward(call, Asked(host=HostId(found.host.id), path=path, hijack=hijack))


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
    snapshot = call.cluster.snapshot()
    told = rewriting.inspected(found.host, seen, asked_of(snapshot, found))
    if links := _links_of(snapshot, found):
        told["HostConfig"] = {**(told.get("HostConfig") or {}), "Links": links}
    return Answer(200, {**told, "Node": node_of(found.host)})


def _last_known(call: Call, found: Found, *, away: bool) -> Json | None:
    """A host that does not answer is no reason not to say what its container was, or is about to be again."""
    unit = found.unit
    if unit is None or not (away or remembered.made_anew(unit)):
        return None
    if not unit.containers:
        return remembered.inspected(call.cluster.snapshot(), found.host, unit, being_made(unit))
    status = next((one for one in unit.containers if found.engine_name in (one.id, one.name)), None)
    return remembered.inspected(call.cluster.snapshot(), found.host, unit, status) if status is not None else None


def _links_of(snapshot: Snapshot, found: Found) -> list[str] | None:
    """Those that the cluster answers, which the engine was not told."""
    revision = snapshot.get(Revision, found.unit.revision) if found.unit is not None else None
    if revision is None or found.unit is None:
        return None
    legacy = (revision.spec.container.config.get("HostConfig") or {}).get("Links") or []
    return shown(revision.spec.links, legacy, found.unit.name)


def asked_of(snapshot: Snapshot, found: Found) -> ContainerSpec | None:
    revision = snapshot.get(Revision, found.unit.revision) if found.unit is not None else None
    return revision.spec.container if revision is not None else None


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
