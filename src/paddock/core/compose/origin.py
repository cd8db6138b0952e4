"""Where each field of a project was written, for problems found later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from .tree import Map, Mark, Seq, Value


class Origin(msgspec.Struct, frozen=True):
    """`places`: dotted path -> (file, line). `relative`: dotted path -> the relative path that was written there.

    Paths look like `services.web.volumes[0].source`; list items that became keys are found at their list.
    """

    places: Mapping[str, Mark]
    relative: Mapping[str, str]

    def find(self, path: str) -> Mark | None:
        """The place of the field, or of the nearest thing around it."""
        while path:
            if path in self.places:
                return self.places[path]
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return None


def origin_of(model: Map) -> Origin:
    places: dict[str, Mark] = {}
    relative: dict[str, str] = {}
    for path, mark, written in _walk(model, ""):
        if mark:
            places[path] = mark
        if written:
            relative[path] = written
    return Origin(places, relative)


def _walk(value: Value, path: str) -> Iterator[tuple[str, Mark | None, str]]:
    if isinstance(value, Map):
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            yield inner, value.marks.get(key), value.relative.get(key, "")
            yield from _walk(item, inner)
    elif isinstance(value, Seq):
        for index, (item, mark) in enumerate(value.pairs()):
            yield f"{path}[{index}]", mark, ""
            yield from _walk(item, f"{path}[{index}]")
