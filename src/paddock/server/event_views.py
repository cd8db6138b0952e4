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
    Revision,
    Service,
    Stack,
    Unit,
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


def kind_word(thing: AnyObject) -> str:
    """As users say it: units are containers, files are secrets or configs."""
    match thing:
        case Unit():
            return "container"
        case File():
            return thing.purpose
        case _:
            return kind_of(thing)


def name_word(thing: AnyObject) -> str:
    match thing:
        case Service():
            return f"{thing.stack_name}/{thing.name}"
        case Revision() | ApiKey() | JoinToken():
            return thing.id
        case _:
            return thing.name


def _event(commit: Commit, change: Change) -> EventView:
    thing = change.object
    stack = service = host = state = ""
    match thing:
        case Unit():
            stack, service, host = thing.stack_name, thing.service_name, thing.host or ""
            state = thing.state.name.lower()
        case Service():
            stack, service = thing.stack_name, thing.name
        case Revision():
            service = thing.spec.name
        case Host():
            host, state = thing.id, str(thing.state)
        case Stack():
            stack, state = thing.name, "removing" if thing.removing else ""
        case Environment():
            state = thing.breaker
    return EventView(
        version=commit.version,
        at_s=commit.at_s,
        action=_action(change),
        kind=kind_word(thing),
        id=thing.id,
        name=name_word(thing),
        reason=change.reason,
        stack=stack,
        service=service,
        host=host,
        state=state,
    )
