"""A disk in memory for the compose reader."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

from paddock.core.compose import Options, Project, load
from paddock.model.errors import Invalid, Problem


class MemoryDisk:
    """`files` maps absolute paths to text."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(files)

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return path in self.files or self.is_dir(path)

    def is_dir(self, path: str) -> bool:
        return any(posixpath.dirname(name).startswith(path) and name.startswith(path + "/") for name in self.files)


def read(files: Mapping[str, str] | str, **settings: object) -> Project:
    """The project in `/app`; one text is its compose.yaml."""
    named = {"compose.yaml": files} if isinstance(files, str) else files
    disk = MemoryDisk({f"/app/{name}": text for name, text in named.items()})
    fields = {"working_dir": "/app", "environment": {"HOME": "/home/me"}, **settings}
    return load(Options(**fields), disk)  # type: ignore[arg-type]


def problems(files: Mapping[str, str] | str, **settings: object) -> list[Problem]:
    try:
        read(files, **settings)
    except Invalid as error:
        return list(error.problems)
    raise AssertionError("nothing was refused")
