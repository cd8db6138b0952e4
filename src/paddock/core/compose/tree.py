"""The values a compose file is made of, each knowing the file and line it was written on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias


class Mark(NamedTuple):
    """Where something was written. `line` counts from 1; 0 means the whole file."""

    file: str
    line: int


class Timestamp(NamedTuple):
    """A YAML timestamp; compose-go shows it one way in JSON and another way inside strings."""

    json: str
    text: str


class Map(dict[str, "Value"]):
    """A mapping. `marks` (key -> place) may lack keys; `relative` (key -> as written) lists resolved paths."""

    __slots__ = ("marks", "relative")

    def __init__(
        self,
        items: Mapping[str, Value] | None = None,
        marks: Mapping[str, Mark] | None = None,
        relative: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(items or {})
        self.marks: dict[str, Mark] = dict(marks or {})
        self.relative: dict[str, str] = dict(relative or {})

    def like(self, items: Mapping[str, Value]) -> Map:
        """Other items, same places."""
        return Map(items, self.marks, self.relative)

    def with_item(self, key: str, value: Value) -> Map:
        changed = self.like(self)
        changed[key] = value
        return changed

    def without(self, *keys: str) -> Map:
        return self.like({key: value for key, value in self.items() if key not in keys})


class Seq(list["Value"]):
    """A list. `nil` marks Go's nil slice: printed as null, and no list to the schema."""

    __slots__ = ("marks", "nil")

    def __init__(self, items: Iterable[Value] = (), marks: Iterable[Mark | None] = (), *, nil: bool = False) -> None:
        super().__init__(items)
        known = list(marks)[: len(self)]
        self.marks: list[Mark | None] = known + [None] * (len(self) - len(known))
        self.nil = nil

    def like(self, items: Iterable[Value]) -> Seq:
        """Other items, same places."""
        kept = list(items)
        return Seq(kept, self.marks, nil=self.nil and not kept)

    def pairs(self) -> Iterable[tuple[Value, Mark | None]]:
        return zip(self, self.marks, strict=True)


Value: TypeAlias = "bool | int | float | str | Timestamp | Map | Seq | None"
Path: TypeAlias = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """`services.web.ports[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def locate(root: Value, path: Path) -> Mark | None:
    """The place of the deepest known ancestor on `path`."""
    found: Mark | None = None
    node = root
    for part in path:
        if isinstance(node, Map) and isinstance(part, str):
            found = node.marks.get(part) or found
            node = node.get(part)
        elif isinstance(node, Seq) and isinstance(part, int) and 0 <= part < len(node):
            found = node.marks[part] or found
            node = node[part]
        else:
            break
    return found


class Patterns(dict[int, list[tuple[tuple[str, ...], str]]]):
    """Paths with wildcards, by length. `*` stands for any key or index, `[]` for an index only."""

    def __init__(self, patterns: Iterable[str]) -> None:
        super().__init__()
        for pattern in patterns:
            parts = tuple(pattern.split("."))
            self.setdefault(len(parts), []).append((parts, pattern))

    def find(self, path: Path) -> str | None:
        for parts, pattern in self.get(len(path), ()):
            if all(_fits(part, wanted) for part, wanted in zip(path, parts, strict=True)):
                return pattern
        return None


def _fits(part: str | int, wanted: str) -> bool:
    return wanted == "*" or part == wanted or (wanted == "[]" and isinstance(part, int))


def sprint_key(value: Value) -> str:
    """A text that is equal for equal values and different for different ones."""
    match value:
        case Map():
            return "{" + ",".join(f"{key!r}:{sprint_key(value[key])}" for key in sorted(value)) + "}"
        case Seq():
            return "[" + ",".join(sprint_key(item) for item in value) + "]"
        case bool() | None | str():
            return repr(value)
        case Timestamp():
            return repr(value.json)
        case _:
            return repr(int(value)) if value == value and abs(value) < 1e300 and value == int(value) else repr(value)


def kind_name(value: Value) -> str:
    """What a value is, for a message."""
    match value:
        case None:
            return "empty"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str() | Timestamp():
            return "a string"
        case Seq():
            return "a list"
        case Map():
            return "a mapping"
