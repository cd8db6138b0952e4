"""Secrets and configs as files, on memory only, bound read-only into containers.

A file's path follows from what it is (content, owner, mode), not from who uses it: a container that is started again
for a later unit, or after the machine was off, finds the very path it was made with.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from paddock.drivers.engine import StepRefused
from paddock.model.assignment import ContainerAssignment, FileAssignment, FilePlacement
from paddock.model.errors import Refused, Transient
from paddock.model.objects import FileId

DEFAULT_ROOT = "/run/paddock/files"
_TMPFS_OPTIONS = b"mode=0700,size=256m"

FileOf = Callable[[FileId], FileAssignment | None]


class FileKeeper(Protocol):
    def place(self, container: ContainerAssignment, file_of: FileOf) -> dict[str, str]:
        """Source -> target of every file of the container, all of them there. Raises `StepRefused`, `Transient`."""
        ...

    def tidy(self, containers: Iterable[ContainerAssignment], file_of: FileOf) -> None:
        """Removes what none of `containers` uses."""
        ...


class Files:
    """`root` is made, mode 0700, and mounted as tmpfs when it is not on one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not on_tmpfs(self._root):
            _mount_tmpfs(self._root)
        os.chmod(self._root, 0o700)

    def place(self, container: ContainerAssignment, file_of: FileOf) -> dict[str, str]:
        binds: dict[str, str] = {}
        for placement in container.files:
            file = file_of(placement.file)
            if file is None:
                raise Transient(f"{container.name} waits for {placement.purpose} {placement.file}")
            path = self._root / _name(file, placement)
            self._write(path, file.content, placement)
            binds[str(path)] = placement.target
        return binds

    def tidy(self, containers: Iterable[ContainerAssignment], file_of: FileOf) -> None:
        wanted = {
            _name(file, placement)
            for container in containers
            for placement in container.files
            if (file := file_of(placement.file)) is not None
        }
        for path in sorted(self._root.iterdir()):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes, placement: FilePlacement) -> None:
        uid, gid = _number(placement.uid, placement), _number(placement.gid, placement)
        temporary = path.with_name(f"{path.name}.new")
        try:
            found = path.stat() if path.exists() else None
            owned = found is not None and (found.st_uid, found.st_gid) == (uid, gid)
            if found and owned and found.st_mode & 0o7777 == placement.mode and path.read_bytes() == content:
                return
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fchown(descriptor, uid, gid)
                os.fchmod(descriptor, placement.mode)
            os.replace(temporary, path)
        except OSError as error:
            raise Transient(f"the file for {placement.target} cannot be written to {path}: {error.strerror}") from error


def _name(file: FileAssignment, placement: FilePlacement) -> str:
    content = hashlib.sha256(file.content).hexdigest()
    identity = f"{file.purpose} {content} {placement.uid} {placement.gid} {placement.mode:o}"
    return f"{file.file.replace('/', '_')}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _number(text: str, placement: FilePlacement) -> int:
    if not text.isascii() or not text.isdigit():
        raise StepRefused(
            f"the {placement.purpose} at {placement.target} asks for owner {text!r}: owners are numbers, "
            "since names mean something else in every image"
        )
    return int(text)


def on_tmpfs(path: Path) -> bool:
    """Whether the file system that holds `path` lives in memory."""
    best, kind = "", ""
    real = os.path.realpath(path)
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            before, _, after = line.partition(" - ")
            point = before.split()[4]
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, after.split()[0]
    return kind in ("tmpfs", "ramfs")


def _mount_tmpfs(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"paddock", os.fsencode(path), b"tmpfs", 0, _TMPFS_OPTIONS) != 0:
        words = os.strerror(ctypes.get_errno())
        raise Refused(
            f"{path} is on a disk and no tmpfs can be mounted there: {words}",
            hint="run the agent as root, or give it a directory on a tmpfs: secrets are never written to a disk",
        )
