"""Who in a stack depends on whom, and who shares with whom; worked out once per stack and call of `converge`."""

from __future__ import annotations

from typing import NamedTuple

from paddock.core.draft import Draft
from paddock.model.objects import ServiceId, StackId
from paddock.model.specs import Dependency


class Links(NamedTuple):
    """Name of a service -> those that name it."""

    dependents: dict[str, list[tuple[ServiceId, Dependency]]]
    sharers: dict[str, list[ServiceId]]
    ids: dict[str, ServiceId]


def links(draft: Draft, stack: StackId) -> Links:
    key = f"links/{stack}"
    known: Links | None = draft.remembered(key)
    if known is not None:
        return known
    found = Links({}, {}, {})
    for service in draft.services_of_stack(stack):
        id = ServiceId(service.id)
        found.ids[service.name] = id
        spec = draft.spec(service)
        for dependency in spec.depends_on:
            found.dependents.setdefault(dependency.service, []).append((id, dependency))
        for name in dict.fromkeys(sharing.service for sharing in spec.container.sharing):
            found.sharers.setdefault(name, []).append(id)
    draft.remember(key, found)
    return found
