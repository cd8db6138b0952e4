"""The newest durable commits, kept in memory so that watchers who keep up never touch the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from paddock.model.changes import Commit

MOST_COMMITS = 4_096
MOST_CHANGES = 20_000


class RecentCommits:
    """Bounded by commits and by changes; the newest commit always stays."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._commits: dict[int, Commit] = {}
        self._order: deque[int] = deque()
        self._changes = 0

    def add(self, commit: Commit) -> None:
        self.version = commit.version
        self._commits[commit.version] = commit
        self._order.append(commit.version)
        self._changes += len(commit.changes)
        while len(self._order) > 1 and (len(self._order) > MOST_COMMITS or self._changes > MOST_CHANGES):
            self._changes -= len(self._commits.pop(self._order.popleft()).changes)

    def after(self, since: int, limit: int) -> Sequence[Commit] | None:
        """None: what comes right after `since` is not here any more."""
        if since >= self.version:
            return ()
        if since + 1 not in self._commits:
            return None
        return [self._commits[number] for number in range(since + 1, min(self.version, since + limit) + 1)]
