"""What the store's tests share: a clock to set, a place where a store lives, and small objects to keep in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import structlog

from paddock.model.changes import Change, Commit, Delete, Put
from paddock.model.objects import Environment
from paddock.model.snapshot import Snapshot
from paddock.sim.disk import SimulatedDisk
from paddock.sim.world import SimulatedChance
from paddock.store.restore import restore_sqlite
from paddock.store.sqlite import SqliteOptions, open_sqlite
from paddock.store.store import HistoryLimits, Store
from paddock.world.disk import MachineDisk
from paddock.world.world import World

T = TypeVar("T")
WITHIN_S = 20.0


class SetClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time_s = 1_800_000_000.0

    def now_s(self) -> float:
        return self.time_s

    def monotonic_s(self) -> float:
        return self.time_s


def world_at(clock: SetClock) -> World:
    """Says nothing: a store that breaks on purpose a thousand times has a lot to say."""
    world = World(clock, SimulatedChance("store"))
    world.log = structlog.wrap_logger(None, processors=[_drop])
    return world


def _drop(logger: object, method: str, event: structlog.typing.EventDict) -> structlog.typing.ProcessorReturnValue:
    raise structlog.DropEvent


class Home(Protocol):
    """A place where one store lives, to be opened again and again. The contract is tested against this."""

    clock: SetClock
    backup_path: Path

    async def open(self, limits: HistoryLimits | None = None) -> Store: ...

    def restore(self) -> int:
        """From `backup_path`, over what is there."""
        ...


class SqliteHome:
    """On the machine's disk with a thread, or on a simulated one inline."""

    def __init__(self, directory: Path, disk: SimulatedDisk | None = None) -> None:
        self.clock = SetClock()
        self.path = directory / "paddock.db"
        self.backup_path = directory / "backup.db"
        self.disk = disk or MachineDisk()
        self._inline = disk is not None

    async def open(self, limits: HistoryLimits | None = None) -> Store:
        options = SqliteOptions(
            limits=limits or HistoryLimits(),
            writer="inline" if self._inline else "thread",
            disk=self.disk,
            debug=True,
        )
        return await open_sqlite(self.path, world_at(self.clock), options)

    def restore(self) -> int:
        return restore_sqlite(self.backup_path, self.path, disk=self.disk)


def run(main: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(WITHIN_S):
            return await main

    return asyncio.run(bounded())


def put(id: str, version: int = 0, name: str = "") -> Put:
    """Environments are the smallest objects that stand alone."""
    return Put(object=Environment(id=id, version=version, name=name or f"name of {id}"), reason="test")


def environment(snapshot: Snapshot, id: str) -> Environment:
    found = snapshot.get(Environment, id)
    assert found is not None
    return found


def renamed(thing: Environment, name: str) -> Put:
    return Put(object=msgspec.structs.replace(thing, name=name), reason="renamed")


def removed(thing: Environment) -> Delete:
    return Delete(object=thing, reason="removed")


def contents(snapshot: Snapshot) -> dict[str, Environment]:
    return dict(snapshot.table(Environment).items())


def replay(commits: list[Commit]) -> dict[str, Environment]:
    """What the commits, from the first one, lead to."""
    found: dict[str, Environment] = {}
    for commit in commits:
        for change in commit.changes:
            apply(found, change)
    return found


def apply(table: dict[str, Environment], change: Change) -> None:
    thing = change.object
    assert isinstance(thing, Environment)
    if isinstance(change, Delete):
        table.pop(thing.id)
    else:
        table[thing.id] = thing


async def take(watch: AsyncIterator[Commit], up_to: int) -> list[Commit]:
    """Reads until version `up_to` has come."""
    found: list[Commit] = []
    async for commit in watch:
        found.append(commit)
        if commit.version >= up_to:
            break
    return found
