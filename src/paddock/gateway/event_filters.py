"""Which events a client asked for, as engines decide it (moby's daemon/events/filter.go)."""

from __future__ import annotations

from typing import Any

from paddock.core.images.reference import parse
from paddock.gateway.filters import Filters, label_matches
from paddock.model.errors import UserError

Json = dict[str, Any]
BY_ACTOR = ("container", "plugin", "volume", "network", "daemon", "node", "service", "secret", "config")
WITH_DETAILS = ("health_status", "exec_create", "exec_start")
"""Actions that go on behind a colon; one of them in a filter makes beginnings of all actions count."""


def fits(filters: Filters, event: Json) -> bool:
    """Names that engines do not know are passed over, as they do."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    id, name = str(actor.get("ID") or ""), str(attributes.get("name") or "")
    return (
        _action_fits(filters.get("event"), str(event.get("Action") or ""))
        and _is_one(filters.get("type"), str(event.get("Type") or ""))
        and _is_one(filters.get("scope"), str(event.get("scope") or ""))
        and all(_begins(filters.get(kind), id) or _begins(filters.get(kind), name) for kind in BY_ACTOR)
        and _image_fits(filters.get("image"), event, id)
        and all(label_matches(wanted, attributes) for wanted in filters.get("label", ()))
    )


def _is_one(wanted: list[str] | None, value: str) -> bool:
    return not wanted or value in wanted


def _begins(wanted: list[str] | None, value: str) -> bool:
    return not wanted or any(value.startswith(one) for one in wanted)


def _action_fits(wanted: list[str] | None, action: str) -> bool:
    if wanted and any(one in WITH_DETAILS for one in wanted):
        return _begins(wanted, action)
    return _is_one(wanted, action)


def _image_fits(wanted: list[str] | None, event: Json, id: str) -> bool:
    if not wanted:
        return True
    key = "image" if event.get("Type") == "container" else "name"
    name = str(((event.get("Actor") or {}).get("Attributes") or {}).get(key) or "")
    return any(one in wanted for one in (id, name, _without_tag(id), _without_tag(name)))


def _without_tag(name: str) -> str:
    try:
        return parse(name).repository
    except UserError:
        return name
