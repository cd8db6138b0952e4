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


def refuse_elsewhere(snapshot: Snapshot, hello: Hello, world: World) -> None:
    """A copy that comes while the true agent is away. That two hosts' engines have the same id from the beginning,
    as those of machines made from one image may, says nothing: only that this host's was another one before.

    Raises `Unwelcome`.
    """
    engine = hello.facts.engine_id
    known = snapshot.get(Host, hello.host)
    if known is None or not engine or known.facts.engine_id in ("", engine):
        return
    others = sorted(host.name for host in snapshot.table(Host).values() if host.facts.engine_id == engine)
    if not others:
        return
    world.probe("an agent on another host's engine refused")
    raise Unwelcome(
        f"this agent has the identity of {known.name}, and the engine it works with is that of host {others[0]}; "
        "if the agent's data was copied to this machine, remove the copy; if two hosts changed places, remove both "
        "from the cluster and join them anew",
        final=False,
        doubled=True,
    )
