"""Disks for the compose reader: a real folder shown under another path, and a real one as it is."""

from __future__ import annotations

import posixpath
from pathlib import Path


class RealDisk:
    """The machine's own disk; `shown` -> `real` maps one path prefix onto another."""

    def __init__(self, shown: str = "/", real: str = "/") -> None:
        self.shown = shown.rstrip("/")
        self.real = real.rstrip("/")

    def _path(self, path: str) -> Path:
        path = posixpath.normpath(path)
        if path != self.shown and not path.startswith(self.shown + "/"):
            return Path("/nonexistent")
        return Path(self.real + path.removeprefix(self.shown) or "/")

    def read(self, path: str) -> str | None:
        try:
            return self._path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return self._path(path).exists()

    def is_dir(self, path: str) -> bool:
        return self._path(path).is_dir()
