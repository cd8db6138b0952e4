"""Commands that change services: ask for each, then follow them until they are as asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from paddock.cli.command import Argument, Option
from paddock.cli.connection import connected
from paddock.cli.following import Goal, follow, generations
from paddock.cli.naming import wanted_services
from paddock.cli.verdict import Wish
from paddock.client import Client
from paddock.model.errors import UserError
from paddock.wire.api import Accepted, ServiceView

NAMES = Argument(None, metavar="NAME", help="Stacks or services.")
STACK = Option(
    "", "--project-name", "-p", metavar="STACK", help="All services of this stack, or where to look for names."
)
DETACH = Option(False, "--detach", "-d", help="Return at once instead of following it.")
TIMEOUT = Option(0, "--timeout", metavar="SECONDS", help="Give up following after this long.")

Act = Callable[[Client, ServiceView], Awaitable[Accepted]]


class Following(NamedTuple):
    """Whether, to what end and how long services are followed."""

    wish: Wish = "running"
    detach: bool = False
    timeout_s: float = 0.0


async def act(names: Sequence[str], stack: str, each: Act, following: Following) -> None:
    """On each service named, or on all of `stack`. Raises `UserError` when neither is given."""
    if not names and not stack:
        raise UserError("which services?", hint="name services or stacks, or a whole stack with -p STACK")
    async with connected() as client:
        views = await wanted_services(client, names, stack=stack)
        stacks = sorted({view.stack for view in views})
        earlier = {slot: number for one in stacks for slot, number in (await generations(client, one)).items()}
        version = 0
        for view in views:
            version = max(version, (await each(client, view)).version)
        for one in [] if following.detach else stacks:
            services = tuple(view.name for view in views if view.stack == one)
            goal = Goal(
                stack=one,
                services=services,
                version=version,
                wish=following.wish,
                timeout_s=following.timeout_s or None,
            )
            await follow(client, goal, earlier)
