"""Hypothesis drives a store and a plain dictionary side by side; they may never tell different stories."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from paddock.model.changes import Change, Commit
from paddock.model.errors import Broken, Conflict, TooOld
from paddock.model.objects import Environment
from paddock.sim.disk import SimulatedDisk
from paddock.sim.loop import VirtualLoop
from paddock.store.store import HistoryLimits, Store
from unit.store.support import SqliteHome, contents, put, removed, renamed, replay

T = TypeVar("T")
IDS = st.sampled_from(["a", "b", "c", "d"])
KEPT = 6
NO_SHRINK = (Phase.explicit, Phase.generate)
"""A failure has 25 steps at most; shrinking it takes minutes."""


class StoreAndModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.disk = SimulatedDisk(seed=11)
        self.home = SqliteHome(Path("/sim"), self.disk)
        self.table: dict[str, Environment] = {}
        self.told: list[Commit] = []
        self.names = 0
        self.store: Store = self.run(self.home.open(HistoryLimits(commits=KEPT)))
        self.seen = 0
        self.watch: AsyncIterator[Commit] = self.store.watch(0)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(main)

    def change(self, id: str, *, remove: bool) -> Change:
        """The right change for where the model says the object is."""
        self.names += 1
        there = self.table.get(id)
        if there is None:
            return put(id, name=str(self.names))
        return removed(there) if remove else renamed(there, str(self.names))

    def accept(self, commit: Commit) -> None:
        assert commit.version == len(self.told) + 1
        self.told.append(commit)
        self.table = replay(self.told)

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), remove=st.booleans())
    def commit(self, ids: list[str], remove: bool) -> None:
        changes = [self.change(id, remove=remove) for id in ids]
        self.accept(self.run(self.store.commit(changes, expected=len(self.told))))

    @rule(ids=st.lists(IDS, min_size=2, max_size=4, unique=True))
    def commit_at_once(self, ids: list[str]) -> None:
        async def together() -> list[Commit]:
            return await asyncio.gather(*(self.store.commit([self.change(id, remove=False)]) for id in ids))

        for commit in self.run(together()):
            self.accept(commit)

    @rule(id=IDS, other=IDS, behind=st.integers(1, 3))
    def commit_from_an_older_view(self, id: str, other: str, behind: int) -> None:
        there = self.table.get(id)
        version = there.version + behind if there else behind
        stale = put(id, version=version, name="stale")
        good = [self.change(other, remove=False)] if other != id else []
        with pytest.raises(Conflict):
            self.run(self.store.commit([*good, stale]))
        with pytest.raises(Conflict):
            self.run(self.store.commit([self.change(id, remove=False)], expected=len(self.told) + behind))

    @rule(cut=st.booleans())
    def open_again(self, cut: bool) -> None:
        if cut:
            self.disk.cut_power()
        self.run(self.store.close())
        self.disk.restart()
        self.store = self.run(self.home.open(HistoryLimits(commits=KEPT)))
        self.watch_from(max(0, len(self.told) - KEPT))

    @rule(after=st.integers(1, 30))
    def break_while_committing(self, after: int) -> None:
        self.disk.arm(fail_at=after)
        change = self.change("e", remove=False)
        try:
            self.accept(self.run(self.store.commit([change])))
        except Broken:
            with pytest.raises(Broken):
                self.run(self.store.commit([self.change("a", remove=False)]))
            self.open_again(cut=True)
            version = self.store.snapshot().version
            assert version in (len(self.told), len(self.told) + 1)
            if version > len(self.told):
                self.accept(self.run(self.store.history(len(self.told), 1))[0])
        self.disk.arm()

    @precondition(lambda self: self.told)
    @rule(back=st.integers(0, 12), limit=st.integers(1, 12))
    def read_history(self, back: int, limit: int) -> None:
        since = max(0, len(self.told) - back)
        try:
            found = self.run(self.store.history(since, limit))
        except TooOld:
            assert len(self.told) - since > KEPT
        else:
            assert list(found) == self.told[since : since + limit]

    @rule()
    def follow_the_watch(self) -> None:
        async def catch_up() -> list[Commit]:
            found: list[Commit] = []
            while self.seen + len(found) < len(self.told):
                found.append(await anext(self.watch))
            return found

        async def next_one() -> None:
            async with asyncio.timeout(1.0):
                await anext(self.watch)

        try:
            assert self.run(catch_up()) == self.told[self.seen :]
        except TooOld:
            assert len(self.told) - self.seen > KEPT
            self.watch_from(len(self.told))
        self.seen = len(self.told)
        with pytest.raises(TimeoutError):
            self.run(next_one())

    def watch_from(self, since: int) -> None:
        self.seen = since
        self.watch = self.store.watch(since)

    @invariant()
    def the_same_story(self) -> None:
        assert contents(self.store.snapshot()) == self.table
        assert self.store.snapshot().version == self.store.durable().version == len(self.told)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.runner.close()
        self.disk.close()


TestStoreAndModel = StoreAndModel.TestCase
TestStoreAndModel.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, derandomize=True, phases=NO_SHRINK
)
