"""Constraints and affinities as written: `KEY==VALUE`, `KEY!=VALUE`, `~` in front for "if possible".

Values are plain words, globs (`web*`) or regular expressions between slashes (`/web-[0-9]+/`), as in Docker's classic
Swarm; keys are those of Swarm mode (`node.labels.zone`) and of classic Swarm's affinities (`container`, `service`,
`image`, `label:KEY`).
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from paddock.model.objects import Host

HOST_KEYS = (
    "node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch", "node.kernel",
)  # fmt: skip
HOST_PREFIXES = ("node.labels.", "engine.labels.")
AFFINITY_KEYS = ("container", "service", "image")
_FORM = re.compile(r"^\s*(~?)\s*([^=!~\s]+)\s*(==|!=|=)\s*(~?)\s*(.*?)\s*$")
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l", "386": "i686"}


class Expression(NamedTuple):
    key: str
    equal: bool
    value: str
    soft: bool
    text: str


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression | None:
    """None when it is not of the form; classic Swarm's `==~value` is read as soft too."""
    found = _FORM.match(text)
    if found is None:
        return None
    soft, key, operator, soft_value, value = found.groups()
    return Expression(key, operator != "!=", value, bool(soft or soft_value), text)


def problem_with_constraint(text: str) -> str:
    """ "" when fine, else one sentence."""
    expression = parse(text)
    if expression is None:
        return f"the constraint {text!r} is not of the form KEY==VALUE or KEY!=VALUE"
    if expression.key not in HOST_KEYS and not expression.key.startswith(HOST_PREFIXES):
        known = ", ".join((*HOST_KEYS, *(f"{prefix}NAME" for prefix in HOST_PREFIXES)))
        return f"the constraint {text!r} asks for {expression.key!r}, which hosts do not have; they have {known}"
    return _problem_with_value(expression)


def problem_with_affinity(text: str) -> str:
    expression = parse(text)
    if expression is None or not (expression.key in AFFINITY_KEYS or expression.key.startswith("label:")):
        return f"the affinity {text!r} is not container, service, image or label:KEY followed by ==VALUE or !=VALUE"
    return _problem_with_value(expression)


def _problem_with_value(expression: Expression) -> str:
    if not _is_regex(expression.value):
        return ""
    try:
        re.compile(expression.value[1:-1])
    except re.error as error:
        return f"the pattern in {expression.text!r} is not a regular expression: {error}"
    return ""


def _is_regex(value: str) -> bool:
    return len(value) > 1 and value.startswith("/") and value.endswith("/")


def value_matches(pattern: str, value: str) -> bool:
    if _is_regex(pattern):
        return re.search(pattern[1:-1], value) is not None
    if any(letter in pattern for letter in "*?["):
        return fnmatchcase(value, pattern)
    return value == pattern


def host_values(host: Host, key: str) -> tuple[str, ...]:
    """The values a host has for a key; several where it goes by several words."""
    if key.startswith("node.labels."):
        value = host.labels.get(key.removeprefix("node.labels."))
        return () if value is None else (value,)
    if key.startswith("engine.labels."):
        value = host.facts.engine_labels.get(key.removeprefix("engine.labels."))
        return () if value is None else (value,)
    match key:
        case "node.id":
            return (host.id,)
        case "node.hostname":
            return (host.name,)
        case "node.ip":
            return (host.facts.address,)
        case "node.role":
            return ("worker",)
        case "node.platform.os":
            return (host.facts.os, "linux")
        case "node.kernel":
            return (host.facts.kernel,)
        case "node.platform.arch":
            architecture = host.facts.architecture
            return (architecture, *(name for name, kernel in _ARCHITECTURES.items() if kernel == architecture))
    return ()


def host_satisfies(host: Host, expression: Expression) -> bool:
    """A host without the label has no value: `==` fails, `!=` holds (as in Swarm mode)."""
    found = any(value_matches(expression.value, value) for value in host_values(host, expression.key))
    return found == expression.equal
