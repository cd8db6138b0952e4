"""Decide over a snapshot, commit at once, decide again when somebody was there in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from paddock.model.changes import Change
from paddock.model.errors import Conflict, Transient
from paddock.model.snapshot import Snapshot
from paddock.store.store import Store

TRIES = 8
T = TypeVar("T")

Decision = tuple[Sequence[Change], T]
"""What to write, and what to tell the caller once it is written."""


async def commit_decision(store: Store, decide: Callable[[Snapshot], Decision[T]]) -> tuple[T, int]:
    """-> (the decision's answer, the version that holds it). What `decide` raises is passed on; a write that lost a
    race is decided anew, `TRIES` times at most.
    """
    for _ in range(TRIES):
        snapshot = store.snapshot()
        changes, answer = decide(snapshot)
        if not changes:
            return answer, snapshot.version
        try:
            commit = await store.commit(changes)
        except Conflict:
            continue
        return answer, commit.version
    raise Transient("too many writers at once; nothing was changed", retry_after_s=1.0)
