"""A small rule language for checking values: kinds, lists, records with named fields, alternatives.

It says what JSON schema says about compose files, and tells every problem with the nearest valid key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from .report import Report, nearest
from .tree import Map, Path, Seq, Timestamp, Value, dotted, sprint_key

_ARTICLES = {"mapping": "a mapping", "list": "a list", "null": "empty"}


def kind_of(value: Value) -> str:
    """The JSON kind; a whole float is an integer, Go's nil slice is null."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if math.isfinite(value) and value == int(value) else "number"
        case str() | Timestamp():
            return "string"
        case Seq():
            return "null" if value.nil else "list"
        case Map():
            return "mapping"


class Rule(Protocol):
    kinds: tuple[str, ...]

    def check(self, value: Value, path: Path, scope: Scope) -> None: ...


class Scope:
    """What is being checked, and where problems go."""

    def __init__(self, root: Map, report: Report) -> None:
        self.root = root
        self.report = report

    def problem(self, message: str, path: Path, hint: str = "") -> None:
        self.report.add(message, path=path, root=self.root, hint=hint)


def _allowed(value: Value, kinds: tuple[str, ...]) -> bool:
    kind = kind_of(value)
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _one_of(kinds: Sequence[str]) -> str:
    names = [_ARTICLES.get(kind, f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}") for kind in dict.fromkeys(kinds)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _wrong_kind(value: Value, kinds: Sequence[str], path: Path, scope: Scope) -> None:
    got = kind_of(value)
    scope.problem(f"must be {_one_of(kinds)}, not {_one_of((got,))}", path)


class Kind:
    """One scalar: its kinds, and optionally its words, pattern or bounds (which bind numbers only)."""

    def __init__(
        self,
        *kinds: str,
        words: tuple[str, ...] = (),
        pattern: str = "",
        low: float = -math.inf,
        high: float = math.inf,
    ) -> None:
        self.kinds = kinds
        self.words = words
        self.pattern = re.compile(pattern) if pattern else None
        self.low = low
        self.high = high

    def check(self, value: Value, path: Path, scope: Scope) -> None:
        if not _allowed(value, self.kinds):
            _wrong_kind(value, self.kinds, path, scope)
        elif isinstance(value, str) and self.words and value not in self.words:
            scope.problem(f"{value!r} must be one of {', '.join(self.words)}", path, nearest(value, self.words))
        elif isinstance(value, str) and self.pattern and not self.pattern.fullmatch(value):
            scope.problem(f"{value!r} does not have the form {self.pattern.pattern}", path)
        elif isinstance(value, int | float) and not isinstance(value, bool) and not self.low <= value <= self.high:
            bounds = f"at least {self.low:g}" if math.isinf(self.high) else f"between {self.low:g} and {self.high:g}"
            scope.problem(f"{value} must be {bounds}", path)


class ListOf:
    kinds: tuple[str, ...] = ("list",)

    def __init__(self, item: Rule, *, unique: bool = False) -> None:
        self.item = item
        self.unique = unique

    def check(self, value: Value, path: Path, scope: Scope) -> None:
        if not isinstance(value, Seq) or value.nil:
            _wrong_kind(value, self.kinds, path, scope)
            return
        seen: dict[str, int] = {}
        for index, item in enumerate(value):
            self.item.check(item, (*path, index), scope)
            if self.unique:
                first = seen.setdefault(sprint_key(item), index)
                if first != index:
                    scope.problem(f"items {first} and {index} are the same; each may stand once", (*path, index))


class MapOf:
    """Any keys of one form, values of one rule. `closed` refuses keys of another form."""

    kinds: tuple[str, ...] = ("mapping",)

    def __init__(self, item: Rule, *, names: str = ".+", closed: bool = True) -> None:
        self.item = item
        self.names = re.compile(names, re.DOTALL)
        self.closed = closed

    def check(self, value: Value, path: Path, scope: Scope) -> None:
        if not isinstance(value, Map):
            _wrong_kind(value, self.kinds, path, scope)
            return
        for key, item in value.items():
            if self.names.fullmatch(key):
                self.item.check(item, (*path, key), scope)
            elif self.closed:
                scope.problem(f"the name {key!r} is not allowed: it must match {self.names.pattern}", (*path, key))


class Record:
    """Named fields; `x-` keys pass when `extensions`; other keys are refused unless `open`."""

    def __init__(
        self,
        fields: Mapping[str, Rule],
        *,
        required: tuple[str, ...] = (),
        extensions: bool = True,
        open: bool = False,
        also: tuple[str, ...] = (),
    ) -> None:
        self.kinds: tuple[str, ...] = ("mapping", *also)
        self.fields = fields
        self.required = required
        self.extensions = extensions
        self.open = open

    def check(self, value: Value, path: Path, scope: Scope) -> None:
        if not isinstance(value, Map):
            if not _allowed(value, self.kinds[1:]):
                _wrong_kind(value, self.kinds, path, scope)
            return
        for key in self.required:
            if key not in value:
                scope.problem(f"{key} is required", path)
        for key, item in value.items():
            rule = self.fields.get(key)
            if rule is not None:
                rule.check(item, (*path, key), scope)
            elif not (self.open or (self.extensions and key.startswith("x-"))):
                where = dotted(path) or "the top level"
                scope.problem(
                    f"additional property {key!r} is not allowed in {where}", (*path, key), nearest(key, self.fields)
                )


class OneOf:
    """Exactly one of some rules; here no two ever hold at once."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.kinds: tuple[str, ...] = tuple(kind for rule in rules for kind in rule.kinds)

    def check(self, value: Value, path: Path, scope: Scope) -> None:
        for rule in self.rules:
            if _allowed(value, rule.kinds):
                rule.check(value, path, scope)
                return
        _wrong_kind(value, self.kinds, path, scope)


ANY_KINDS = ("null", "boolean", "integer", "number", "string", "list", "mapping")
