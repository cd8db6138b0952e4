"""What every engine prunes by itself: asked of all hosts, counted together."""

from __future__ import annotations

from typing import Any, NamedTuple

from paddock.gateway.call import Call
from paddock.gateway.hosts import answered
from paddock.gateway.listing import refuse_if_all_did
from paddock.model.objects import Host, HostId
from paddock.wire.engine_http import Query

Json = dict[str, Any]
PRUNE_TIMEOUT_S = 300.0


class Pruned(NamedTuple):
    """`hosts` are those that answered."""

    hosts: list[Host]
    deleted: list[Any]
    reclaimed_bytes: int


async def pruned_on_engines(call: Call, path: str, key: str, query: Query) -> Pruned:
    """`key` is where an engine's answer has what it deleted. Raises what all engines answer when all refuse."""

    async def ask(host: Host) -> Json:
        engine = call.cluster.engine(HostId(host.id))
        found: Json = await engine.json("POST", path, query=query, timeout_s=PRUNE_TIMEOUT_S)
        return found

    hosts = call.gateway.hosts.reachable(call.environment)
    told = await call.gateway.hosts.ask_each(hosts, ask, PRUNE_TIMEOUT_S)
    refuse_if_all_did(told)
    answers = answered(told)
    return Pruned(
        [host for host, _ in answers],
        [gone for _, answer in answers for gone in answer.get(key) or ()],
        sum(int(answer.get("SpaceReclaimed") or 0) for _, answer in answers),
    )
