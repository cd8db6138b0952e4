"""The store in one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from paddock.model.changes import Commit
from paddock.model.errors import Conflict, Refused
from paddock.model.snapshot import Snapshot
from paddock.store.journal import Record
from paddock.store.journaled import JournaledStore
from paddock.store.runner import Runner, Writer, runner
from paddock.store.sqlite_file import Copying
from paddock.store.sqlite_log import SqliteLog
from paddock.store.store import HistoryLimits
from paddock.world.disk import Disk, MachineDisk
from paddock.world.world import World


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`debug` checks the model's invariants on every commit; `writer` "inline" is for virtual time."""

    limits: HistoryLimits = HistoryLimits()
    writer: Writer = "thread"
    disk: Disk = MachineDisk()
    debug: bool = False


async def open_sqlite(path: Path, world: World, options: SqliteOptions | None = None) -> JournaledStore:
    """Makes the file if it is not there. Raises `Refused` if another process has it, `Broken` if it is damaged."""
    chosen = options or SqliteOptions()
    log = SqliteLog(path, chosen.disk, chosen.limits)
    with contextlib.ExitStack() as on_error:
        on_error.callback(log.close)
        store = JournaledStore(world, SqliteJournal(log, chosen), debug=chosen.debug)
        on_error.pop_all()
    return store


class SqliteJournal:
    """A `Journal` that keeps a `SqliteLog` busy from a thread of its own, or inline."""

    def __init__(self, log: SqliteLog, options: SqliteOptions) -> None:
        self._log = log
        self._disk = options.disk
        self._runner: Runner = runner(options.writer, "paddock-store")
        self._backing_up = asyncio.Lock()
        self._closing = False

    def load(self) -> Snapshot:
        return self._log.load()

    def append(self, records: Sequence[Record]) -> asyncio.Future[None]:
        return self._runner.run(lambda: self._log.append(records))

    def read(self, since: int, limit: int) -> asyncio.Future[tuple[Commit, ...]]:
        return self._runner.run(lambda: self._log.read(since, limit))

    async def backup(self, path: Path) -> int:
        if self._backing_up.locked():
            raise Conflict("a backup is being written already", hint="wait for it to end")
        async with self._backing_up:
            partial = path.with_name(path.name + ".partial")
            copying = await self._runner.run(lambda: Copying(self._log.connection, partial, self._disk))
            try:
                while not await self._runner.run(copying.step):
                    if self._closing:
                        raise Refused("the store was closed before the backup was whole", hint="back up again")
                return await self._runner.run(lambda: copying.keep_as(path))
            finally:
                await self._runner.run(copying.drop)

    async def close(self) -> None:
        self._closing = True
        async with self._backing_up:
            await self._runner.run(self._log.close)
            self._runner.stop()
