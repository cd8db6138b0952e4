"""What this host must hold and how far each unit has come, durable in one SQLite file.

It is all an agent needs to go on by itself: after a restart, a power failure, or without its server. Secrets are sealed
with a key beside the file (`ledger.key`, mode 0600), so that a copied or backed up ledger does not give them away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import apsw
import msgspec
from msgspec.structs import replace

from paddock.agent.ledger_formats import FORMAT, items_of_format_1
from paddock.agent.sealing import Sealing
from paddock.core.lifecycle import take_over
from paddock.model.assignment import AnyItem, Assignment, FileAssignment, NetworkAssignment, UnitAssignment, key_of
from paddock.model.errors import Broken, Transient
from paddock.model.objects import NetworkId, UnitDesired, UnitId
from paddock.model.observed import Progress
from paddock.wire.messages import Assign
from paddock.world.disk import Disk, MachineDisk

BUSY_TIMEOUT_MS = 5000
PAGES_TO_CHECKPOINT = 4000
"""16 MiB of log before SQLite itself, within a write, waits for the disk."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaving (unit TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (unit TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
_encode = msgspec.json.Encoder().encode
_decode_item = msgspec.json.Decoder(AnyItem).decode
_decode_unit = msgspec.json.Decoder(UnitAssignment).decode
_decode_progress = msgspec.json.Decoder(Progress).decode


class Gap(Exception):
    """An assignment is the difference to a version this ledger does not hold."""


