"""Whose host a new container has to be on: theirs whose namespaces or volumes it wants, as far as they have any."""

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

    `without`: those of `ids` that have nothing to give, wherever they are: no engine needs to hear of them.
    """

    ids: dict[str, str]
    beside: dict[str, str]
    without: tuple[str, ...]


async def leaning(call: Call, body: Json) -> Leaning:
    """Raises `ApiProblem` for who is not there, or is none of the caller's."""
    ids: dict[str, str] = {}
    beside: dict[str, str] = {}
    without: list[str] = []
    for one in leans_on(body):
        found = await partner(call, one)
        await check_reach(call, found)
        ids[one] = found.engine_name
        if one not in namespaces_of(body) and not await _has_mounts(call, found):
            without.append(found.engine_name)
            continue
        called = found.unit.name if found.unit is not None else one
        known = beside.get(found.host.id)
        beside[found.host.id] = f"{known} and {called}" if known else f"it needs {called}"
    return Leaning(ids, beside, tuple(without))


async def _has_mounts(call: Call, found: Found) -> bool:
    """Where nobody can be asked it has some: the scheduler says best what is with that host."""
    engine = call.cluster.engine(HostId(found.host.id))
    try:
        seen: Json = await engine.json("GET", f"/containers/{found.engine_name}/json")
    except EngineUnreachable:
        return True
    return bool(seen.get("Mounts"))
