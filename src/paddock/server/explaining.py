"""`core.explain` with the history the store has kept, which tells every step in the decider's own words."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from paddock.core import explain as core
from paddock.model.errors import NotFound, TooOld
from paddock.model.objects import Environment
from paddock.model.snapshot import Snapshot
from paddock.server.containers import find_container
from paddock.store.store import Store
from paddock.wire.api import ExplainedStep, Explanation

LOOKED_BACK = 5_000
"""Commits of the history that are looked through."""
MOST_LINES = 50


async def explain(store: Store, environment: Environment, name: str) -> Explanation:
    """Raises `NotFound` when nothing has that name."""
    found = _found(store.durable(), environment, name)
    kept = await _history(store, found.concerned)
    steps = kept or [ExplainedStep(at_s=event.at_s, text=event.text) for event in found.history]
    return Explanation(
        name=found.name,
        kind=found.kind,
        state=found.state,
        summary=found.summary,
        waits_for=found.waits_for[:MOST_LINES],
        placed_because=found.placed_because,
        hosts=found.hosts,
        history=tuple(steps[-MOST_LINES:]),
    )


def _found(snapshot: Snapshot, environment: Environment, name: str) -> core.Explanation:
    try:
        return core.explain(snapshot, environment.id, name)
    except NotFound:
        container = find_container(snapshot, environment.id, name)
        if container is None:
            raise
        return core.explain(snapshot, environment.id, container[0].name)


async def _history(store: Store, ids: Collection[str]) -> list[ExplainedStep]:
    """Oldest first."""
    steps: list[ExplainedStep] = []
    wanted = frozenset(ids)
    newest = store.durable().version
    since = max(0, newest - LOOKED_BACK)
    while since < newest:
        try:
            commits = await store.history(since, 512)
        except TooOld:
            since = min(newest, since + 512)
            continue
        if not commits:
            break
        for commit in commits:
            since = commit.version
            reasons = _unique(change.reason for change in commit.changes if change.object.id in wanted)
            steps += [ExplainedStep(at_s=commit.at_s, text=reason) for reason in reasons]
    return steps


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
