"""Follows a change until it has come about: looks at the views again whenever events say that something moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from paddock.cli.drawing import Drawing, drawing
from paddock.cli.output import say
from paddock.cli.verdict import Progress, Wish, progress, slot_of, verdict
from paddock.cli.watching import endless_events
from paddock.model.errors import NotFound, Refused, Transient
from paddock.wire.api import ContainerView, EventView, ServiceView

if TYPE_CHECKING:
    from paddock.client.client import Client

GATHER_S = 0.05
"""Looks are at least so far apart; the first after a pause is at once, so that the last event ends the command."""

LOOK_AGAIN_S = 2.0
"""A look without any event, so that stalls are noticed and a lost stream does no harm."""


SILENCE_S = 30.0
"""How long the server may be away, restarting, before the command gives up."""


FIRST_EVENT_S = 2.0
"""How long a change may take to show: until the first event, the views are those of before."""


class Goal(NamedTuple):
    """`stack` and `services` (names, empty: all) are what to follow. `version`: where the change was committed.

    `changes`: something is to happen at all.
    """

    stack: str
    services: tuple[str, ...] = ()
    version: int = 0
    wish: Wish = "running"
    changes: bool = True
    timeout_s: float | None = None


async def generations(client: Client, stack: str) -> dict[str, int]:
    """Slot -> the newest generation there is: what was before the change is not held against it."""
    newest: dict[str, int] = {}
    try:
        views = await client.containers(stack=stack, all=True)
    except NotFound:  # its first time
        return newest
    for view in views:
        newest[slot_of(view)] = max(newest.get(slot_of(view), 0), view.generation)
    return newest


async def follow(client: Client, goal: Goal, earlier: Mapping[str, int]) -> None:
    """Returns when the goal is reached; raises `Refused` with the reasons if it cannot be, or not in time."""
    moved = asyncio.Event()
    with drawing() as shown:
        try:
            async with asyncio.timeout(goal.timeout_s), asyncio.TaskGroup() as tasks:
                listener = tasks.create_task(_listen(client, goal, moved, shown.event))
                await _watch(client, goal, earlier, moved, shown)
                listener.cancel()
        except TimeoutError:
            raise Refused(
                f"not there after {goal.timeout_s:g} s", hint=f"paddock explain {goal.stack} says what it waits for"
            ) from None


async def _listen(client: Client, goal: Goal, moved: asyncio.Event, show: Callable[[EventView], None]) -> None:
    async with aclosing(endless_events(client, goal.version or None)) as events:
        async for event in events:
            if event.stack == goal.stack and (not goal.services or event.service in goal.services):
                show(event)
                moved.set()


async def _watch(client: Client, goal: Goal, earlier: Mapping[str, int], moved: asyncio.Event, shown: Drawing) -> None:
    loop = asyncio.get_running_loop()
    if goal.changes:
        await _moved(moved, FIRST_EVENT_S)
    changed_at = answered_at = loop.time()
    last: list[Progress] = []
    while True:
        looked_at = loop.time()
        try:
            services, containers = await _look(client, goal)
            answered_at = loop.time()
        except Transient:
            if loop.time() - answered_at > SILENCE_S:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
            continue
        rows = progress(services, containers, wish=goal.wish, earlier=earlier)
        if rows != last:
            changed_at, last = loop.time(), rows
            shown.rows(rows)
        found = verdict(rows, loop.time() - changed_at)
        if found.outcome == "done":
            return
        if found.outcome == "failed":
            names = ", ".join(row.service for row in rows if not row.done)
            hint = f"it stays asked for; paddock explain NAME says more about {names}"
            raise Refused("\n".join(found.reasons), hint=hint)
        await _moved(moved, LOOK_AGAIN_S)
        await asyncio.sleep(max(looked_at + GATHER_S - loop.time(), 0))
        moved.clear()


async def _moved(moved: asyncio.Event, at_most_s: float) -> None:
    try:
        async with asyncio.timeout(at_most_s):
            await moved.wait()
    except TimeoutError:
        pass
    moved.clear()


async def _look(client: Client, goal: Goal) -> tuple[Sequence[ServiceView], Sequence[ContainerView]]:
    services = await client.services(stack=goal.stack)
    if goal.services:
        services = [view for view in services if view.name in goal.services]
    return services, await client.containers(stack=goal.stack, all=True)


def tell_detached(stack: str) -> None:
    say(f"\nDetached; the cluster carries on. `paddock ps -p {stack}` shows how far it is.")
