"""A loaded compose project -> the stack specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from paddock.core.compose import Origin, Project, service_hashes

from .findings import Path, dotted
from .translate import Sources, Translated, stack_spec


class _Origins:
    def __init__(self, origin: Origin) -> None:
        self._origin = origin

    def place(self, path: Path) -> tuple[str, int]:
        found = self._origin.find(dotted(path))
        return (found.file, found.line) if found else ("", 0)

    def written(self, path: Path) -> str:
        return self._origin.relative.get(dotted(path), "")


def from_project(project: Project, read_file: Callable[[str], bytes]) -> Translated:
    """`read_file` gets absolute paths on the client's machine. Raises `Invalid` with every problem."""
    sources = Sources(
        read_file=lambda path: read_file(path if path.startswith("/") else f"{project.working_dir}/{path}"),
        environment=project.environment,
        origins=_Origins(project.origin),
        hashes=service_hashes(project),
    )
    translated = stack_spec(_with_extensions(project), sources)
    inactive = tuple(sorted(project.disabled))
    return translated._replace(spec=replace(translated.spec, inactive=inactive))


def _with_extensions(project: Project) -> Mapping[str, Any]:
    """The canonical model leaves a service's own `x-` keys away."""
    services: Mapping[str, Any] = project.model.get("services") or {}  # type: ignore[assignment]
    extended = {name: {**services[name], **project.extensions.get(name, {})} for name in services}
    return {**project.model, "services": extended}
