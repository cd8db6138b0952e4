"""`GET /events`: what happens on all hosts, as one stream in the order of time.

What is still to come is asked of each engine once for all clients, and what each of them wants of it is chosen here.
Who asks for the past, or for an end, has engines followed for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from paddock.gateway.call import Call
from paddock.gateway.event_filters import fits
from paddock.gateway.filters import parse_filters
from paddock.gateway.following import Following, Told, Wanted
from paddock.gateway.problems import ApiProblem
from paddock.gateway.router import Router


def register(router: Router) -> None:
    router.add("GET", "/events", events)


async def events(call: Call) -> None:
    filters = parse_filters(call.head.asked("filters"))
    nodes = tuple(filters.pop("node", ()))
    wanted = Wanted(
        environment=call.environment,
        filters=filters,
        nodes=nodes,
        since_s=moment(call, "since"),
        until_s=moment(call, "until"),
    )
    shared = wanted.since_s is None and wanted.until_s is None
    sending = _send_shared(call, wanted) if shared else _send_own(call, wanted)
    async with asyncio.TaskGroup() as tasks:
        ways = [tasks.create_task(sending), tasks.create_task(_client_gone(call))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        gone = ways[1].done()
        for way in ways:
            way.cancel()
    if gone or shared:
        call.client.closing = True
    else:
        await call.client.end()


def moment(call: Call, name: str) -> float | None:
    """Seconds since the epoch, with a fraction; None when not asked. Raises `ApiProblem` (400)."""
    text = call.head.asked(name)
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise ApiProblem(400, f"{name} must be seconds since 1970, not {text[:40]!r}") from None


async def _client_gone(call: Call) -> None:
    try:
        while await call.source.some():
            continue
    except OSError:
        return


async def _send_shared(call: Call, wanted: Wanted) -> None:
    """It listens before its head goes out: what happens after that is told."""

    def wants(told: Told) -> bool:
        return (not wanted.nodes or told.node in wanted.nodes) and (
            not wanted.filters or fits(wanted.filters, told.engines) or fits(wanted.filters, told.event)
        )

    with call.gateway.feeds.listen(call.environment, wants) as listening:
        await _send(call, listening.lines())
        if listening.over:
            call.cluster.world.log.warning("a client that listened for events was let go", caller=call.caller.name)


async def _send_own(call: Call, wanted: Wanted) -> None:
    following = Following(call.cluster, call.gateway.hosts, wanted)

    async def lines() -> AsyncIterator[bytes]:
        async for told in following.events():
            yield told.line

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(following.run())
        await _send(call, lines())
        running.cancel()


async def _send(call: Call, lines: AsyncIterator[bytes]) -> None:
    try:
        await call.client.start(200)
        async for line in lines:
            await call.client.chunk(line)
    except OSError:
        return
