"""A SQLite file as a log of commits and the objects they lead to: blocking, and for one thread at a time.

WAL, and a sync for every group of commits. The lock is exclusive: that needs no shared memory, is faster, and makes a
second process see at once that it is second. SQLite's own checks cover its trees; a checksum per row covers what is in
them.
"""

from __future__ import annotations

import contextlib
import gc
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw

from paddock.model.changes import Commit
from paddock.model.objects import AnyObject
from paddock.model.snapshot import Snapshot
from paddock.store.encoding import ObjectReader, commit_checksum, decode_commit, row_checksum
from paddock.store.journal import Record, Row
from paddock.store.schema import Head, head
from paddock.store.sqlite_file import damaged, explained, open_file
from paddock.store.store import HistoryLimits
from paddock.world.disk import Disk

READ_BYTES = 16 * 2**20
"""Of history decoded for one read, unless a single commit is larger."""

_PUT = (
    "INSERT INTO objects VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET"
    " version = excluded.version, data = excluded.data, checksum = excluded.checksum"
)
_DELETE = "DELETE FROM objects WHERE kind = ? AND id = ?"
_HEAD = "UPDATE head SET version = ?, objects = ?, floor = max(floor, ?)"
_LOG = "INSERT INTO commits VALUES (?, ?, ?, ?, ?)"


class SqliteLog:
    """Opens, and makes if need be, the file; raises as `open_file` does. After a `Broken`, only `close` is of use."""

    def __init__(self, path: Path, disk: Disk, limits: HistoryLimits) -> None:
        self._path = path
        self._limits = limits
        self._kept: deque[tuple[int, float, int]] = deque()
        """(version, at_s, size) of every commit in the file, oldest first."""
        self._kept_bytes = 0
        self.connection = open_file(path, disk)

    # Reading

    def load(self) -> Snapshot:
        with explained(self._path), _without_gc():
            newest = head(self.connection)
            self._load_history(newest)
            objects = list(self._objects(newest.version))
            if len(objects) != newest.objects:
                raise damaged(self._path, f"{len(objects)} objects are there, not {newest.objects}")
            return Snapshot.of(objects, newest.version)

    def _objects(self, newest: int) -> Iterator[AnyObject]:
        reader = ObjectReader()
        for kind, id, version, data, checksum in self.connection.execute("SELECT * FROM objects"):
            if row_checksum(kind, id, version, data) != checksum or version > newest:
                raise damaged(self._path, f"{kind} {id} is not what was written")
            yield reader.decode(data)

    def _load_history(self, newest: Head) -> None:
        rows = self.connection.execute("SELECT version, at_s, size, data, checksum FROM commits ORDER BY version")
        expected = newest.floor
        for version, at_s, size, data, checksum in rows:
            expected += 1
            if version != expected or commit_checksum(version, at_s, data) != checksum:
                raise damaged(self._path, f"commit {expected} is not what was written")
            self._keep(version, at_s, size)
        if expected != newest.version:
            raise damaged(self._path, f"commits {expected + 1} to {newest.version} are missing")

    def read(self, since: int, limit: int) -> tuple[Commit, ...]:
        query = "SELECT version, at_s, data, checksum FROM commits WHERE version > ? ORDER BY version LIMIT ?"
        found: list[Commit] = []
        size = 0
        with explained(self._path):
            for version, at_s, data, checksum in self.connection.execute(query, (since, limit)):
                if commit_checksum(version, at_s, data) != checksum:
                    raise damaged(self._path, f"commit {version} is not what was written")
                found.append(decode_commit(data))
                size += len(data)
                if size > READ_BYTES:
                    break
        return tuple(found)

    # Writing

    def append(self, records: Sequence[Record]) -> None:
        rows = {(row.kind, row.id): row for record in records for row in record.rows}
        for record in records:
            self._keep(record.version, record.at_s, record.size)
        floor = self._trim()
        with explained(self._path):
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.executemany(_PUT, [row for row in map(_stored, rows.values()) if row is not None])
            self.connection.executemany(_DELETE, [(row.kind, row.id) for row in rows.values() if row.data is None])
            self.connection.executemany(_LOG, [_logged(record) for record in records])
            self.connection.execute("DELETE FROM commits WHERE version <= ?", (floor,))
            newest = records[-1]
            self.connection.execute(_HEAD, (newest.version, newest.objects, floor))
            self.connection.execute("COMMIT")

    def _keep(self, version: int, at_s: float, size: int) -> None:
        self._kept.append((version, at_s, size))
        self._kept_bytes += size

    def _trim(self) -> int:
        """Forgets what is beyond the limits; answers the newest version forgotten."""
        oldest_s = self._kept[-1][1] - self._limits.age_s
        floor = 0
        while len(self._kept) > 1 and (
            len(self._kept) > self._limits.commits
            or self._kept_bytes > self._limits.total_bytes
            or self._kept[0][1] < oldest_s
        ):
            floor, _, size = self._kept.popleft()
            self._kept_bytes -= size
        return floor

    def close(self) -> None:
        # What was acknowledged is in the file or its log already; tidying up between them may fail.
        with contextlib.suppress(apsw.Error):
            self.connection.close()


def _stored(row: Row) -> tuple[str, str, int, bytes, int] | None:
    if row.data is None:
        return None
    return row.kind, row.id, row.version, row.data, row_checksum(row.kind, row.id, row.version, row.data)


def _logged(record: Record) -> tuple[int, float, int, bytes, int]:
    check = commit_checksum(record.version, record.at_s, record.data)
    return record.version, record.at_s, record.size, record.data, check


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """A million objects are made and none is garbage: looking for it takes longer than making them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
