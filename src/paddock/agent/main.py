"""The agent process."""

from __future__ import annotations

import asyncio
import resource
import signal
from pathlib import Path

import msgspec
from setproctitle import setproctitle

from paddock.agent.agent import Agent, Surroundings
from paddock.agent.certificate import HostCertificate
from paddock.agent.facts import facts_of
from paddock.agent.files import DEFAULT_ROOT, Files
from paddock.agent.identity import DEFAULT_DATA, Identity, load_identity, lock, tls_of
from paddock.agent.ledger import Ledger
from paddock.agent.sealing import Sealing
from paddock.agent.session import SentAway
from paddock.agent.streams import Streams
from paddock.agent.websocket import Dialler
from paddock.drivers.docker import DockerEngine
from paddock.wire.engine_http import EngineHttp, unix_dial
from paddock.world.supervisor import tell_ready
from paddock.world.world import World, machine_world

EXIT_REFUSED = 2
"""Coming back would not help until somebody acts: a service manager should not start us again by itself."""


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True):
    data: str = DEFAULT_DATA
    engine_socket: str = "/var/run/docker.sock"
    files: str = DEFAULT_ROOT


def run_agent(config: AgentConfig) -> int:
    """Until a signal (0) or until the server sends it away for good (2). Raises `PaddockError` when it cannot begin."""
    setproctitle("paddock agent")
    data = Path(config.data)
    identity = load_identity(data)
    lock(data)
    _raise_file_limit()
    return asyncio.run(_serve(config, identity, machine_world()))


def _raise_file_limit() -> None:
    """Every stream takes two descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(config: AgentConfig, identity: Identity, world: World) -> int:
    from paddock.drivers.names import Names
    from paddock.drivers.network import Overlay

    data = Path(config.data)
    files = Files(Path(config.files))
    files.prepare()
    sealing = Sealing(data / "ledger.key", world)
    sealing.prepare()
    ledger = Ledger(data / "ledger.db", sealing)
    place = (identity.server, identity.agents_port)
    tls = tls_of(data)
    certificate = HostCertificate(data, identity.host, tls)
    dialler = Dialler(place, tls, lambda: certificate.ended(world.now_s()))
    engine_dial = unix_dial(config.engine_socket)
    engine = DockerEngine(EngineHttp(engine_dial, where=config.engine_socket), world)
    overlay, names = Overlay(), Names(world)
    around = Surroundings(
        world=world,
        engine=engine,
        overlay=overlay,
        names=names,
        files=files,
        ledger=ledger,
        dial=dialler.session,
        carry=Streams(dialler.stream, engine_dial, world).carry,
        facts=lambda: facts_of(engine, place),
        certificate=certificate,
    )
    world.log.info("agent starts", host=identity.name, id=identity.host, server=identity.server, data=config.data)
    tell_ready()
    try:
        return await _until_told(Agent(identity.host, around), world)
    finally:
        await names.close()
        await overlay.close()
        ledger.close()


async def _until_told(agent: Agent, world: World) -> int:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_run(agent, world))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        await asyncio.wait([running])
    return 0 if running.cancelled() else running.result()


async def _run(agent: Agent, world: World) -> int:
    """The agent's own group ends with it; nothing runs after that, so a swallowed cancellation harms nobody."""
    try:
        await agent.run()
    except BaseExceptionGroup as group:
        sent_away = group.subgroup(SentAway)
        rest = group.split(SentAway)[1]
        if sent_away is None or rest is not None:
            raise
        reason = next(error for error in _leaves(sent_away) if isinstance(error, SentAway))
        world.log.error("the server sends this agent away for good", reason=reason.message)
        return EXIT_REFUSED
    return 0


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
