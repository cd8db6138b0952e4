"""What every store promises, whatever keeps it: SQLite in one process, or PostgreSQL under several servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from paddock.model.changes import Change, Commit
from paddock.model.snapshot import Snapshot

MOST_CHANGES = 100_000
"""In one commit; more is refused before anything is staged."""
MOST_COMMIT_BYTES = 256 * 2**20
"""Encoded; likewise."""
MOST_WAITING = 8_192
"""Commits staged and not yet durable; one more is refused as `Transient`."""


class HistoryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest commits go as soon as any of these is passed; the newest one always stays."""

    commits: int = 20_000
    age_s: float = 7 * 86_400.0
    total_bytes: int = 256 * 2**20


class Store(Protocol):
    """Versions count commits: each is the one before plus one, in the order in which they were staged.

    A store that could not write what it had staged is broken for good: every waiting and later commit raises `Broken`,
    the views fall back to what is durable, and only opening it again helps. Watches and history never show what is not
    durable. On a follower of several servers `commit` raises `Transient`: ask the leader.
    """

    def snapshot(self) -> Snapshot:
        """The newest view, including commits whose durability is still awaited: what decisions are made from."""
        ...

    def durable(self) -> Snapshot:
        """The newest view of which nothing can be lost any more: what may be told to others."""
        ...

    async def commit(self, changes: Sequence[Change], *, expected: int | None = None) -> Commit:
        """All of `changes` or none; returns when durable.

        Staged before the first suspension: "snapshot, decide, commit" without an await in between cannot conflict.
        Raises `Conflict` if an object, or with `expected` the whole store, is at another version; `Transient` when too
        many wait; `Refused` when it is too large or the store is closed; `Broken`. A caller that is cancelled does not
        take its commit back. No changes: nothing is written, and it returns when all staged before are durable.
        """
        ...

    def watch(self, since: int) -> AsyncIterator[Commit]:
        """Every durable commit after version `since`, in order, without a gap, until the store is closed.

        A watcher holds no buffer: one that is slow reads from the kept history, and gets `TooOld` once what it needs
        next is no longer kept, or was never here. Raises `Broken` after the last durable commit of a broken store.
        """
        ...

    def snapshot_and_watch(self) -> tuple[Snapshot, AsyncIterator[Commit]]:
        """A durable view and what follows it, with nothing missed between."""
        ...

    async def history(self, since: int, limit: int) -> tuple[Commit, ...]:
        """At most `limit` durable commits after `since`, oldest first. Raises `TooOld` as `watch` does."""
        ...

    async def backup(self, path: Path) -> int:
        """Writes a consistent copy to `path` while commits go on, and returns its version. Replaces an older copy."""
        ...

    async def close(self) -> None:
        """Waits for what is staged, then lets go of everything. Watches end. Closing twice is fine."""
        ...
