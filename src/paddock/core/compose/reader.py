"""Reads one compose file and lays it over a model: variables, merge, schema, long forms."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .canonical import canonical_forms, drop_empty
from .files import Files, Options, absolute
from .interpolate import interpolate
from .legacy import is_version_1, modernize
from .merge import CannotMerge, merge
from .report import Report
from .schema import check_schema
from .tree import Map, Mark, Path, Value
from .unique import enforce_unicity
from .yaml_documents import read_documents


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """How one set of files is read. `base` is what `extends` and `include` paths are relative to;
    `working_dir`, which may be relative to the including file's, is what all other paths are relative to."""

    files: tuple[str, ...]
    working_dir: str
    base: str
    environment: Mapping[str, str]
    resolve_paths: bool = True
    included: tuple[str, ...] = ()


class Reader:
    def __init__(self, options: Options, disk: Files, report: Report) -> None:
        self.options = options
        self.disk = disk
        self.report = report

    def documents(self, file: str, scope: Scope) -> list[tuple[Map, tuple[Path, ...]]]:
        """Each document of `file` with its variables replaced, and the paths its `!reset` tags name."""
        self.report.file = file
        text = self.options.stdin if file == "-" else self.read(file)
        if text is None:
            return []
        found = []
        before = len(self.report.problems)
        documents = read_documents(text, self.report)
        if len(self.report.problems) > before:
            return []
        for document in documents:
            value = document.value
            if not isinstance(value, Map):
                self.report.add("Top-level object must be a mapping", mark=Mark(file, 1))
                continue
            if is_version_1(value):
                value = modernize(value, self.report)
            if self.options.interpolate:
                value = interpolate(value, scope.environment, self.report)
            found.append((value, document.resets))
        return found

    def add(self, model: Map, layer: Map, file: str, *, check: bool = True) -> Map:
        """`layer` merged over `model`, checked and brought to long form. After a problem, only merged."""
        try:
            model = enforce_unicity(merge(model, layer), self.report)
        except CannotMerge as error:
            self.report.add(str(error), path=error.path, root=layer)
            return model
        if check:
            check_schema(model, self.report)
            if "version" in model:
                self.report.warn(f"{file}: the attribute `version` is obsolete, it will be ignored, please remove it")
                model = model.without("version")
        if self.report.problems:
            return model
        lenient = not self.options.interpolate
        model = drop_empty(canonical_forms(model, self.report, lenient=lenient))
        return enforce_unicity(model, self.report)

    def read(self, file: str) -> str | None:
        path = absolute(file, self.options.working_dir)
        text = None if self.disk.is_dir(path) else self.disk.read(path)
        if text is None:
            what = "is a directory" if self.disk.is_dir(path) else "no such file"
            self.report.add(f"cannot read {path}: {what}", mark=Mark(path, 0))
        return text


def apply_resets(model: Map, resets: tuple[Path, ...]) -> Map:
    """`model` without what `!reset` and `!override` tags of a later file name. List items cannot be reset."""
    if not resets:
        return model

    def walk(value: Value, path: Path) -> Value:
        if not isinstance(value, Map):
            return value
        kept = {key: walk(item, (*path, key)) for key, item in value.items() if (*path, key) not in resets}
        return value.like(kept)

    walked = walk(model, ())
    assert isinstance(walked, Map)
    return walked
