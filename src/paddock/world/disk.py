"""The disk as what keeps files safe sees it; the simulator's forgets what was never synced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    blocks: bool
    """`sync` may take seconds on a busy disk and belongs on a thread; False where time is not real."""

    @property
    def vfs(self) -> str:
        """Name of the SQLite VFS that reads and writes this disk; "" is SQLite's own."""
        ...

    def exists(self, path: Path) -> bool: ...

    def size(self, path: Path) -> int: ...

    def make_private(self, path: Path) -> None:
        """Only its owner may read or write it."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Renames over `target`; durable when it returns."""
        ...

    def remove(self, path: Path) -> None:
        """Nothing happens if it is not there."""
        ...

    def sync(self, path: Path) -> None:
        """What was written to the file until now survives a power failure. Raises `OSError`; no file is no error."""
        ...


class MachineDisk:
    blocks = True
    vfs = ""

    def exists(self, path: Path) -> bool:
        return path.exists()

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def make_private(self, path: Path) -> None:
        path.chmod(0o600)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)
        directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync(self, path: Path) -> None:
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fsync(file)
        finally:
            os.close(file)
