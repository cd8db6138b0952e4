"""What the loader needs from a disk, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from .mounts import clean


class Files(Protocol):
    """A disk to read. Paths are absolute. `read` answers None when there is no such file, or no text in it."""

    def read(self, path: str) -> str | None: ...

    def exists(self, path: str) -> bool: ...

    def is_dir(self, path: str) -> bool: ...


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks for.

    `working_dir` is the current directory, absolute. `files` empty means COMPOSE_FILE, then discovery; `-` in it
    is `stdin`. `environment` is the whole process environment. `services` limits the project to some services
    and what they need. `resolve_environment=False` leaves `env_file` entries as they are.
    """

    working_dir: str
    files: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    project_name: str = ""
    project_directory: str = ""
    services: tuple[str, ...] = ()
    stdin: str = ""
    interpolate: bool = True
    normalize: bool = True
    resolve_paths: bool = True
    consistency: bool = True
    resolve_environment: bool = True


def absolute(path: str, base: str) -> str:
    return clean(path) if path.startswith("/") else clean(f"{base}/{path}")
