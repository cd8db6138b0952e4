"""A store over a journal: stages in memory, writes behind in groups, and only then tells anybody.

    commit ── stage (synchronous) ──> waiting ── group ──> journal.append ──> durable ──> waiter, watchers

There is no writer task: the future of one group's append starts the next group. While a group is being written the
next one gathers, so the more commits come at once, the fewer syncs each costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec

from paddock.model.changes import Change, Commit
from paddock.model.check import problems, problems_between
from paddock.model.errors import Broken, Conflict, Refused, TooOld, Transient
from paddock.model.snapshot import Snapshot
from paddock.store.encoding import record_of, unlike_itself
from paddock.store.journal import Journal, Record
from paddock.store.recent import RecentCommits
from paddock.store.store import MOST_CHANGES, MOST_WAITING
from paddock.world.world import World

MOST_GROUP_COMMITS = 1_024
MOST_GROUP_BYTES = 32 * 2**20
CLOSE_WITHIN_S = 60.0
PAGE = 256
"""Commits a watcher takes from the kept history at once."""


class _Staged(msgspec.Struct, frozen=True, kw_only=True):
    commit: Commit
    record: Record
    after: Snapshot
    waiter: asyncio.Future[Commit]


class JournaledStore:
    """See `Store` for what it promises. Belongs to the event loop it was made in.

    `debug` checks every invariant of the model on every commit: for tests and the simulator.
    """

    def __init__(self, world: World, journal: Journal, *, debug: bool = False) -> None:
        self._world = world
        self._journal = journal
        self._debug = debug
        self._loop = asyncio.get_running_loop()
        self._staged = self._durable = journal.load()
        self._recent = RecentCommits(self._durable.version)
        self._waiting: deque[_Staged] = deque()
        self._group: list[_Staged] = []
        self._kicked = False
        self._broken: Broken | None = None
        self._closed = False
        self._moved = asyncio.Event()
        """Set, and replaced, whenever something becomes durable or the store ends."""

    def snapshot(self) -> Snapshot:
        return self._staged

    def durable(self) -> Snapshot:
        return self._durable

    # Committing

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> Commit:
        self._refuse_if_ended()
        if expected is not None and expected != self._staged.version:
            message = f"the store is at version {self._staged.version}, not {expected}"
            raise Conflict(message, hint="take a new snapshot and decide again")
        if not changes:
            return await self._all_durable()
        return await self._stage(changes).waiter

    def _refuse_if_ended(self) -> None:
        self._raise_if_broken()
        if self._closed:
            raise Refused("the store is closed", hint="this server is shutting down: ask again when it is back")

    def _raise_if_broken(self) -> None:
        if self._broken is not None:
            raise type(self._broken)(self._broken.message, hint=self._broken.hint)

    def _stage(self, changes: Sequence[Change]) -> _Staged:
        if len(self._waiting) >= MOST_WAITING:
            raise Transient(f"{MOST_WAITING} commits wait for the disk already", retry_after_s=0.2)
        if len(changes) > MOST_CHANGES:
            message = f"{len(changes)} changes in one commit; at most {MOST_CHANGES} are taken"
            raise Refused(message, hint="split them into several")
        version = self._staged.version + 1
        after, written = self._staged.changed(changes, version)
        commit = Commit(version=version, at_s=self._world.now_s(), changes=written)
        record = record_of(commit, len(after))
        if self._debug:
            self._check(commit, after)
        staged = _Staged(commit=commit, record=record, after=after, waiter=self._loop.create_future())
        self._staged = after
        self._waiting.append(staged)
        self._kick()
        return staged

    def _check(self, commit: Commit, after: Snapshot) -> None:
        found = [*problems(after), *problems_between(self._staged, after), *unlike_itself(commit.changes)]
        reasons = sorted({change.reason for change in commit.changes})
        assert not found, f"commit {commit.version} ({'; '.join(reasons)}) breaks the model: " + "\n".join(found)

    async def _all_durable(self) -> Commit:
        version = self._staged.version
        while self._durable.version < version:
            moved = self._moved
            self._refuse_if_ended()
            await moved.wait()
        return Commit(version=version, at_s=self._world.now_s(), changes=())

    # Writing behind

    def _kick(self) -> None:
        """Writes on the loop's next turn, so that everything committed in this one goes together."""
        if not self._kicked and not self._group:
            self._kicked = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._kicked = False
        size = 0
        while self._waiting and len(self._group) < MOST_GROUP_COMMITS and size < MOST_GROUP_BYTES:
            self._group.append(self._waiting.popleft())
            size += self._group[-1].record.size
        if self._group:
            self._journal.append([staged.record for staged in self._group]).add_done_callback(self._written)

    def _written(self, appended: asyncio.Future[None]) -> None:
        if self._broken is not None:
            return
        error = asyncio.CancelledError() if appended.cancelled() else appended.exception()
        if error is not None:
            self._break(error)
            return
        for staged in self._group:
            self._recent.add(staged.commit)
            if not staged.waiter.done():
                staged.waiter.set_result(staged.commit)
        self._durable = self._group[-1].after
        if len(self._group) > 1:
            self._world.probe("store: commits grouped")
        self._group = []
        self._wake()
        if self._waiting:
            self._kick()

    def _break(self, error: BaseException) -> None:
        broken = error if isinstance(error, Broken) else Broken(f"the store could not be written: {error!r}")
        self._broken = broken
        self._world.probe("store: broken")
        self._world.log.error("store broken", durable=self._durable.version, lost=self._staged.version, why=str(broken))
        for staged in (*self._group, *self._waiting):
            if not staged.waiter.done():
                staged.waiter.set_exception(broken)
        self._group = []
        self._waiting.clear()
        self._staged = self._durable
        self._wake()

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # Watching

    def watch(self, since: int) -> Watch:
        return Watch(self, since)

    def snapshot_and_watch(self) -> tuple[Snapshot, Watch]:
        return self._durable, Watch(self, self._durable.version)

    async def history(self, since: int, limit: int) -> tuple[Commit, ...]:
        if since > self._staged.version:
            raise TooOld(
                f"version {since} is not of this store, which is at {self._durable.version}",
                hint="it was restored from a backup, perhaps: take a new snapshot",
            )
        recent = self._recent.after(since, limit)
        if recent is not None:
            return tuple(recent)
        if self._closed:
            return ()
        self._world.probe("store: history from disk")
        kept = await self._journal.read(since, limit)
        if not kept or kept[0].version != since + 1:
            oldest = kept[0].version if kept else self._durable.version + 1
            raise TooOld(
                f"the history after version {since} is no longer kept; it goes back to version {oldest - 1}",
                hint="take a new snapshot and go on from its version",
            )
        return kept

    async def next_after(self, since: int) -> tuple[Commit, ...]:
        """For `Watch`: waits until there is something; empty only when the store is closed."""
        while True:
            moved = self._moved
            found = await self.history(since, PAGE)
            if found:
                return found
            self._raise_if_broken()
            if self._closed:
                return ()
            await moved.wait()

    # Keeping and letting go

    async def backup(self, path: Path) -> int:
        self._refuse_if_ended()
        return await self._journal.backup(path)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                while (self._group or self._waiting) and self._broken is None:
                    await self._moved.wait()
        except TimeoutError:
            self._break(Broken(f"the disk did not take what was waiting within {CLOSE_WITHIN_S:.0f} s of closing"))
        finally:
            self._wake()
            await self._journal.close()


class Watch:
    """An iterator over commits as they become durable. Holds nothing that would have to be closed."""

    def __init__(self, store: JournaledStore, since: int) -> None:
        self._store = store
        self._since = since
        self._ahead: deque[Commit] = deque()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Commit:
        if not self._ahead:
            self._ahead.extend(await self._store.next_after(self._since))
        if not self._ahead:
            raise StopAsyncIteration
        commit = self._ahead.popleft()
        self._since = commit.version
        return commit
