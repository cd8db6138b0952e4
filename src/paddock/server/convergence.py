"""Decides what follows from what changed, and writes it down: one snapshot, one plan, one commit.

Woken by the store's watch and by the times that plans ask for. The first change after a pause is looked at at once;
while changes keep coming they are gathered for `GATHER_S`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from paddock.core.converge import Plan, Scope, converge
from paddock.model.changes import Change, Put
from paddock.model.errors import Conflict, TooOld, Transient
from paddock.model.objects import kind_of
from paddock.model.snapshot import Snapshot
from paddock.store.store import Store
from paddock.world.backoff import Backoff
from paddock.world.world import World

GATHER_S = 0.05
MOST_GATHER_S = 1.0
"""Rounds are also as far apart as the last one took to decide, up to this: deciding leaves time for everything else."""
MOST_PENDING = 20_000
"""Changes remembered one by one; more, and everything is looked at."""
MOST_ROUNDS = 200
"""Rounds that each changed something, without a pause in between. Deciders that never agree are slowed down."""
SLOW_S = 1.0
MOST_WAKES = 100_000
"""Services that wait for a time of their own; more, and everything is looked at at the earliest."""
HOSTS = ""
EVERYTHING = "everything"
LOOK_AT_CLOCK_S = 5.0
JUMP_S = 1.0
"""A wall clock that is off by this much from where it should be has been set: all times are looked at again."""


class Convergence:
    """`run` for as long as the server lives. `settled` is true while nothing is left to decide."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._backoff = Backoff(world)
        self._pending: list[Change] = []
        self._everything = True
        self._wake = asyncio.Event()
        self._wakes: dict[str, float] = {}
        """Service, `HOSTS` or `EVERYTHING` -> when it asked to be looked at again."""
        self._last_round_s = -math.inf
        self._decided_in_s = 0.0
        self._rounds = 0
        self._offset_s = world.now_s() - world.clock.monotonic_s()

    @property
    def settled(self) -> bool:
        return not self._pending and not self._everything

    async def run(self) -> None:
        self._wake.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._decide_all())

    async def _follow(self) -> None:
        """Ends when the store is closed."""
        while True:
            _, commits = self._store.snapshot_and_watch()
            self._notice((), everything=True)
            try:
                async for commit in commits:
                    self._notice(commit.changes)
                return
            except TooOld:
                self._world.probe("convergence fell behind the history: everything is looked at")

    def _notice(self, changes: tuple[Change, ...], *, everything: bool = False) -> None:
        self._pending.extend(changes)
        if everything or len(self._pending) > MOST_PENDING:
            self._everything = True
            self._pending.clear()
        self._wake.set()

    async def _decide_all(self) -> None:
        while True:
            await self._woken()
            await self._gather()
            self._wake.clear()
            try:
                await self._decide()
                self._backoff.reset()
            except (Conflict, Transient) as trouble:
                self._world.log.warning("plan not committed", reason=trouble.message)
                self._notice((), everything=True)
                await self._backoff.wait()

    async def _woken(self) -> None:
        """Waits in slices, because the wall clock, which plans speak of, may be set."""
        while not self._wake.is_set():
            due_s = min(self._wakes.values(), default=math.inf) - self._world.now_s()
            if due_s <= 0:
                return
            try:
                async with asyncio.timeout(min(due_s, LOOK_AT_CLOCK_S)):
                    await self._wake.wait()
            except TimeoutError:
                self._look_at_clock()

    def _look_at_clock(self) -> None:
        offset_s = self._world.now_s() - self._world.clock.monotonic_s()
        if abs(offset_s - self._offset_s) > JUMP_S:
            self._world.probe("the wall clock jumped")
            self._world.log.warning("the clock was set", by_s=offset_s - self._offset_s)
            self._offset_s = offset_s
            self._notice((), everything=True)

    async def _gather(self) -> None:
        gather_s = min(max(GATHER_S, self._decided_in_s), MOST_GATHER_S)
        pause_s = self._last_round_s + gather_s - self._world.clock.monotonic_s()
        if self._rounds > MOST_ROUNDS:
            self._world.log.error("deciders do not come to rest", rounds=self._rounds)
            pause_s = SLOW_S
        if pause_s > 0:
            await asyncio.sleep(pause_s)

    async def _decide(self) -> None:
        """No await between the snapshot and the commit that is based on it."""
        snapshot = self._store.snapshot()
        scope = self._scope(snapshot)
        began_s = self._world.clock.monotonic_s()
        plan = converge(snapshot, self._world.now_s(), scope)
        self._last_round_s = self._world.clock.monotonic_s()
        self._decided_in_s = self._last_round_s - began_s
        self._remember(plan)
        if not plan.changes:
            self._rounds = 0
            return
        self._rounds += 1
        commit = await self._store.commit(plan.changes)
        self._log(plan.changes, commit.version)

    def _scope(self, snapshot: Snapshot) -> Scope:
        """What changed and whose time has come. Takes both off the list."""
        now_s = self._world.now_s()
        due = [one for one, at_s in self._wakes.items() if at_s <= now_s]
        everything = self._everything or EVERYTHING in due
        scope = Scope.everything() if everything else Scope.of(self._pending, snapshot)
        self._everything = False
        self._pending.clear()
        if everything:
            self._wakes.clear()
            return scope
        for one in due:
            del self._wakes[one]
        return scope.with_services(one for one in due if one != HOSTS)

    def _remember(self, plan: Plan) -> None:
        for one in plan.looked_at:
            self._wakes.pop(one, None)
        self._wakes.pop(HOSTS, None)
        soonest_s = self._world.now_s() + GATHER_S
        for one, at_s in plan.wakes.items():
            self._wakes[one] = max(at_s, soonest_s)
        if len(self._wakes) > MOST_WAKES:
            self._wakes = {EVERYTHING: min(self._wakes.values())}

    def _log(self, changes: Sequence[Change], version: int) -> None:
        """What was decided alike for several is told in one line, each by its id."""
        alike: dict[tuple[str, str, str], list[str]] = {}
        for change in changes:
            action = "delete" if not isinstance(change, Put) else "change" if change.object.version else "create"
            alike.setdefault((action, kind_of(change.object), change.reason), []).append(change.object.id)
        for (action, kind, reason), ids in alike.items():
            self._world.log.info("decided", action=action, kind=kind, id=" ".join(ids), reason=reason, version=version)
