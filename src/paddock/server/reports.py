"""What agents report, checked, gathered over all sessions and committed as one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from paddock.model.changes import Change, Put
from paddock.model.errors import Transient
from paddock.model.objects import Host, Unit, UnitState, Volume
from paddock.model.reports import UnitReport
from paddock.model.snapshot import Snapshot
from paddock.server.committing import Decision, commit_decision
from paddock.server.session import Session
from paddock.store.store import Store
from paddock.wire.messages import Goodbye, Report, Reported
from paddock.world.world import World

MOST_WAITING = 2000
"""Reports; beyond that agents wait (their connections are not read)."""
MOST_AT_ONCE = 500
GATHER_S = 0.03
"""Commits of reports are at least so far apart; the first after a pause is made at once, and one that somebody who
creates a container waits for."""

_Taken = tuple[Session, Report]


class Reports:
    """While one commit is on its way, and a moment longer, the next reports gather; an idle server commits at once.

    Each commit is followed by deciding over every service it names, so it pays to have few of them."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._queue: asyncio.Queue[_Taken] = asyncio.Queue(MOST_WAITING)
        self._waited_for = asyncio.Event()

    async def take(self, session: Session, report: Report) -> None:
        """Waits while too many reports wait. A report of another session than its connection's changes nothing."""
        if report.session != session.number:
            self._world.probe("report of a stale session ignored")
            return
        await self._queue.put((session, report))
        if any(told.state == UnitState.PREPARED for told in report.units):
            self._waited_for.set()

    async def run(self) -> None:
        """Until cancelled."""
        next_s = 0.0
        while True:
            batch = [await self._queue.get()]
            pause_s = next_s - self._world.clock.monotonic_s()
            if pause_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._waited_for.wait()
            self._waited_for.clear()
            next_s = self._world.clock.monotonic_s() + GATHER_S
            while len(batch) < MOST_AT_ONCE and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._commit(batch)

    async def _commit(self, batch: list[_Taken]) -> None:
        def decide(snapshot: Snapshot) -> Decision[None]:
            return reported_changes(snapshot, batch, self._world), None

        try:
            await commit_decision(self._store, decide)
        except Transient as trouble:
            self._world.log.error("reports not committed", reason=trouble.message, reports=len(batch))
            for session, _ in batch:
                session.finish(trouble.message, Goodbye(reason=trouble.message))
            return
        for session, number in {session: report.number for session, report in batch}.items():
            session.say(Reported(number=number))


def reported_changes(snapshot: Snapshot, batch: list[_Taken], world: World) -> tuple[Change, ...]:
    """One change per unit and volume at most, later reports over earlier ones."""
    units: dict[str, Unit] = {}
    volumes: dict[str, Volume] = {}
    heard: dict[str, Host] = {}
    for session, report in batch:
        host = session.peer.host
        known = snapshot.get(Host, host)
        if known is None or known.session != report.session:
            world.probe("report of a session that was succeeded ignored")
            continue
        if report.whole and known.unheard:
            heard[host] = known
        for id in report.volumes:
            volume = snapshot.get(Volume, id)
            if volume is not None and volume.removing and volume.host == host:
                volumes[id] = volume
        for told in report.units:
            unit = units.get(told.unit) or snapshot.get(Unit, told.unit)
            if unit is None or unit.host != host:
                world.probe("report on an unknown unit ignored")
                continue
            after = unit_after(unit, told, world.now_s())
            if after is None:
                world.probe("report that would take a unit back ignored")
            elif after != unit:
                units[told.unit] = after
    freed = (msgspec.structs.replace(volume, host=None) for volume in volumes.values())
    gone = (Put(object=volume, reason="its host has removed it") for volume in freed)
    again = (msgspec.structs.replace(host, unheard=False) for host in heard.values())
    back = (Put(object=host, reason="all of its units have been heard of again") for host in again)
    return (*(Put(object=unit, reason=_reason(unit)) for unit in units.values()), *gone, *back)


def unit_after(unit: Unit, told: UnitReport, now_s: float) -> Unit | None:
    """None when the report is older than what is known: a unit's state only climbs."""
    if _forgotten(unit, told):
        told = msgspec.structs.replace(told, state=UnitState.REMOVED)
    if told.state < unit.state:
        return None
    changed = told.state != unit.state
    final = told.state >= UnitState.COMPLETE
    first_running = told.state == UnitState.RUNNING and not unit.running_since_s
    return msgspec.structs.replace(
        unit,
        state=told.state,
        healthy=told.healthy,
        containers=told.containers or unit.containers,
        starting=unit.starting and all(one.state == "created" for one in told.containers),
        message=told.message,
        state_since_s=now_s if changed else unit.state_since_s,
        running_since_s=now_s if first_running else unit.running_since_s,
        finished_at_s=now_s if final and not unit.finished_at_s else unit.finished_at_s,
    )


def _forgotten(unit: Unit, told: UnitReport) -> bool:
    """Somebody else's container was there, and its host, which lost what it remembered, waits for one to be made: it is
    gone (`--rm` and a power failure), and nobody will make it again."""
    return unit.standalone and not unit.remake and unit.state == UnitState.READY and told.state == UnitState.PREPARED


def _reason(unit: Unit) -> str:
    health = ""
    if unit.state == UnitState.RUNNING:
        health = ", healthy" if unit.healthy else ", not healthy yet"
    told = f": {unit.message}" if unit.message else ""
    return f"{unit.name} is {unit.state.name.lower()}{health}{told}"
