"""Whose host a new container has to be on: theirs whose namespaces or volumes it wants."""

from __future__ import annotations

from typing import Any, NamedTuple

from paddock.gateway.call import Call
from paddock.gateway.finding import Found
from paddock.gateway.links import partner
from paddock.gateway.rights import check_reach
from paddock.gateway.wishes import leans_on, namespaces_of
from paddock.model.objects import HostId
from paddock.wire.engine_errors import EngineUnreachable

Json = dict[str, Any]


class Leaning(NamedTuple):
    """`ids`: as the client calls them -> as their engines do. `beside`: id of a host -> why it must be that one.

    `without`: those of `ids` that have no volumes to give and are on other hosts, where no engine could find them.
    """

    ids: dict[str, str]
    beside: dict[str, str]
    without: tuple[str, ...]


async def leaning(call: Call, body: Json) -> Leaning:
    """Raises `ApiProblem` for who is not there, or is none of the caller's."""
    found: dict[str, Found] = {}
    for one in leans_on(body):
        found[one] = await partner(call, one)
        await check_reach(call, found[one])
    hosts = list(dict.fromkeys(one.host.id for one in found.values()))
    if len(hosts) > 1:
        # Together if they can be: only now does it matter who has nothing to give.
        namespaces = namespaces_of(body)
        giving = [one.host.id for name, one in found.items() if name in namespaces or await _has_mounts(call, one)]
        hosts = list(dict.fromkeys(giving)) or hosts[:1]
    return Leaning(
        {name: one.engine_name for name, one in found.items()},
        {host: _why(host, found) for host in hosts},
        tuple(one.engine_name for one in found.values() if one.host.id not in hosts),
    )


def _why(host: str, found: dict[str, Found]) -> str:
    there = [(name, one.unit) for name, one in found.items() if one.host.id == host]
    return "it needs " + " and ".join(unit.name if unit is not None else name for name, unit in there)


async def _has_mounts(call: Call, found: Found) -> bool:
    """Where nobody can be asked it has some: the scheduler says best what is with that host."""
    engine = call.cluster.engine(HostId(found.host.id))
    try:
        seen: Json = await engine.json("GET", f"/containers/{found.engine_name}/json")
    except EngineUnreachable:
        return True
    return bool(seen.get("Mounts"))
