"""From a wish to agents that know of it: the real store on disk, the real control plane, played agents over memory.

    python bench/delivery.py [--hosts 1000] [--units 30000] [--stacks 1000] [--rate 4000] [--profile FILE]

Everything runs in one process, the agents too; their share of its time is printed. Scenes, each on a new store:

- burst: all stacks are wished for at once, each in a commit of its own. A unit is delivered when its host's agent has
  decoded the assignment that holds it; sessions send only what is durable. Agents confirm, and report it running.
- service: the same as one service of all the units.
- paced: the same at `--rate` units a second; delay is from the commit of the wish to the unit's delivery.
- change: on 100 hosts, one service of 100 units on one network is scaled by one; bytes sent to all and to each host.

Nothing of the same kind runs beside it here. Swarm's published figure is p99 400 ms (2015, 1,000 nodes, 30,000
containers); the ratio in the run is to the bare minimum: the same rows in one SQLite transaction per wish, and the same
assignments encoded and decoded once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TextIO

import apsw
import msgspec
import structlog

from paddock.core.assignment import assignments
from paddock.core.commands import scale
from paddock.core.stacks import apply_stack
from paddock.model.assignment import UnitAssignment
from paddock.model.changes import Put
from paddock.model.objects import ContainerStatus, Host, HostFacts, HostId, Service, Unit, UnitDesired, UnitState
from paddock.model.reports import UnitReport
from paddock.model.specs import Attachment, ContainerSpec, NetworkSpec, ServiceSpec, StackSpec
from paddock.server.plane import ControlPlane
from paddock.server.sealing import Sealer
from paddock.server.session import Peer
from paddock.store.sqlite import open_sqlite
from paddock.wire.channel import ChannelClosed
from paddock.wire.messages import (
    OLDEST_PROTOCOL,
    PROTOCOL,
    Assign,
    Confirm,
    FromAgent,
    Heartbeat,
    Hello,
    Report,
    Welcome,
    decode_from_server,
    encode,
)
from paddock.world.memory import settle
from paddock.world.world import machine_world

DEADLINE_S = 300.0
HEARTBEAT_S = 2.0


class End:
    """One end of a control connection in memory. `received` counts bytes that arrived here."""

    def __init__(self) -> None:
        self.incoming: deque[bytes] = deque()
        self.arrived = asyncio.Event()
        self.closed = False
        self.received = 0
        self.other: End

    async def send(self, message: bytes) -> None:
        if self.closed:
            raise ChannelClosed("closed")
        self.other.incoming.append(message)
        self.other.received += len(message)
        self.other.arrived.set()

    async def receive(self) -> bytes:
        while not self.incoming:
            if self.closed:
                raise ChannelClosed("closed")
            self.arrived.clear()
            await self.arrived.wait()
        return self.incoming.popleft()

    async def close(self, reason: str = "") -> None:
        del reason
        for end in (self, self.other):
            end.closed = True
            end.arrived.set()


class Delivered:
    """unit -> when its agent knew of it. `wished_s`: stack -> when its wish began to be committed."""

    def __init__(self) -> None:
        self.at_s: dict[str, float] = {}
        self.wished_s: dict[str, float] = {}
        self.moved = asyncio.Event()
        self.running = 0
        self.agents_s = 0.0

    def note(self, units: list[str]) -> None:
        now_s = time.perf_counter()
        for unit in units:
            self.at_s.setdefault(unit, now_s)
        self.moved.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.at_s) < count:
                self.moved.clear()
                await self.moved.wait()

    def delays_s(self) -> list[float]:
        return sorted(at_s - self.wished_s[unit.split(".")[1]] for unit, at_s in self.at_s.items())


class Agent:
    """Confirms what it is told and reports every unit running, all units of an assignment at once."""

    def __init__(self, plane: ControlPlane, host: HostId, number: int, delivered: Delivered) -> None:
        self.host = host
        self.channel, theirs = End(), End()
        self.channel.other, theirs.other = theirs, self.channel
        self.address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        self._delivered = delivered
        self._plane = plane
        self._theirs = theirs
        self._session = self._reports = 0

    async def serve(self) -> None:
        await self._plane.sessions.serve(self._theirs, Peer(host=self.host, address=self.address))

    async def run(self) -> None:
        facts = HostFacts(address=self.address, cpus=16, memory_bytes=2**36, mtu=1500)
        hello = Hello(
            protocols=(OLDEST_PROTOCOL, PROTOCOL), host=self.host, instance="1", agent_version="0", facts=facts
        )
        await self.say(hello)
        with contextlib.suppress(ChannelClosed):
            while True:
                data = await self.channel.receive()
                began_s = time.perf_counter()
                answers = self._answers(data)
                self._delivered.agents_s += time.perf_counter() - began_s
                for answer in answers:
                    await self.say(answer)

    def _answers(self, data: bytes) -> list[FromAgent]:
        match decode_from_server(data):
            case Welcome(session=session):
                self._session = session
            case Assign() as told:
                return [Confirm(assignment=told.version), *self._reported(told)]
        return []

    def _reported(self, told: Assign) -> list[FromAgent]:
        units = [
            item.unit for item in told.items if isinstance(item, UnitAssignment) and item.desired == UnitDesired.RUN
        ]
        fresh = [unit for unit in units if unit not in self._delivered.at_s]
        if not fresh:
            return []
        self._delivered.note(list(fresh))
        self._reports += 1
        now_s = time.time()
        reports = [
            UnitReport(
                unit=unit,
                state=UnitState.RUNNING,
                healthy=True,
                containers=(
                    ContainerStatus(id=f"{len(unit):064x}", name=unit[-40:], state="running", started_at_s=now_s),
                ),
            )
            for unit in fresh
        ]
        return [Report(session=self._session, number=self._reports, units=tuple(reports))]

    async def beat(self) -> None:
        with contextlib.suppress(ChannelClosed):
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await self.say(Heartbeat())

    async def say(self, message: FromAgent) -> None:
        await self.channel.send(encode(message))


class Cluster:
    def __init__(self, plane: ControlPlane, environment: str, agents: list[Agent], delivered: Delivered) -> None:
        self.plane = plane
        self.environment = environment
        self.agents = agents
        self.delivered = delivered

    async def wish(self, stack: StackSpec) -> None:
        self.delivered.wished_s[stack.name] = time.perf_counter()
        store = self.plane.store
        await store.commit(apply_stack(store.snapshot(), self.environment, stack, time.time()))

    async def all_running(self, count: int) -> None:
        """Every report is committed, and nothing is left to decide."""
        async with asyncio.timeout(DEADLINE_S):
            while sum(unit.state == UnitState.RUNNING for unit in self.units()) < count:
                await asyncio.sleep(0.2)
            while not self.plane.convergence.settled:
                await asyncio.sleep(0.05)

    def units(self) -> list[Unit]:
        return list(self.plane.store.snapshot().table(Unit).values())


@contextlib.asynccontextmanager
async def cluster(hosts: int, folder: Path) -> AsyncIterator[Cluster]:
    world = machine_world()
    store = await open_sqlite(folder / "paddock.db", world)
    plane = ControlPlane(world, store, Sealer.open(folder / "sealing.key", world))
    await plane.first_start()
    environment = store.snapshot().environment_named("default")
    assert environment is not None
    made = [
        Host(id=f"host-{at:05}", environment=environment.id, name=f"h{at}", since_s=world.now_s())
        for at in range(hosts)
    ]
    await store.commit([Put(object=host, reason="joined") for host in made])
    settle()
    delivered = Delivered()
    agents = [Agent(plane, HostId(host.id), at, delivered) for at, host in enumerate(made)]
    tasks = [asyncio.create_task(plane.run())]
    tasks += [asyncio.create_task(work()) for agent in agents for work in (agent.serve, agent.run, agent.beat)]
    try:
        async with asyncio.timeout(DEADLINE_S):
            while sum(host.state == "active" for host in store.snapshot().table(Host).values()) < hosts:
                await asyncio.sleep(0.05)
            await quiet(plane)
        yield Cluster(plane, environment.id, agents, delivered)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()


async def quiet(plane: ControlPlane) -> None:
    """Until nothing was committed for a while."""
    version = -1
    while version != plane.store.snapshot().version:
        version = plane.store.snapshot().version
        await asyncio.sleep(0.5)


def stack_of(name: str, units: int, *, network: bool = False) -> StackSpec:
    config = {"Cmd": ["sleep", "86400"], "Env": ["A=1", "B=2"], "Labels": {"bench": "delivery"}}
    container = ContainerSpec(
        image="busybox",
        config=config,
        network_mode="" if network else "host",
        networks=(Attachment(network="default"),) if network else (),
    )
    return StackSpec(
        name=name,
        services={"web": ServiceSpec(name="web", container=container, replicas=units)},
        networks={"default": NetworkSpec(name=f"{name}_default")} if network else {},
    )


async def burst(folder: Path, hosts: int, units: int, stacks: int, profile: str) -> float:
    """-> units a second."""
    each = units // stacks
    profiler = cProfile.Profile() if profile else None
    async with cluster(hosts, folder) as there:
        specs = [stack_of(f"s{at}", each) for at in range(stacks)]
        if profiler:
            profiler.enable()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as wishes:
            for spec in specs:
                wishes.create_task(there.wish(spec))
        await there.delivered.until(each * stacks)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        await there.all_running(each * stacks)
        settled_s = time.process_time() - began_cpu_s
        if profiler:
            profiler.disable()
            profiler.dump_stats(profile)
        rate = each * stacks / took_s
        floor = each * stacks / floor_s(there, folder)
        print(
            f"burst, {stacks} stacks x {each} on {hosts} hosts: {rate:,.0f} units/s durable and delivered "
            f"({took_s:.1f} s at {cpu_s / took_s:.0%} of a core: {each * stacks / cpu_s:,.0f} per CPU second; agents' "
            f"share {there.delivered.agents_s:.1f} s; all reported and at rest after {settled_s:.1f} CPU s); "
            f"{rate / floor:.2f}x the bare minimum",
            flush=True,
        )
        return rate


def floor_s(there: Cluster, folder: Path) -> float:
    """Seconds to write the units once, a transaction per stack, and to encode and decode every host's assignment."""
    snapshot = there.plane.store.snapshot()
    stacks: dict[str, list[Unit]] = {}
    for unit in there.units():
        stacks.setdefault(unit.stack, []).append(unit)
    began_s = time.perf_counter()
    database = apsw.Connection(str(folder / "floor.db"))
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE objects (id TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID")
    for units in stacks.values():
        rows = [(unit.id, msgspec.msgpack.encode(unit)) for unit in units]
        with database:
            database.executemany("INSERT INTO objects VALUES (?, ?)", rows)
    database.close()
    for items in assignments(snapshot, [agent.host for agent in there.agents]).values():
        decode_from_server(encode(Assign(version=1, whole=True, items=tuple(items.values()))))
    return time.perf_counter() - began_s


async def paced(folder: Path, hosts: int, units: int, stacks: int, rate: float) -> None:
    each = units // stacks
    async with cluster(hosts, folder) as there, asyncio.TaskGroup() as wishes:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for at in range(stacks):
            due_s = began_s + at * each / rate
            await asyncio.sleep(max(due_s - time.perf_counter(), 0))
            wishes.create_task(there.wish(stack_of(f"s{at}", each)))
        await there.delivered.until(each * stacks)
        share = (time.process_time() - began_cpu_s) / (time.perf_counter() - began_s)
        delays = there.delivered.delays_s()
        print(
            f"paced, {rate:,.0f} units/s: delay p50 {delays[len(delays) // 2] * 1000:,.0f} ms, "
            f"p99 {delays[len(delays) * 99 // 100] * 1000:,.0f} ms, worst {delays[-1] * 1000:,.0f} ms "
            f"(published: Swarm 2015, p99 400 ms); this process used {share:.0%} of a core",
            flush=True,
        )


async def change(folder: Path, hosts: int) -> None:
    async with cluster(hosts, folder) as there:
        await there.wish(stack_of("net", hosts, network=True))
        await there.delivered.until(hosts)
        await quiet(there.plane)
        store = there.plane.store
        before = [agent.channel.received for agent in there.agents]
        service = next(iter(store.snapshot().table(Service).values()))
        await store.commit(scale(store.snapshot(), service, hosts + 1))
        await there.delivered.until(hosts + 1)
        await quiet(there.plane)
        sent = sorted(agent.channel.received - was for agent, was in zip(there.agents, before, strict=True))
        hosts_there = [agent.host for agent in there.agents]
        whole = [
            len(encode(Assign(version=1, whole=True, items=tuple(items.values()))))
            for items in assignments(store.durable(), hosts_there).values()
        ]
        print(
            f"change, one unit more on a network of {hosts} hosts: {sum(sent):,} bytes to all, "
            f"{sent[hosts // 2]:,} to each (median), {sent[-1]:,} to the one that runs it; "
            f"{sum(sent) / sum(whole):.4f}x of telling all again",
            flush=True,
        )


async def run(options: argparse.Namespace) -> None:
    scenes = options.scenes.split(",")
    with tempfile.TemporaryDirectory(dir=options.directory) as folder, open(Path(folder, "log"), "w") as log:
        log_as_servers_do(log)
        for name in scenes:
            os.mkdir(Path(folder, name))
        if "burst" in scenes:
            sizes = (options.hosts, options.units, options.stacks)
            await burst(Path(folder, "burst"), *sizes, options.profile)
        if "service" in scenes:
            await burst(Path(folder, "service"), options.hosts, options.units, 1, "")
        if "paced" in scenes:
            await paced(Path(folder, "paced"), options.hosts, options.units, options.stacks, options.rate)
        if "change" in scenes:
            await change(Path(folder, "change"), 100)
    print(f"load average {os.getloadavg()[0]:.1f}")


def log_as_servers_do(file: TextIO) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--units", type=int, default=30_000)
    parser.add_argument("--stacks", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=4_000)
    parser.add_argument("--scenes", default="burst,service,paced,change")
    parser.add_argument("--directory", help="where the stores are; default: the system's temporary one")
    parser.add_argument("--profile", default="", help="write a cProfile of the burst there")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
