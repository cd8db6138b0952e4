"""Opening, copying and judging a store's SQLite file, and saying in the operator's words what went wrong with it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec

from paddock.model.errors import Broken, Full, Refused
from paddock.store.schema import bring_up_to_date, create, damage, head
from paddock.world.disk import Disk

CACHE_KIB = 32_768
CHECKPOINT_PAGES = 1_000
"""Of the log, written back to the file by the commit that makes it longer; SQLite's own default."""
FULL_HINT = "free some space: nothing acknowledged is lost, and the server goes on once it is started again"
COPIED_PAGES = 2_048
"""Copied at once; commits go in between."""


def restore_hint(path: Path) -> str:
    return f"restore it from a backup: paddock server restore BACKUP (the damaged file is kept beside {path.name})"


def damaged(path: Path, what: str) -> Broken:
    return Broken(f"the store {path} is damaged: {what}", hint=restore_hint(path))


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns what SQLite raises into `Broken`, or `Refused` where another process is in the way."""
    try:
        yield
    except apsw.FullError as error:
        raise Full(f"the disk is full: {path} could not be written ({error})", hint=FULL_HINT) from error
    except apsw.BusyError as error:
        hint = "one server per data directory: stop the other one, or give this one a directory of its own"
        raise Refused(f"another process has the store {path} open", hint=hint) from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError, msgspec.MsgspecError) as error:
        raise damaged(path, str(error)) from error
    except (apsw.Error, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Full(f"the disk is full: {path} could not be written ({error})", hint=FULL_HINT) from error
        hint = "look after the disk, then start the server again: nothing acknowledged is lost"
        raise Broken(f"the store {path} could not be read or written: {error}", hint=hint) from error


def open_file(path: Path, disk: Disk) -> apsw.Connection:
    """The one connection to it; made first if nothing is there. Raises `Broken`, `Refused`.

    Its log is synced before anything is read: a process that died within a commit may have left it written and not
    synced, and what we load and tell others must not be gone after a power failure. The simulated disk found that.
    """
    with explained(path):
        finish_restore(path, disk)
        if not disk.exists(path):
            _make(path, disk)
        elif disk.size(path) == 0:
            raise damaged(path, "the file is empty")
        connection = _connect(path, disk, apsw.SQLITE_OPEN_READWRITE)
        with closed_on_error(connection):
            own(connection)
            disk.sync(beside(path, "-wal"))
            bring_up_to_date(connection, str(path))
            if found := damage(connection):
                raise damaged(path, "; ".join(found))
    return connection


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def finish_restore(path: Path, disk: Disk) -> None:
    """Puts `<path>.restoring`, whole and checked, in place; what was there becomes `<path>.before-restore`.

    Can be cut short anywhere and done again: the file is moved before its logs, and the new one comes last.
    """
    new, old = beside(path, ".restoring"), beside(path, ".before-restore")
    if not disk.exists(new):
        return
    if disk.exists(path):
        for suffix in ("-wal", "-journal"):
            disk.remove(beside(old, suffix))
        disk.replace(path, old)
    for suffix in ("-wal", "-journal"):
        if disk.exists(beside(path, suffix)):
            disk.replace(beside(path, suffix), beside(old, suffix))
    disk.replace(new, path)


def _make(path: Path, disk: Disk) -> None:
    """Under another name until it is whole: an empty file of this name is always damage, never a start."""
    log = beside(path, "-wal")
    if disk.exists(log):
        raise damaged(path, f"it is gone, but its log {log.name} is here")
    new = beside(path, ".new")
    for name in (new, beside(new, "-journal")):
        disk.remove(name)
    with contextlib.closing(_connect_new(new, disk)) as connection:
        connection.pragma("synchronous", "EXTRA")
        create(connection)
    disk.replace(new, path)


def _connect(path: Path, disk: Disk, flags: int) -> apsw.Connection:
    return apsw.Connection(str(path), flags=flags, vfs=disk.vfs or None, statementcachesize=32)


def _connect_new(path: Path, disk: Disk) -> apsw.Connection:
    """Private before anything is in it; SQLite gives its logs the same mode."""
    connection = _connect(path, disk, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    with closed_on_error(connection):
        disk.make_private(path)
    return connection


def own(connection: apsw.Connection) -> None:
    """Takes the file for this connection alone, and makes every commit durable.

    EXTRA rather than FULL, which is the same in WAL mode but not on the way there: a rollback journal whose removal
    the disk forgot would undo what was written since. The simulated disk found that.
    """
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.pragma("cell_size_check", True)
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("synchronous", "EXTRA")
    connection.pragma("journal_mode", "WAL")
    connection.pragma("wal_autocheckpoint", CHECKPOINT_PAGES)


@contextlib.contextmanager
def closed_on_error(connection: apsw.Connection) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        stack.callback(connection.close)
        yield
        stack.pop_all()


class Copying:
    """A consistent copy of an open store, a few pages at a time; what is committed meanwhile is in it too."""

    def __init__(self, source: apsw.Connection, partial: Path, disk: Disk) -> None:
        self._partial = partial
        self._disk = disk
        with explained(partial):
            self._remove()
            self._target = _connect_new(partial, disk)
            with closed_on_error(self._target):
                self._backup = self._target.backup("main", source, "main")

    def step(self) -> bool:
        """True when all is copied."""
        with explained(self._partial):
            return bool(self._backup.step(COPIED_PAGES))

    def keep_as(self, path: Path) -> int:
        """Names the copy `path`, once it is durable and one file; answers its version."""
        with explained(self._partial):
            self._backup.finish()
            self._target.pragma("locking_mode", "EXCLUSIVE")
            self._target.pragma("synchronous", "EXTRA")
            self._target.pragma("journal_mode", "DELETE")
            version = head(self._target).version
            self._target.close()
            self._disk.replace(self._partial, path)
        return version

    def drop(self) -> None:
        """Whatever is left of an unfinished copy goes."""
        with contextlib.suppress(apsw.Error, OSError):
            self._backup.close(True)
            self._target.close(True)
            self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal"):
            self._disk.remove(beside(self._partial, suffix))
