"""`include`: whole projects read on their own terms, then copied in; a name that clashes is refused."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from .discovery import read_env_files
from .extends import directory_of
from .files import absolute
from .mounts import join
from .paths import is_remote
from .reader import Reader, Scope
from .tree import Map, Mark, Seq, Value

INCLUDE_LIMIT = 100
Load = Callable[[Reader, Scope], Map]
SECTIONS = ("services", "volumes", "networks", "secrets", "configs", "models")


def apply_include(reader: Reader, model: Map, scope: Scope, load: Load) -> Map:
    entries = model.get("include")
    if entries is None:
        return model.without("include")
    if not isinstance(entries, Seq):
        reader.report.add("include must be a list", path=("include",), root=model)
        return model.without("include")
    includer = _Includer(reader, scope, load)
    result = model.without("include")
    for index, (entry, mark) in enumerate(entries.pairs()):
        includer.mark, includer.index = mark or Mark(reader.report.file, 0), index
        before = len(reader.report.problems)
        imported = includer.load(entry)
        reader.report.file = scope.included[-1]
        if imported is not None and len(reader.report.problems) == before:
            result = includer.copy_in(imported, result)
    return result


class _Includer:
    def __init__(self, reader: Reader, scope: Scope, load: Load) -> None:
        self.load_model = load
        self.reader = reader
        self.scope = scope
        self.mark = Mark("", 0)
        self.index = 0

    def load(self, entry: Value) -> Map | None:
        entry = Map({"path": entry}) if isinstance(entry, str) else entry
        if not isinstance(entry, Map):
            self._problem("must be a path or a mapping")
            return None
        for key in entry:
            if key not in ("path", "project_directory", "env_file"):
                self._problem(f"additional property {key!r} is not allowed in include")
        paths, env_files = _texts(entry.get("path")), _texts(entry.get("env_file"))
        directory = entry.get("project_directory") or ""
        if not paths or not isinstance(directory, str):
            self._problem("needs a path")
            return None
        remote = [path for path in paths if is_remote(path)]
        if remote:
            self._problem(f"{remote[0]} is remote: only files on disk can be included")
            return None
        files = tuple(absolute(path, self.scope.base) for path in paths)
        if not self._readable(files):
            return None
        scope = self._scope(files, directory, env_files)
        return self.load_model(self.reader, scope)

    def _readable(self, files: tuple[str, ...]) -> bool:
        if files[0] in self.scope.included or len(self.scope.included) > INCLUDE_LIMIT:
            self._problem("include cycle detected: " + " -> ".join((*self.scope.included, files[0])))
            return False
        missing = [file for file in files if not self.reader.disk.exists(self._on_disk(file))]
        for file in missing:
            self._problem(f"no such file: {file}")
        return not missing

    def _scope(self, files: tuple[str, ...], directory: str, env_files: list[str]) -> Scope:
        if directory.startswith("/"):
            relative, project = directory, directory
        elif directory:
            relative = directory_of(self.reader, directory, self.scope.base)
            project = join(self.scope.working_dir, directory)
        else:
            relative = directory_of(self.reader, files[0], self.scope.base)
            project = posixpath.dirname(files[0])
        if env_files:
            found = tuple(file if file.startswith("/") else join(self.scope.working_dir, file) for file in env_files)
        else:
            default = posixpath.join(project, ".env")
            disk, path = self.reader.disk, self._on_disk(default)
            found = (default,) if disk.exists(path) and not disk.is_dir(path) else ()
        extra = read_env_files(
            tuple(self._on_disk(file) for file in found), self.scope.environment, self.reader.disk, self.reader.report
        )
        return Scope(
            files=files,
            working_dir=relative,
            base=self._on_disk(project),
            environment={**extra, **self.scope.environment},
            included=self.scope.included,
        )

    def copy_in(self, imported: Map, model: Map) -> Map:
        result = model.like(model)
        for section in SECTIONS:
            source, target = imported.get(section), result.get(section)
            if not isinstance(source, Map):
                continue
            merged = target.like(target) if isinstance(target, Map) else Map()
            for name, item in source.items():
                if name in merged and merged[name] != item:
                    message = f"{section}.{name} conflicts with imported resource"
                    self.reader.report.add(message, path=(section, name), root=model, mark=merged.marks.get(name))
                elif name not in merged:
                    merged[name] = item
                    if name in source.marks:
                        merged.marks[name] = source.marks[name]
            result[section] = merged
        return result

    def _on_disk(self, path: str) -> str:
        return absolute(path, self.reader.options.working_dir)

    def _problem(self, message: str) -> None:
        self.reader.report.add(message, path=("include", self.index), mark=self.mark)


def _texts(value: Value) -> list[str]:
    items = [value] if isinstance(value, str) else list(value) if isinstance(value, Seq) else []
    return [item for item in items if isinstance(item, str)]
