"""A disk in memory that loses what was never synced, breaks when told to, and is full when it says so.

It is a SQLite VFS (WAL needs `locking_mode=EXCLUSIVE` here: there is no shared memory) and a `paddock.world.disk.Disk`.
Operations that change something are counted; a fault hits one of them by its number. After `cut_power` nothing works
until `restart`, which decides from the seed what became of every write since its file's last sync: kept, lost, or torn
at a sector's boundary. A file's name is as durable as its first sync; a removal or a rename only when synced.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import apsw

SECTOR = 512
_names = itertools.count(1)


class PowerCut(apsw.IOError):
    """The machine is off. An `apsw.IOError`, so that SQLite sees a disk that does not answer."""


class _Content:
    """One file: what is read back now, what is durable, and the changes in between."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []
        """(offset, data) of a write, (size, None) of a truncation; in order."""
        self.named = False
        """The directory durably knows it."""

    def write(self, offset: int, data: bytes) -> None:
        _write(self.now, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        _truncate(self.now, size)
        self.pending.append((size, None))

    def sync(self) -> None:
        self.durable = bytearray(self.now)
        self.pending.clear()
        self.named = True

    def crash(self, chance: random.Random) -> None:
        for offset, data in self.pending:
            fate = chance.random()
            if data is None:
                if fate < 0.5:
                    _truncate(self.durable, offset)
            elif fate < 0.4:
                _write(self.durable, offset, data)
            elif fate < 0.6:
                kept = chance.randrange(len(data) // SECTOR + 1) * SECTOR
                _write(self.durable, offset, data[:kept])
        self.pending.clear()
        self.now = bytearray(self.durable)


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _truncate(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


class SimulatedDisk:
    """`capacity_bytes` 0 means without end. `fail_at` and `cut_at` count from the next operation, which is 1."""

    blocks = False

    def __init__(self, seed: int = 0, *, capacity_bytes: int = 0) -> None:
        self.vfs = f"simulated-{next(_names)}"
        self.capacity_bytes = capacity_bytes
        self.ignores_syncs = False
        """As cheap disks do: it says it has synced, and has not."""
        self.operations: list[str] = []
        """What was done since `restart` or `arm`, in words: `write paddock.db-wal`."""
        self._chance = random.Random(seed)
        self._files: dict[str, _Content] = {}
        self._removed: dict[str, _Content] = {}
        """Durable names whose removal is not durable yet."""
        self._locks: dict[str, tuple[int, int]] = {}
        """path -> (the file that holds it, level)"""
        self._off = False
        self._fail_at = 0
        self._cut_at = 0
        self.epoch = 0
        """Files opened in an earlier one belong to a process that is dead."""
        self.on_cut: Callable[[], None] = lambda: None
        """Called at once when an armed cut is reached: whoever wrote is to do nothing more."""
        self._registered = _Vfs(self)

    # Faults

    def arm(self, *, fail_at: int = 0, cut_at: int = 0) -> None:
        """The `fail_at`th operation from now on fails, once; before the `cut_at`th one the power goes."""
        self.operations.clear()
        self._fail_at, self._cut_at = fail_at, cut_at

    @property
    def spent(self) -> bool:
        """Whether the armed fault was reached."""
        return 0 < max(self._fail_at, self._cut_at) <= len(self.operations)

    def cut_power(self) -> None:
        self._off = True

    def abandon(self) -> None:
        """The process that wrote here is dead, the machine is not: all it wrote is there, synced or not."""
        self.epoch += 1
        self._locks.clear()
        self._off = self.ignores_syncs = False
        self.arm()

    def restart(self) -> None:
        """Comes back with what survived, and with no fault armed."""
        self.epoch += 1
        for path in sorted(self._removed):
            if path not in self._files and self._chance.random() < 0.5:
                self._files[path] = self._removed[path]
        self._removed.clear()
        for path in sorted(self._files):
            content = self._files[path]
            content.crash(self._chance)
            if not content.named and self._chance.random() < 0.5:
                del self._files[path]
        self._locks.clear()
        self._off = self.ignores_syncs = False
        self.arm()

    def fill(self, room_bytes: int) -> None:
        """Only so much more goes on it, until `capacity_bytes` is 0 again."""
        self.capacity_bytes = room_bytes + sum(len(content.now) for content in self._files.values())

    def wipe(self) -> None:
        """Every file is deleted, and durably."""
        self._files.clear()
        self._removed.clear()

    def copy(self, seed: int) -> SimulatedDisk:
        """Another disk with the same files, as they are now."""
        other = SimulatedDisk(seed, capacity_bytes=self.capacity_bytes)
        for path, content in self._files.items():
            copied = _Content()
            copied.write(0, bytes(content.now))
            copied.sync()
            other._files[path] = copied
        return other

    def damage(self, path: Path, offset: int, mask: int = 0xFF) -> None:
        """Flips bits of one byte, durably."""
        content = self._files[str(path)]
        content.now[offset] ^= mask
        content.sync()

    def count(self, what: str) -> None:
        """Every changing operation passes here first."""
        if self._off:
            raise PowerCut("the power is off")
        self.operations.append(what)
        number = len(self.operations)
        if number == self._cut_at:
            self._off = True
            self.on_cut()
            raise PowerCut(f"the power went before operation {number}: {what}")
        if number == self._fail_at:
            raise apsw.IOError(f"operation {number} failed: {what}")

    def check_power(self) -> None:
        if self._off:
            raise PowerCut("the power is off")

    def check_room(self, path: str, end: int) -> None:
        if not self.capacity_bytes:
            return
        others = sum(len(content.now) for name, content in self._files.items() if name != path)
        if others + max(end, len(self._files[path].now)) > self.capacity_bytes:
            raise apsw.FullError("no space left on the simulated disk")

    # Files, as `Disk` and the VFS need them

    def exists(self, path: Path) -> bool:
        self.check_power()
        return str(path) in self._files

    def size(self, path: Path) -> int:
        self.check_power()
        return len(self._files[str(path)].now)

    def make_private(self, path: Path) -> None:
        self.check_power()

    def replace(self, source: Path, target: Path) -> None:
        self.count(f"rename {source.name} {target.name}")
        self._files[str(target)] = self._files.pop(str(source))
        self._files[str(target)].named = True

    def sync(self, path: Path) -> None:
        if str(path) in self._files:
            self.count(f"sync {path.name}")
            if not self.ignores_syncs:
                self._files[str(path)].sync()

    def remove(self, path: Path) -> None:
        if str(path) in self._files:
            self.take_out(str(path), durably=False)

    def take_out(self, path: str, *, durably: bool) -> None:
        self.count(f"delete {Path(path).name}")
        content = self._files.pop(path)
        if content.named and not durably:
            self._removed[path] = content
        if durably:
            self._removed.pop(path, None)

    def opened(self, path: str, *, create: bool) -> _Content:
        self.check_power()
        if path not in self._files:
            if not create:
                raise apsw.CantOpenError(f"{path} does not exist")
            self.count(f"create {Path(path).name}")
            self._files[path] = _Content()
        return self._files[path]

    def lock(self, path: str, owner: int, level: int) -> None:
        """One opener at a time: all this disk's files are opened with the exclusive mode."""
        held = self._locks.get(path)
        if held is not None and held[0] != owner:
            raise apsw.BusyError("locked by another opener")
        self._locks[path] = (owner, level)

    def unlock(self, path: str, owner: int, level: int) -> None:
        if self._locks.get(path, (0, 0))[0] != owner:
            return
        if level == apsw.SQLITE_LOCK_NONE:
            del self._locks[path]
        else:
            self._locks[path] = (owner, level)

    def close(self) -> None:
        self._registered.unregister()


class _Vfs(apsw.VFS):
    """Files come from the simulated disk; chance and sleep do not exist."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk
        self._openers = itertools.count(1)
        super().__init__(disk.vfs, base="", maxpathname=1024)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # type: ignore[override]
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        unnamed = path is None
        if path is None:
            path = f"/temporary-{next(_names)}"
        create = unnamed or bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
        flags[1] = flags[0]
        return _File(self._disk, path, self._disk.opened(path, create=create), next(self._openers))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        if not self._disk.exists(Path(filename)):
            raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT)
        self._disk.take_out(filename, durably=syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:
        return self._disk.exists(Path(pathname))

    def xFullPathname(self, name: str) -> str:
        return name

    def xRandomness(self, numbytes: int) -> bytes:
        return bytes(numbytes)

    def xSleep(self, microseconds: int) -> int:
        return microseconds

    def xCurrentTime(self) -> float:
        return 2_460_000.5

    def xCurrentTimeInt64(self) -> int:
        return int(2_460_000.5 * 86_400_000)

    def xGetLastError(self) -> tuple[int, str]:
        return 0, ""


class _File:
    """What SQLite asks of an open file. Reads past the end answer short, as they must."""

    def __init__(self, disk: SimulatedDisk, path: str, content: _Content, opener: int) -> None:
        self._disk = disk
        self._path = path
        self._name = Path(path).name
        self._content = content
        self._opener = opener
        self._epoch = disk.epoch
        self._level = apsw.SQLITE_LOCK_NONE

    def _check(self) -> None:
        self._disk.check_power()
        if self._epoch != self._disk.epoch:
            raise PowerCut("the process that opened this is dead")

    def xRead(self, amount: int, offset: int) -> bytes:
        self._check()
        return bytes(self._content.now[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        self._check()
        self._disk.check_room(self._path, offset + len(data))
        self._count_or(f"write {self._name}", lambda: self._content.write(offset, bytes(data[: len(data) // 2])))
        self._content.write(offset, bytes(data))

    def _count_or(self, what: str, spoil: Callable[[], None]) -> None:
        """A write that fails has been done in part."""
        try:
            self._disk.count(what)
        except apsw.Error:
            spoil()
            raise

    def xTruncate(self, newsize: int) -> None:
        self._check()
        self._disk.count(f"truncate {self._name}")
        self._content.truncate(newsize)

    def xSync(self, flags: int) -> None:
        self._check()
        self._disk.count(f"sync {self._name}")
        if not self._disk.ignores_syncs:
            self._content.sync()

    def xFileSize(self) -> int:
        self._check()
        return len(self._content.now)

    def xLock(self, level: int) -> None:
        self._check()
        self._disk.lock(self._path, self._opener, level)
        self._level = max(self._level, level)

    def xUnlock(self, level: int) -> None:
        self._disk.unlock(self._path, self._opener, level)
        self._level = level

    def xCheckReservedLock(self) -> bool:
        return self._level >= apsw.SQLITE_LOCK_RESERVED

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return 0

    def xClose(self) -> None:
        self._disk.unlock(self._path, self._opener, apsw.SQLITE_LOCK_NONE)
