"""`extends`: a service laid over another one, of the same file or of another."""

from __future__ import annotations

import posixpath

from .files import absolute
from .merge import CannotMerge, extend_service
from .mounts import relative_to
from .paths import Resolver, is_remote
from .reader import Reader, Scope, apply_resets
from .tree import Map, Mark, Path, Seq, Value

EXTENDS_LIMIT = 100
Resets = tuple[tuple[Path, ...], ...]
Trail = tuple[tuple[str, str], ...]


def apply_extends(reader: Reader, model: Map, file: str, scope: Scope, resets: Resets) -> Map:
    services = model.get("services")
    if not isinstance(services, Map):
        return model
    extender = _Extender(reader, file, scope)
    extended = {name: extender.extended(name, services, resets, ()) for name in services}
    return model.with_item("services", services.like(extended))


class _Extender:
    def __init__(self, reader: Reader, file: str, scope: Scope) -> None:
        self.reader = reader
        self.report = reader.report
        self.file = file
        self.scope = scope
        self.cycles: list[list[str]] = []

    def extended(self, name: str, services: Map, resets: Resets, trail: Trail) -> Value:
        service = services.get(name)
        if not isinstance(service, Map) or "extends" not in service:
            return service
        reference = self._reference(service, name, services)
        if reference is None:
            return service.without("extends")
        wanted, file = reference
        where = self.file
        if file is not None:
            read = self._services_of(name, wanted, file, services)
            if read is None:
                return service.without("extends")
            services, resets, where = read[0], (*resets, read[1]), file
        elif wanted not in services:
            self._problem(f"cannot extend service {name!r}: service {wanted!r} not found", name, services)
            return service.without("extends")
        if (where, name) in trail or len(trail) > EXTENDS_LIMIT:
            steps = [step for _, step in trail]
            if sorted(steps) not in self.cycles:
                self.cycles.append(sorted(steps))
                self._problem(f"circular reference in extends: {' -> '.join((*steps, name))}", name, services)
            return service.without("extends")
        base = self.extended(wanted, services, resets, (*trail, (where, name)))
        if not isinstance(base, Map):
            return service
        return self._laid_over(base, service, name, resets)

    def _laid_over(self, original: Map, service: Map, name: str, resets: Resets) -> Value:
        base = without_nil(original)
        for paths in resets:
            inner = tuple(path[2:] for path in paths if path[:2] == ("services", name) and len(path) > 2)
            base = apply_resets(base, inner)
        try:
            return extend_service(base, service, name).without("extends")
        except CannotMerge as error:
            self.report.add(str(error), path=error.path, root=Map({"services": Map({name: service})}))
            return service.without("extends")

    def _reference(self, service: Map, name: str, services: Map) -> tuple[str, str | None] | None:
        extends = service["extends"]
        if isinstance(extends, str):
            return extends, None
        wanted = extends.get("service") if isinstance(extends, Map) else None
        file = extends.get("file") if isinstance(extends, Map) else None
        if not isinstance(wanted, str) or not (file is None or isinstance(file, str)):
            self._problem("extends must be a service name, or a mapping with `service` and `file`", name, services)
            return None
        return wanted, file

    def _services_of(self, name: str, wanted: str, file: str, services: Map) -> tuple[Map, tuple[Path, ...]] | None:
        """The services of another file, its paths made relative to here; and what that file resets."""
        if is_remote(file):
            self._problem(f"{file} is remote: only files on disk can be extended", name, services)
            return None
        path = absolute(absolute(file, self.scope.base), self.reader.options.working_dir)
        directory = directory_of(self.reader, file, self.scope.base)
        model, before = Map(), len(self.report.problems)
        resets: tuple[Path, ...] = ()
        if self.reader.disk.exists(path):
            for layer, paths in self.reader.documents(path, self.scope):
                model, resets = self.reader.add(model, layer, path, check=False), paths
        else:
            self._problem(f"cannot extend service {name!r}: no such file: {path}", name, services)
        self.report.file = self.file
        found = model.get("services")
        if len(self.report.problems) > before:
            return None
        if not isinstance(found, Map) or wanted not in found:
            self._problem(f"cannot extend service {name!r}: service {wanted!r} not found in {path}", name, services)
            return None
        home = self.reader.options.environment.get("HOME", "")
        resolved = Resolver(directory, home, self.report).resolve(model).get("services")
        return (resolved, resets) if isinstance(resolved, Map) else None

    def _problem(self, message: str, name: str, services: Map) -> None:
        service = services.get(name)
        mark = service.marks.get("extends") if isinstance(service, Map) else None
        self.report.add(message, path=("services", name, "extends"), mark=mark or Mark(self.file, 0))


def without_nil(value: Map) -> Map:
    """compose-go copies a base deeply, and a copied empty list is a list again."""

    def walk(item: Value) -> Value:
        if isinstance(item, Map):
            return item.like({key: walk(inner) for key, inner in item.items()})
        return Seq([walk(inner) for inner in item], item.marks) if isinstance(item, Seq) else item

    walked = walk(value)
    assert isinstance(walked, Map)
    return walked


def directory_of(reader: Reader, file: str, base: str) -> str:
    """The folder of `file`, relative to `base` where that can be told."""
    path = absolute(file, base)
    if not reader.disk.is_dir(absolute(path, reader.options.working_dir)):
        path = absolute(posixpath.dirname(file) or ".", base)
    try:
        return relative_to(base, path)
    except ValueError:
        return path
