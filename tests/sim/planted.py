"""Does the simulator find bugs? Plants one at a time and runs seeds until it is found.

python tests/sim/planted.py          all of them, as a table; exit 1 when one survives
python tests/sim/planted.py NAME     one of them
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import msgspec

from paddock.agent import agent
from paddock.agent.keeper import Keeper
from paddock.agent.ledger import Ledger
from paddock.agent.networks import Networks
from paddock.core import commands, generations
from paddock.core.reconcile import hosts
from paddock.core.schedule import filters, place
from paddock.model.changes import Change, Commit, Put
from paddock.model.objects import Host, NetworkId, Unit
from paddock.model.reports import UnitReport
from paddock.server import reports, sessions
from paddock.sim.run import simulate
from paddock.sim.scenario import load
from paddock.store.journaled import JournaledStore


class Planted(msgspec.Struct, frozen=True, kw_only=True):
    """`patches` make the bug; `seeds` of `scenario` are tried in order."""

    patches: Callable[[], Sequence[Any]]
    scenario: str
    seeds: int = 25


def _acknowledged_early() -> Sequence[Any]:
    whole = JournaledStore.commit

    async def commit(self: JournaledStore, changes: Sequence[Change], *, expected: int | None = None) -> Commit:
        if not changes or expected is not None:
            return await whole(self, changes, expected=expected)
        self._refuse_if_ended()
        staged = self._stage(changes)
        staged.waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
        return staged.commit

    return [patch.object(JournaledStore, "commit", commit)]


def _ledger_not_synced() -> Sequence[Any]:
    async def sync(self: Ledger) -> None:
        return None

    return [patch.object(Ledger, "sync", sync)]


def _containers_removed_unasked() -> Sequence[Any]:
    def sweep(self: Keeper) -> None:
        for unit in self._sight.unclaimed():
            self._ledger.leave(unit)

    return [patch.object(Keeper, "_sweep", sweep)]


def _states_go_back() -> Sequence[Any]:
    whole = reports.unit_after

    def unit_after(unit: Unit, told: UnitReport, now_s: float) -> Unit | None:
        after = whole(unit, msgspec.structs.replace(told, state=max(told.state, unit.state)), now_s)
        return msgspec.structs.replace(after, state=told.state) if after is not None else None

    return [patch.object(reports, "unit_after", unit_after)]


def _ports_not_looked_at() -> Sequence[Any]:
    kept = tuple(one for one in filters.FILTERS if one is not filters.ports)
    return [patch.object(filters, "FILTERS", kept), patch.object(place, "FILTERS", kept)]


def _stale_reports() -> Sequence[Any]:
    """A session that was succeeded may go on reporting."""

    async def take(self: reports.Reports, session: Any, report: Any) -> None:
        await self._queue.put((session, report))

    async def commit(self: reports.Reports, batch: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await asyncio.Event().wait()
        await committed(self, batch)

    def accepted(snapshot: Any, batch: Any, world: Any) -> tuple[Change, ...]:
        told = []
        for session, report in batch:
            host = snapshot.get(Host, session.peer.host)
            told.append((session, msgspec.structs.replace(report, session=host.session if host else 0)))
        return whole(snapshot, told, world)

    whole, committed = reports.reported_changes, reports.Reports._commit
    return [
        patch.object(reports.Reports, "_commit", commit),
        patch.object(reports.Reports, "take", take),
        patch.object(reports, "reported_changes", accepted),
    ]


def _copies_act_at_once() -> Sequence[Any]:
    whole = agent.Agent._act

    async def act(self: agent.Agent) -> None:
        self._alone.set()
        await whole(self)

    return [patch.object(agent.Agent, "_act", act)]


def _copies_forget() -> Sequence[Any]:
    """That they were refused, once the server is away."""
    whole = agent.Agent._not_welcomed

    def not_welcomed(self: agent.Agent) -> None:
        self._doubted = self._doubted and self._session is not None
        whole(self)

    return [patch.object(agent.Agent, "_not_welcomed", not_welcomed)]


def _leftover_networks_stay() -> Sequence[Any]:
    async def remove_leftover(self: Networks, network: NetworkId) -> None:
        return None

    return [patch.object(Networks, "_remove_leftover", remove_leftover)]


def _admitted_anywhere() -> Sequence[Any]:
    return [patch.object(sessions, "refuse_elsewhere", lambda snapshot, hello, world: None)]


def _taken_out_halfway() -> Sequence[Any]:
    return [patch.object(commands, "given_up", lambda unit, reason, now_s: Put(object=unit, reason=reason))]


PLANTED = {
    "acknowledged-before-durable": Planted(patches=_acknowledged_early, scenario="servers"),
    "ledger-not-synced": Planted(patches=_ledger_not_synced, scenario="hosts"),
    "removed-without-an-assignment": Planted(patches=_containers_removed_unasked, scenario="hosts"),
    "states-go-back": Planted(patches=_states_go_back, scenario="hosts"),
    "breaker-off": Planted(
        patches=lambda: [patch.object(hosts, "_breaker", lambda draft, environment, losing: None)], scenario="hosts"
    ),
    "backoff-off": Planted(
        patches=lambda: [patch.object(generations, "backoff_s", lambda crashes: 0.0)], scenario="rollouts"
    ),
    "ports-not-looked-at": Planted(patches=_ports_not_looked_at, scenario="hosts"),
    "stale-reports-accepted": Planted(patches=_stale_reports, scenario="servers"),
    "copies-act-at-once": Planted(patches=_copies_act_at_once, scenario="identities"),
    "copies-forget": Planted(patches=_copies_forget, scenario="identities"),
    "copies-admitted-anywhere": Planted(patches=_admitted_anywhere, scenario="identities"),
    "leftover-networks-stay": Planted(patches=_leftover_networks_stay, scenario="identities", seeds=60),
    "taken-out-halfway": Planted(patches=_taken_out_halfway, scenario="identities"),
}


def find(name: str) -> tuple[int, str]:
    """(the first seed that finds it, what it says); (0, "") when none does."""
    planted = PLANTED[name]
    scenario = load(planted.scenario)
    with _all(planted.patches()):
        for seed in range(1, planted.seeds + 1):
            outcome = simulate(planted.scenario, scenario, seed)
            if outcome.wrongs:
                return seed, outcome.wrongs[0]
    return 0, ""


class _all:
    def __init__(self, patches: Sequence[Any]) -> None:
        self._patches = patches

    def __enter__(self) -> None:
        for one in self._patches:
            one.start()

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()


def main(names: Sequence[str]) -> int:
    survived = 0
    for name in names or list(PLANTED):
        seed, words = find(name)
        survived += not seed
        found = f"{PLANTED[name].scenario} seed {seed}: {words[:110]}" if seed else "SURVIVED"
        print(f"{name:32} {found}", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
