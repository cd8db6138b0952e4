"""What a cluster cannot do with a compose model: problems that refuse it, and notes that are told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from paddock.model.errors import Invalid, Problem

Path = tuple[str | int, ...]
Json = Mapping[str, Any]

LIMIT = 200
"""Problems and warnings beyond this many are not kept."""


class Origins(Protocol):
    """Where the model came from. `written` is a path as the file has it, if reading it changed it, else ""."""

    def place(self, path: Path) -> tuple[str, int]: ...

    def written(self, path: Path) -> str: ...


class _NoOrigins:
    def place(self, path: Path) -> tuple[str, int]:
        del path
        return "", 0

    def written(self, path: Path) -> str:
        del path
        return ""


NO_ORIGINS: Origins = _NoOrigins()


def dotted(path: Path) -> str:
    """`services.web.ports[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Findings:
    """Collects; `stop` raises what was collected."""

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        file, line = self.origins.place(path)
        found = Problem(message=message, file=file, line=line, field=dotted(path), hint=hint)
        if found not in self.problems and len(self.problems) < LIMIT:
            self.problems.append(found)

    def warn(self, path: Path, message: str) -> None:
        text = f"{dotted(path)}: {message}"
        if text not in self.warnings and len(self.warnings) < LIMIT:
            self.warnings.append(text)

    def stop(self) -> None:
        if self.problems:
            raise Invalid(tuple(self.problems))


class Service(NamedTuple):
    """One service of the model, with a place to say what is wrong with it."""

    name: str
    config: Json
    findings: Findings

    def path(self, *field: str | int) -> Path:
        return ("services", self.name, *field)

    def problem(self, *field: str | int, message: str, hint: str = "") -> None:
        self.findings.problem(self.path(*field), message, hint)

    def warn(self, *field: str | int, message: str) -> None:
        self.findings.warn(self.path(*field), message)

    @property
    def deploy(self) -> Json:
        return self.config.get("deploy") or {}


def nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
