"""Commits as events, in the words of the user."""

from __future__ import annotations

from collections.abc import Iterator

from paddock.model.changes import Change, Commit, Delete
from paddock.model.objects import (
    AnyObject,
    ApiKey,
    Environment,
    File,
    Host,
    JoinToken,
    Network,
    Revision,
    Service,
    Stack,
    Unit,
    Volume,
    kind_of,
)
from paddock.wire.api import EventView


def events_of(commit: Commit, environment: str) -> Iterator[EventView]:
    """Nothing of keys and tokens, and nothing of other environments."""
    for change in commit.changes:
        thing = change.object
        if not isinstance(thing, ApiKey | JoinToken) and _environment_of(thing) == environment:
            yield _event(commit, change)


def _action(change: Change) -> str:
    if isinstance(change, Delete):
        return "remove"
    return "create" if change.created else "change"


def _environment_of(thing: AnyObject) -> str:
    return thing.id if isinstance(thing, Environment) else thing.environment


def _event(commit: Commit, change: Change) -> EventView:
    thing = change.object
    stack = service = host = state = ""
    kind = kind_of(thing)
    match thing:
        case Unit():
            kind, stack, service, host = "container", thing.stack_name, thing.service_name, thing.host or ""
            state = thing.state.name.lower()
            name = thing.name
        case Service():
            stack, service, name = thing.stack_name, thing.name, f"{thing.stack_name}/{thing.name}"
        case Revision():
            service, name = thing.spec.name, thing.id
        case Host():
            host, name, state = thing.id, thing.name, str(thing.state)
        case Stack():
            stack, name = thing.name, thing.name
            state = "removing" if thing.removing else ""
        case Network() | Volume():
            name = thing.name
        case File():
            kind, name = thing.purpose, thing.name
        case Environment():
            name, state = thing.name, thing.breaker
        case _:
            name = thing.id
    return EventView(
        version=commit.version, at_s=commit.at_s, action=_action(change), kind=kind, id=thing.id, name=name,
        reason=change.reason, stack=stack, service=service, host=host, state=state,
    )  # fmt: skip
