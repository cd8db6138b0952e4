"""The `filters` parameter in both encodings: Go's `{"label": {"a=b": true}}` and Python's `{"label": ["a=b"]}`."""

from __future__ import annotations

from typing import Any

import msgspec

from paddock.gateway.problems import ApiProblem

Filters = dict[str, list[str]]


def parse_filters(text: str) -> Filters:
    """Raises `ApiProblem` (400)."""
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise ApiProblem(400, "invalid filter: the filters parameter is not JSON") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ApiProblem(400, "invalid filter: the filters parameter is not an object")
    return {name: _values(name, values) for name, values in found.items()}


def _values(name: str, values: Any) -> list[str]:
    match values:
        case dict():
            return [str(value) for value, wanted in values.items() if wanted]
        case list():
            return [_text(value) for value in values]
        case str():
            return [values]
    raise ApiProblem(400, f"invalid filter: the values of {name!r} are neither a list nor an object")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def encode_filters(filters: Filters) -> str:
    """As Go's clients send it, which every engine takes."""
    return msgspec.json.encode({name: dict.fromkeys(values, True) for name, values in filters.items()}).decode()


def label_matches(wanted: str, labels: dict[str, str]) -> bool:
    """`key` or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def labels_match(filters: Filters, labels: dict[str, str]) -> bool:
    return all(label_matches(wanted, labels) for wanted in filters.get("label", ())) and not any(
        label_matches(unwanted, labels) for unwanted in filters.get("label!", ())
    )