class Ledger:
    """`items` is the assignment at `version`; 0: none was ever confirmed. `assigned` and `networks` are parts of it.

    `leaving`: units dropped from it whose containers may still be here. `disk`: another one where faults are tried.
    """

    def __init__(self, path: Path, sealing: Sealing, disk: Disk | None = None) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._sealing = sealing
        self.items: Assignment = {}
        self.assigned: dict[UnitId, UnitAssignment] = {}
        self.networks: dict[NetworkId, NetworkAssignment] = {}
        self.leaving: dict[UnitId, UnitAssignment] = {}
        self.progress: dict[UnitId, Progress] = {}
        self.version = 0
        self.last_session = 0
        self._disk = disk or MachineDisk()
        try:
            self._open(self._disk)
        except (apsw.CorruptError, apsw.NotADBError, msgspec.DecodeError) as error:
            raise Broken(
                f"the agent's ledger {path} is damaged: {error}",
                hint="move the file away and start the agent again: the server tells it its assignment anew, and it "
                "finds its containers by their labels",
            ) from error
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError, apsw.FullError, OSError) as error:
            raise self._unwritable(error) from error

    # Reading

    def unit(self, unit: UnitId) -> UnitAssignment | None:
        """What is wished of a unit, also of one that has been dropped and has to go."""
        return self.assigned.get(unit) or self.leaving.get(unit)

    def units(self) -> tuple[UnitId, ...]:
        return (*self.assigned, *self.leaving)

    def progress_of(self, unit: UnitId) -> Progress:
        return self.progress.get(unit, Progress())

    # Writing

    def apply(self, assign: Assign) -> tuple[str, ...]:
        """Makes `assign` the assignment, all of it or nothing; the keys that changed. Stale ones change nothing.

        Only `sync` makes it last. Raises `Gap` when it does not follow on what is held, `Transient` when the disk does
        not take it.
        """
        if assign.version <= self.version and not assign.whole:
            return ()
        if not assign.whole and assign.since > self.version:
            raise Gap(f"the assignment goes from version {assign.since}, the ledger holds {self.version}")
        plan = _Plan(self, assign)
        self._write(plan.statements(self._sealed))
        self.items, self.leaving, self.version = plan.items, plan.leaving, assign.version
        self.progress.update(plan.progress)
        self._index()
        return plan.changed

    async def sync(self) -> None:
        """What was applied survives a power failure once this returns. Raises `Transient`.

        The loop goes on meanwhile: a disk that is busy for ten seconds must not keep us from saying that we live.
        """
        try:
            if self._disk.blocks:
                await asyncio.to_thread(self._disk.sync, self._log)
            else:
                self._disk.sync(self._log)
        except (OSError, apsw.IOError) as error:
            raise self._unwritable(error) from error

    def record(self, unit: UnitId, progress: Progress) -> None:
        self._write([("REPLACE INTO progress VALUES (?, ?)", (unit, _encode(progress)))])
        self.progress[unit] = progress

    def leave(self, unit: UnitId) -> None:
        """A unit found on the engine that is in no assignment: its containers have to go."""
        item = UnitAssignment(unit=unit, desired=UnitDesired.REMOVED)
        self._write([("REPLACE INTO leaving VALUES (?, ?)", (unit, _encode(item)))])
        self.leaving[unit] = item

    def forget(self, unit: UnitId) -> None:
        """A unit that was dropped and has nothing here any more."""
        statements = [(f"DELETE FROM {table} WHERE unit = ?", (unit,)) for table in ("leaving", "progress")]
        self._write(statements)
        self.leaving.pop(unit, None)
        self.progress.pop(unit, None)

    def set_session(self, session: int) -> None:
        self._write([("REPLACE INTO meta VALUES ('last_session', ?)", (str(session),))])
        self.last_session = session

    def close(self) -> None:
        self._database.close()

    # Parts

    def _open(self, disk: Disk) -> None:
        self._database = apsw.Connection(str(self._path), vfs=disk.vfs or None)
        disk.make_private(self._path)
        self._database.set_busy_timeout(BUSY_TIMEOUT_MS)
        if disk.vfs:
            # Shared memory is more than other disks than the machine's can do, and one agent has the ledger anyway.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        # It is first written with a rollback journal, whose removal the disk may forget: that would undo everything.
        self._database.execute("PRAGMA synchronous = EXTRA")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(f"PRAGMA wal_autocheckpoint = {PAGES_TO_CHECKPOINT}")
        self._database.execute(_SCHEMA)
        meta = dict(self._database.execute("SELECT key, value FROM meta"))
        found = int(meta.get("format", FORMAT))
        if found > FORMAT:
            raise Broken(
                f"the agent's ledger {self._path} was written by a newer Paddock (format {found})",
                hint="install that version again, or move the file away",
            )
        if found < FORMAT:
            self._bring_up_to_date()
        self._database.execute("REPLACE INTO meta VALUES ('format', ?)", (str(FORMAT),))
        # An agent killed between applying and syncing left what only looks kept, and what is here is acted upon.
        disk.sync(self._log)
        self.version = int(meta.get("version", 0))
        self.last_session = int(meta.get("last_session", 0))
        for key, body in self._database.execute("SELECT key, body FROM items"):
            self.items[key] = self._opened(_decode_item(body))
        for unit, body in self._database.execute("SELECT unit, body FROM leaving"):
            self.leaving[UnitId(unit)] = _decode_unit(body)
        for unit, body in self._database.execute("SELECT unit, body FROM progress"):
            self.progress[UnitId(unit)] = _decode_progress(body)
        self._index()

    def _bring_up_to_date(self) -> None:
        """All of it or nothing: a power failure in between finds the older form again."""
        items = items_of_format_1(dict(self._database.execute("SELECT key, body FROM items WHERE key LIKE 'name/%'")))
        self._write(
            [
                ("DELETE FROM items WHERE key LIKE 'name/%'", ()),
                *(("REPLACE INTO items VALUES (?, ?)", (key, _encode(item))) for key, item in items.items()),
                ("REPLACE INTO meta VALUES ('format', ?)", (str(FORMAT),)),
            ]
        )

    def _index(self) -> None:
        """Most of a large assignment is peers and names; keepers look at units and networks at every turn."""
        items = self.items.values()
        self.assigned = {item.unit: item for item in items if isinstance(item, UnitAssignment)}
        self.networks = {item.network: item for item in items if isinstance(item, NetworkAssignment)}

    def _write(self, statements: Iterable[tuple[str, tuple[object, ...]]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            for sql, bindings in statements:
                self._database.execute(sql, bindings)
            self._database.execute("COMMIT")
        except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.BusyError, apsw.CantOpenError) as error:
            raise self._unwritable(error) from error
        finally:
            # A full disk has SQLite roll back by itself, other faults leave that to us.
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def _unwritable(self, error: Exception) -> Transient:
        return Transient(
            f"the agent's ledger {self._path} cannot be written: {error}",
            hint=f"make room or mend the disk under {self._path.parent}; what runs goes on running",
        )

    def _sealed(self, item: AnyItem) -> bytes:
        if isinstance(item, FileAssignment) and item.purpose == "secret":
            return _encode(replace(item, content=self._sealing.seal(item.content)))
        return _encode(item)

    def _opened(self, item: AnyItem) -> AnyItem:
        if isinstance(item, FileAssignment) and item.purpose == "secret":
            return replace(item, content=self._sealing.open(item.content))
        return item


class _Plan:
    """What applying one `Assign` to a ledger would make of it."""

    def __init__(self, ledger: Ledger, assign: Assign) -> None:
        put = {key_of(item): item for item in assign.items}
        gone = [key for key in ledger.items if key not in put] if assign.whole else assign.dropped
        self.version = assign.version
        self.gone = tuple(key for key in gone if key in ledger.items)
        self.put = {key: item for key, item in put.items() if ledger.items.get(key) != item}
        self.items = {key: item for key, item in ledger.items.items() if key not in self.gone} | self.put
        self.changed = (*self.put, *self.gone)
        self.progress = self._taken_over(ledger)
        self._leave(ledger)

    def _taken_over(self, ledger: Ledger) -> dict[UnitId, Progress]:
        changed: dict[UnitId, Progress] = {}
        for item in self.put.values():
            if not isinstance(item, UnitAssignment) or item.reuses is None or item.unit in ledger.progress:
                continue
            older = changed.get(item.reuses) or ledger.progress.get(item.reuses)
            if older is not None and older.owned:
                changed[item.unit], changed[item.reuses] = take_over(item, older)
        return changed

    def _leave(self, ledger: Ledger) -> None:
        dropped = [item for key in self.gone if isinstance(item := ledger.items[key], UnitAssignment)]
        self.left = {item.unit: replace(item, desired=UnitDesired.REMOVED) for item in dropped}
        self.back = [unit for unit in ledger.leaving if f"unit/{unit}" in self.put]
        kept = {unit: item for unit, item in ledger.leaving.items() if unit not in self.back}
        self.leaving = kept | self.left

    def statements(self, sealed: object) -> list[tuple[str, tuple[object, ...]]]:
        assert callable(sealed)
        return [
            *(("DELETE FROM items WHERE key = ?", (key,)) for key in self.gone),
            *(("REPLACE INTO items VALUES (?, ?)", (key, sealed(item))) for key, item in self.put.items()),
            *(("REPLACE INTO leaving VALUES (?, ?)", (unit, _encode(item))) for unit, item in self.left.items()),
            *(("DELETE FROM leaving WHERE unit = ?", (unit,)) for unit in self.back),
            *(("REPLACE INTO progress VALUES (?, ?)", (unit, _encode(p))) for unit, p in self.progress.items()),
            ("REPLACE INTO meta VALUES ('version', ?)", (str(self.version),)),
        ]
