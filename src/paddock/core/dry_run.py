"""What `up --dry-run` shows: the very changes that `up` would commit and those that would follow at once."""

from __future__ import annotations

from collections.abc import Sequence

from paddock.core.converge import Scope, converge
from paddock.model.changes import Change
from paddock.model.snapshot import Snapshot


def dry_run(snapshot: Snapshot, wish: Sequence[Change], now_s: float) -> tuple[Change, ...]:
    """The wish itself first, then what `converge` makes of it."""
    after = snapshot.with_changes(wish)
    return (*wish, *converge(after, now_s, Scope.of(wish, after)).changes)
