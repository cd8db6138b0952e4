"""Rules of one file set that the schema cannot say, checked on the canonical form."""

from __future__ import annotations

from collections.abc import Callable

from .report import Report
from .tree import Map, Path, Patterns, Seq, Value


def validate(model: Map, report: Report) -> None:
    def walk(value: Value, path: Path) -> None:
        pattern = _PATTERNS.find(path)
        if pattern is not None:
            message = _CHECKS[pattern](value)
            if message:
                report.add(message, path=path, root=model)
        elif isinstance(value, Map):
            for key, item in value.items():
                walk(item, (*path, key))
        elif isinstance(value, Seq):
            for index, item in enumerate(value):
                walk(item, (*path, index))

    walk(model, ())


def _volume(value: Value) -> str:
    if not isinstance(value, Map) or value.get("external") is not True:
        return ""
    others = [key for key in value if key not in ("name", "external") and not key.startswith("x-")]
    return f'conflicting parameters "external" and "{others[0]}" specified' if others else ""


def _file_object(*keys: str) -> Callable[[Value], str]:
    def check(value: Value) -> str:
        if not isinstance(value, Map):
            return "must be a mapping"
        given = [key for key in keys if key in value]
        if len(given) > 1:
            return f"{', '.join(keys)} are mutually exclusive"
        if not given and "driver" not in value and "external" not in value:
            return f"one of {', '.join(keys)} must be set"
        return ""

    return check


def _device_request(value: Value) -> str:
    both = isinstance(value, Map) and "count" in value and "device_ids" in value
    return '"count" and "device_ids" are exclusive' if both else ""


_CHECKS: dict[str, Callable[[Value], str]] = {
    "volumes.*": _volume,
    "configs.*": _file_object("file", "environment", "content"),
    "secrets.*": _file_object("file", "environment"),
    "services.*.develop.watch.*.path": lambda value: "value can't be blank" if value == "" else "",
    "services.*.deploy.resources.reservations.devices.*": _device_request,
    "services.*.gpus.*": _device_request,
}
_PATTERNS = Patterns(_CHECKS)
