"""Interpolation: `$VAR`, `${VAR}` and the operators `:-` `-` `:?` `?` `:+` `+`, nested; `$$` is a dollar.

The way operators are found and braces matched is compose-go's template package, oddities included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

Lookup: TypeAlias = Callable[[str], str | None]
Warn: TypeAlias = Callable[[str], None]

_PATTERN = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<named>[_a-z][_a-z0-9]*)|\{(?:(?P<braced>[_a-z][_a-z0-9]*(?::?[-+?](?:.*))?)\}|(?P<invalid>)))",
    re.IGNORECASE | re.ASCII,
)
_OPERATORS = (":?", "?", ":-", "-", ":+", "+")
DEPTH_LIMIT = 100


class BadTemplate(Exception):
    """The text is not a valid template; `template` is the part that is not."""

    def __init__(self, template: str) -> None:
        super().__init__(template)
        self.template = template


class MissingVariable(Exception):
    """A variable that `?` or `:?` requires has no value."""


def substitute(template: str, lookup: Lookup, warn: Warn, depth: int = 0) -> str:
    """Raises BadTemplate or MissingVariable."""
    if "$" not in template:
        return template
    if depth > DEPTH_LIMIT:
        raise BadTemplate(template)

    def replace(found: re.Match[str]) -> str:
        try:
            return _replace(found.group(0), lookup, warn, depth)
        except BadTemplate as error:
            raise BadTemplate(error.template or template) from None

    return _PATTERN.sub(replace, template)


def _replace(text: str, lookup: Lookup, warn: Warn, depth: int) -> str:
    operator = _first_operator(text)
    end = _closing_brace(text)
    text, rest = (text[: end + 1], text[end + 1 :]) if end > -1 else (text, "")
    found = _PATTERN.match(text)
    if found is None:
        raise BadTemplate("")
    if found.group("escaped"):
        return "$"
    name = found.group("named")
    if not name:
        name = found.group("braced")
        if not name:
            raise BadTemplate("")
        if operator in name:
            return _operate(operator, name, lookup, warn, depth) + substitute(rest, lookup, warn, depth + 1)
    value = lookup(name)
    if value is None:
        warn(f'The "{name}" variable is not set. Defaulting to a blank string.')
        return ""
    return value


def _operate(operator: str, text: str, lookup: Lookup, warn: Warn, depth: int) -> str:
    name, _, argument = text.partition(operator)
    argument = substitute(argument, lookup, warn, depth + 1)
    value = lookup(name)
    present = value is not None and (value != "" or len(operator) == 1)
    match operator[-1]:
        case "?":
            if not present:
                raise MissingVariable(
                    f"required variable {name} is missing a value" + (f": {argument}" if argument else "")
                )
            return value or ""
        case "-":
            return value or "" if present else argument
        case _:
            return argument if present else value or ""


def _first_operator(text: str) -> str:
    """The operator that stands first; at one place the order of `_OPERATORS` decides."""
    places = [(text.find(operator), rank) for rank, operator in enumerate(_OPERATORS)]
    found = [place for place in places if place[0] >= 0]
    return _OPERATORS[min(found)[1]] if found else _OPERATORS[0]


def _closing_brace(text: str) -> int:
    depth, index = 0, 0
    while index < len(text):
        if text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
        if text[index] == "{":
            depth += 1
            index += 1
        index += 1
    return -1
