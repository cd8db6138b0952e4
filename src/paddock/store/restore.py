"""Putting a backup in a store's place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw

from paddock.model.errors import Broken, NotFound, Refused
from paddock.store.schema import head
from paddock.store.sqlite_file import Copying, beside, explained, finish_restore
from paddock.store.sqlite_log import SqliteLog
from paddock.store.store import HistoryLimits
from paddock.world.disk import Disk, MachineDisk

LEAP = 1_000_000
"""A restored store goes on from a version nobody has seen, so that what others remember of the lost ones is void."""


def restore_sqlite(backup: Path, path: Path, *, disk: Disk | None = None) -> int:
    """Checks `backup` whole, then puts a copy of it at `path`; answers the version it goes on from.

    What was there is kept as `<path>.before-restore`. History is not restored: whoever watched takes a new snapshot.
    Raises `Refused` when a server has the store open, `Broken` when the backup is damaged, `NotFound`.
    """
    on = disk or MachineDisk()
    if not on.exists(backup):
        raise NotFound(f"there is no backup {backup}")
    _refuse_if_open(path, on)
    copy = beside(path, ".restore-copy")
    with explained(copy):
        for suffix in ("", "-wal", "-journal"):
            on.remove(beside(copy, suffix))
    try:
        _copy(backup, copy, on)
        version = _leap(copy, on)
    except Broken as error:
        hint = "the store was left as it was; try an older backup"
        raise Broken(f"the backup {backup} could not be restored: {error.message}", hint=hint) from error
    with explained(path):
        on.replace(copy, beside(path, ".restoring"))
        finish_restore(path, on)
    return version


def _refuse_if_open(path: Path, disk: Disk) -> None:
    """A damaged store cannot be asked for its lock in SQLite's words, but a live one can."""
    if not disk.exists(path):
        return
    with explained(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs or None)
    try:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.pragma("locking_mode", "EXCLUSIVE")
        connection.execute("BEGIN IMMEDIATE; ROLLBACK")
    except apsw.BusyError as error:
        raise Refused(f"a server has the store {path} open", hint="stop it before restoring") from error
    except apsw.Error:
        return
    finally:
        with contextlib.suppress(apsw.Error):
            connection.close()


def _copy(backup: Path, copy: Path, disk: Disk) -> None:
    with explained(backup):
        source = apsw.Connection(str(backup), flags=apsw.SQLITE_OPEN_READWRITE, vfs=disk.vfs or None)
        source.pragma("locking_mode", "EXCLUSIVE")
    with contextlib.closing(source):
        copying = Copying(source, beside(copy, ".partial"), disk)
        try:
            while not copying.step():
                pass
            copying.keep_as(copy)
        finally:
            copying.drop()


def _leap(copy: Path, disk: Disk) -> int:
    """Checks the copy as opening a store does, and gives it its new version; it is one file again afterwards."""
    log = SqliteLog(copy, disk, HistoryLimits())
    with contextlib.closing(log), explained(copy):
        log.load()
        log.connection.pragma("journal_mode", "DELETE")
        log.connection.execute("BEGIN IMMEDIATE; DELETE FROM commits")
        log.connection.execute("UPDATE head SET version = version + ?1, floor = version + ?1; COMMIT", (LEAP,))
        return head(log.connection).version
