"""YAML text -> documents with places, and the paths its `!reset` and `!override` tags name.

Reading follows go-yaml v3 as compose-go drives it: duplicate keys are refused, `<<` merges, aliases are copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml

from .report import Report
from .tree import Map, Mark, Path, Seq, Value, dotted
from .yaml_scalars import MERGE, STR, resolve, short_tag

NODE_LIMIT = 500_000
DEPTH_LIMIT = 200


class BadYaml(Exception):
    """Text that is no YAML; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Document(NamedTuple):
    value: Value
    resets: tuple[Path, ...]


class Node:
    """One YAML node. `children` of a mapping alternate key, value. `size`: nodes it comes to once its aliases are
    copied out, known when it is closed (so that what grows without bounds is refused before it is grown)."""

    __slots__ = ("children", "kind", "line", "size", "tag", "text")

    def __init__(self, kind: str, tag: str, text: str, line: int) -> None:
        self.kind = kind
        self.tag = tag
        self.text = text
        self.line = line
        self.children: list[Node] = []
        self.size = 1


def read_documents(text: str, report: Report) -> list[Document]:
    """Every document in `text`; problems go to `report`, under its file."""
    try:
        roots = list(_compose(text))
    except BadYaml as error:
        report.add(f"not valid YAML: {error}", mark=Mark(report.file, error.line))
        return []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        report.add(f"not valid YAML: {reason}", mark=Mark(report.file, line))
        return []
    except yaml.YAMLError as error:
        report.add(f"not valid YAML: {str(error).splitlines()[0]}", mark=Mark(report.file, 0))
        return []
    except ValueError as error:
        report.add(f"not valid YAML: {error}", mark=Mark(report.file, 0))
        return []
    documents = []
    for root in roots:
        converter = _Converter(report)
        value = converter.convert(root, ())
        documents.append(Document(None if value is _REMOVED else value, tuple(converter.resets)))  # type: ignore[arg-type]
    return documents


def _compose(text: str) -> Iterator[Node]:
    anchors: dict[str, Node] = {}
    stack: list[Node] = []
    for event in yaml.parse(text.removeprefix("\ufeff"), Loader=yaml.CSafeLoader):
        match event:
            case yaml.DocumentStartEvent():
                anchors, stack = {}, []
            case yaml.DocumentEndEvent():
                yield stack[0]
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = stack[-1]
                closed.size = 1 + sum(child.size for child in closed.children)
                if len(stack) > 1:
                    stack.pop()
            case yaml.AliasEvent():
                if event.anchor not in anchors:
                    raise BadYaml(f"unknown anchor '{event.anchor}'", _line(event))
                stack[-1].children.append(anchors[event.anchor])
            case yaml.ScalarEvent() | yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                _open(event, anchors, stack)
            case _:
                pass


def _open(event: yaml.NodeEvent, anchors: dict[str, Node], stack: list[Node]) -> None:
    line = _line(event)
    tag = short_tag(event.tag)  # type: ignore[attr-defined]
    if isinstance(event, yaml.ScalarEvent):
        node = Node("scalar", tag or _default_tag(event), event.value, line)
    else:
        node = Node("map" if isinstance(event, yaml.MappingStartEvent) else "seq", tag, "", line)
    if event.anchor:
        anchors[event.anchor] = node
    if stack:
        stack[-1].children.append(node)
    if not stack or node.kind != "scalar":
        if len(stack) > DEPTH_LIMIT:
            raise BadYaml(f"nested deeper than {DEPTH_LIMIT} levels", _line(event))
        stack.append(node)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def _default_tag(event: yaml.ScalarEvent) -> str:
    if event.style:
        return STR
    return MERGE if event.value == "<<" else ""


def _first_too_large(node: Node) -> Node:
    while inner := next((child for child in node.children if child.size > NODE_LIMIT), None):
        node = inner
    return node


class _Removed:
    pass


_REMOVED = _Removed()


class _Converter:
    def __init__(self, report: Report) -> None:
        self.report = report
        self.resets: list[Path] = []
        self.open: list[Node] = []

    def convert(self, node: Node, path: Path, *, resets: bool = True) -> Value | _Removed:
        if node.size > NODE_LIMIT:
            self._problem("the document grows too large through its aliases", _first_too_large(node), path)
            return None
        if any(node is other for other in self.open) and node.kind != "scalar":
            self._problem("cycle detected: an alias contains itself", node, path)
            return None
        if resets and node.tag == "!reset":
            self.resets.append(path)
            return _REMOVED
        if resets and node.tag == "!override":
            self.resets.append(path)
            resets = False
        if node.kind == "scalar":
            return self._scalar(node, path)
        self.open.append(node)
        value = self._sequence(node, path, resets) if node.kind == "seq" else self._mapping(node, path, resets)
        self.open.pop()
        return value

    def _scalar(self, node: Node, path: Path) -> Value:
        try:
            return resolve(node.tag, node.text)[1]
        except ValueError as error:
            self._problem(str(error), node, path)
            return None

    def _sequence(self, node: Node, path: Path, resets: bool) -> Seq:
        items, marks = [], []
        for index, child in enumerate(node.children):
            value = self.convert(child, (*path, index), resets=resets)
            if not isinstance(value, _Removed):
                items.append(value)
                marks.append(Mark(self.report.file, child.line))
        return Seq(items, marks)

    def _mapping(self, node: Node, path: Path, resets: bool) -> Map:
        result = Map()
        seen: dict[tuple[str, str], int] = {}
        merges: list[tuple[Node, Value | _Removed]] = []
        for key, child in zip(node.children[::2], node.children[1::2], strict=True):
            merge = key.kind == "scalar" and key.tag == MERGE
            inner = path if merge and path else (*path, key.text)
            value = self.convert(child, inner, resets=resets)
            if isinstance(value, _Removed):
                continue
            first = seen.setdefault((key.kind, key.text), key.line)
            if first != key.line or len(seen) != len(result) + len(merges) + 1:
                self._problem(f"mapping key {key.text!r} already defined at line {first}", key, inner)
            elif merge:
                merges.append((child, value))
            elif self._is_string(key, path):
                result[key.text] = value
                result.marks[key.text] = Mark(self.report.file, key.line)
            else:
                seen.pop((key.kind, key.text))
        for child, value in merges:
            self._merge(result, child, value, path)
        return result

    def _is_string(self, key: Node, path: Path) -> bool:
        if key.kind == "scalar":
            try:
                tag, value = resolve(key.tag, key.text)
            except ValueError as error:
                self._problem(str(error), key, path)
                return False
            if isinstance(value, str):
                return True
            where = f"in {dotted(path)}" if path else "at top level"
            self._problem(f"Non-string key {where}: {key.text} ({tag.strip('!')})", key, path, "put quotes around it")
            return False
        self._problem("a mapping key must be a string", key, path)
        return False

    def _merge(self, into: Map, node: Node, value: Value | _Removed, path: Path) -> None:
        sources = [value] if isinstance(value, Map) else list(value) if isinstance(value, Seq) else [None]
        for source in sources:
            if not isinstance(source, Map):
                self._problem("map merge requires map or sequence of maps as the value", node, path)
                return
            for key, item in source.items():
                if key not in into:
                    into[key] = item
                    into.marks[key] = source.marks[key]

    def _problem(self, message: str, node: Node, path: Path, hint: str = "") -> None:
        self.report.add(message, path=path, mark=Mark(self.report.file, node.line), hint=hint)
