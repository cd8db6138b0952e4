"""What lies under a store: a log of commits with the objects they lead to, and no opinion about either."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from paddock.model.changes import Commit
from paddock.model.snapshot import Snapshot


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An object as it is kept; `data` None takes it out."""

    kind: str
    id: str
    version: int
    data: bytes | None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A commit as it is kept. `data` is the whole of it, encoded; `objects` how many there are after it."""

    version: int
    at_s: float
    objects: int
    rows: tuple[Row, ...]
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


class Journal(Protocol):
    """Every failure is raised as `Broken`, in words for the operator; after one, nothing more may be appended."""

    def load(self) -> Snapshot:
        """The view all appended records lead to. Called once, before anything else."""
        ...

    def append(self, records: Sequence[Record]) -> asyncio.Future[None]:
        """All of them or none, durable once the future is done. It gets there without anybody awaiting it."""
        ...

    def read(self, since: int, limit: int) -> asyncio.Future[tuple[Commit, ...]]:
        """The kept commits after `since`, oldest first; the first may be any later one if those before are trimmed."""
        ...

    async def backup(self, path: Path) -> int: ...

    async def close(self) -> None: ...
