"""Affinities looked up: on which hosts the containers, services, images or labels they name are now."""

from __future__ import annotations

import numpy as np

from paddock.core.draft import Draft
from paddock.core.schedule.ask import Presence
from paddock.core.schedule.expressions import Expression, parse, value_matches
from paddock.core.schedule.fleet import Flags
from paddock.core.schedule.ports import containers_of
from paddock.core.slots import staying
from paddock.model.objects import Revision, Service, ServiceId, Unit

SHORTEST_ID = 6
"""Digits; fewer are taken for a name."""


def presences(draft: Draft, service: Service) -> tuple[Presence, ...]:
    """In the order written."""
    found = []
    for text in draft.spec(service).placement.affinities:
        expression = parse(text)
        if expression is not None:
            found.append(_presence(draft, service, expression))
    return tuple(found)


def _presence(draft: Draft, service: Service, expression: Expression) -> Presence:
    there: Flags = np.zeros(len(draft.fleet(service.environment)), dtype=np.bool_)
    position = draft.fleet(service.environment).position
    for unit in _named(draft, service, expression):
        if unit.host is not None and unit.live and staying(unit) and unit.host in position:
            there[position[unit.host]] = True
    for host in dict(draft.spec(service).placement.holders).get(expression.text, ()):
        if host in position:
            there[position[host]] = True
    own = _names_itself(draft, service, expression)
    return Presence(text=expression.text, equal=expression.equal, soft=expression.soft, there=there, own=own)


def _names_itself(draft: Draft, service: Service, expression: Expression) -> bool:
    match expression.key:
        case "service":
            return _is_service(service, service, expression.value)
        case "container":
            return False
    if draft.spec(service).mode == "standalone":
        return False
    return _revision_matches(draft.revision(service), expression)


def _named(draft: Draft, service: Service, expression: Expression) -> list[Unit]:
    """Units of the environment that the expression names."""
    everyone = [other for other in draft.table(Service) if other.environment == service.environment]
    found: list[Unit] = []
    for other in everyone:
        if expression.key == "service" and not _is_service(other, service, expression.value):
            continue
        for unit in draft.units(ServiceId(other.id)):
            if expression.key == "service":
                found.append(unit)
            elif expression.key == "container":
                if value_matches(expression.value, unit.name) or _has_id(unit, expression.value):
                    found.append(unit)
            elif _revision_matches(draft.revision(unit), expression):
                found.append(unit)
    return found


def _has_id(unit: Unit, value: str) -> bool:
    """As classic Swarm: a container may be named by its id, or so much of it as tells it apart."""
    ids = [unit.known_as, *(status.id for status in unit.containers)]
    return len(value) >= SHORTEST_ID and any(id.startswith(value) for id in ids)


def _is_service(other: Service, near: Service, value: str) -> bool:
    """`db` means the one in the same stack; `shop/db` or `shop.db` the one in another."""
    if value_matches(value, f"{other.stack_name}/{other.name}") or value_matches(
        value, f"{other.stack_name}.{other.name}"
    ):
        return True
    return other.stack == near.stack and value_matches(value, other.name)


def _revision_matches(revision: Revision, expression: Expression) -> bool:
    for _, container in containers_of(revision.spec):
        if expression.key == "image":
            if value_matches(expression.value, container.image):
                return True
            continue
        labels = container.config.get("Labels") or {}
        value = labels.get(expression.key.removeprefix("label:"))
        if value is not None and value_matches(expression.value, str(value)):
            return True
    return False
