"""Who may come in: an agent's first message, what both sides speak, and the session its host gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from paddock.model.changes import Put
from paddock.model.errors import NotFound
from paddock.model.objects import Environment, Host, HostState
from paddock.model.snapshot import Snapshot
from paddock.server.committing import Decision
from paddock.wire.channel import Channel
from paddock.wire.messages import OLDEST_PROTOCOL, PROTOCOL, Goodbye, Hello, decode_from_agent
from paddock.world.world import World

HELLO_TIMEOUT_S = 10.0


class Unwelcome(Exception):
    """The agent is sent away. Never leaves `Sessions`."""

    def __init__(self, reason: str, *, final: bool, doubled: bool = False) -> None:
        super().__init__(reason)
        self.goodbye = Goodbye(reason=reason, final=final, doubled=doubled)


async def hello_on(channel: Channel) -> Hello:
    """Raises `Unwelcome` and `ChannelClosed`."""
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            message = decode_from_agent(await channel.receive())
    except TimeoutError:
        raise Unwelcome(f"no hello within {HELLO_TIMEOUT_S:.0f} s", final=False) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unwelcome(f"the first message could not be read: {error}", final=False) from error
    if not isinstance(message, Hello):
        raise Unwelcome("the first message must be hello", final=False)
    return message


def common_protocol(hello: Hello) -> int:
    """Raises `Unwelcome` with who has to be upgraded. Not for good: until then the agent keeps up what its host has."""
    oldest, newest = hello.protocols
    if newest < OLDEST_PROTOCOL:
        raise Unwelcome(
            f"this agent (paddock {hello.agent_version}, protocol {oldest} to {newest}) is older than the server "
            f"understands ({OLDEST_PROTOCOL} to {PROTOCOL}): upgrade paddock on this host",
            final=False,
        )
    if oldest > PROTOCOL:
        raise Unwelcome(
            f"this agent (paddock {hello.agent_version}, protocol {oldest} to {newest}) is newer than the server "
            f"understands ({OLDEST_PROTOCOL} to {PROTOCOL}): upgrade the server",
            final=False,
        )
    return min(newest, PROTOCOL)


def activation(hello: Hello, world: World) -> Callable[[Snapshot], Decision[tuple[int, str, str]]]:
    """-> the session's number, the host's name and its environment's. Raises `NotFound`."""

    def decide(snapshot: Snapshot) -> Decision[tuple[int, str, str]]:
        host = snapshot.get(Host, hello.host)
        if host is None:
            raise NotFound(
                f"{hello.host} is not a host of this server: it was removed, or the server's data is older; "
                "join it again with a new token"
            )
        environment = snapshot.get(Environment, host.environment)
        active = msgspec.structs.replace(
            host,
            session=host.session + 1,
            instance=hello.instance,
            unheard=host.unheard or host.state in (HostState.SILENT, HostState.LOST),
            state=HostState.ACTIVE,
            since_s=host.since_s if host.state == HostState.ACTIVE else world.now_s(),
            facts=hello.facts,
        )
        name = environment.name if environment is not None else ""
        return (Put(object=active, reason="its agent connected"),), (active.session, active.name, name)

    return decide
