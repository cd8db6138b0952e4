"""Sees every durable commit and every message, and says at once when something that must never be is.

It keeps a view of its own, replayed from the watch alone and across all lives of the server; what a restarted server
has loaded must be that very view.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

import msgspec

from paddock.core.schedule.ports import Claim, claims
from paddock.model.changes import Change, Commit, Put
from paddock.model.errors import Broken
from paddock.model.objects import (
    KINDS,
    AnyObject,
    Environment,
    Host,
    HostId,
    HostState,
    Revision,
    Rollout,
    Service,
    ServiceId,
    Unit,
    UnitDesired,
    UnitId,
    UnitState,
    kind_of,
)
from paddock.model.reports import UnitReport
from paddock.model.snapshot import Snapshot
from paddock.sim.engine_client import OVERLAPS
from paddock.sim.stage import Stage
from paddock.store.journaled import JournaledStore
from paddock.wire.messages import Confirm, Report, decode_from_agent

TOGETHER_S = 30.0
PACE_OVER_S = 60.0
MOST_CRASHES = 14
"""Backoff starts at half a second and doubles: eight fit, and a few more when a change begins it anew."""
_ONLY_REPORTED = (
    UnitState.PREPARING, UnitState.READY, UnitState.STARTING, UnitState.RUNNING, UnitState.COMPLETE, UnitState.FAILED,
    UnitState.SHUTDOWN, UnitState.REJECTED,
)  # fmt: skip
"""What nobody but an agent can know; the other states are also decided."""
_REMARKABLE = {"paused": "paused", "rolled-back": "rolled back", "completed": "completed"}


class Oracle:
    """`acknowledged`: no operator was ever told of a later version."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.view = Snapshot.empty()
        self.acknowledged = 0
        self.confirmed: dict[HostId, int] = {}
        """host -> the newest assignment its agent said it holds durably"""
        self.drained = False
        """A host was drained at some time, so units may overlap on their way off it."""
        self.commits = 0
        self._made: dict[tuple[ServiceId, int], deque[float]] = {}
        """slot -> when units were made in it after a crash, lately"""
        self._told: dict[HostId, dict[UnitId, list[UnitReport]]] = {}
        """host -> what was reported in its newest session"""
        self._following: asyncio.Task[None] | None = None

    def opened(self, store: JournaledStore) -> None:
        """A server has loaded its store and done nothing with it yet."""
        loaded = store.durable()
        at = max(self.view.version, self.acknowledged)
        if loaded.version < at:
            self.stage.wrong(f"the store was at version {at}, and is at {loaded.version} after the server's restart")
            return
        if self._following is not None:
            self._following.cancel()
        self._following = self.stage.spawn(self._follow(store, loaded), "the oracle")

    def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()

    async def _follow(self, store: JournaledStore, loaded: Snapshot) -> None:
        try:
            await self._follow_commits(store, loaded)
        except Broken:
            # Its disk was taken away. What became durable before is looked for when it is opened again.
            self.stage.probes.hit("a watcher of a broken store")

    async def _follow_commits(self, store: JournaledStore, loaded: Snapshot) -> None:
        if self.view.version == loaded.version:
            self._compare(loaded)
        async for commit in store.watch(self.view.version):
            before = self.view
            if commit.version != before.version + 1:
                self.stage.wrong(f"the watch goes from version {before.version} to {commit.version}")
                return
            self.view = replayed(before, commit)
            self.commits += 1
            self._note(commit)
            self._check(before, commit)
            if self.view.version == loaded.version:
                self._compare(loaded)

    def _compare(self, loaded: Snapshot) -> None:
        for kind in KINDS:
            if dict(self.view.table(kind)) != dict(loaded.table(kind)):
                self.stage.wrong(f"the loaded {kind_of(kind)} objects are not those that were committed")

    def _note(self, commit: Commit) -> None:
        for change in commit.changes:
            self.stage.trace.note("store", f"{commit.version} {in_short(change)}")

    # Messages

    def heard(self, host: str, message: bytes) -> None:
        """On the server's end, before the server."""
        match decode_from_agent(message):
            case Confirm(assignment=version):
                known = self.confirmed.get(HostId(host), 0)
                self.confirmed[HostId(host)] = max(known, version)
            case Report(session=session, units=units):
                known_host = self.view.get(Host, host)
                told = self._told.setdefault(HostId(host), {})
                if known_host is None or known_host.session != session:
                    self.stage.probes.hit("report of an earlier session arrives")
                    return
                for unit in units:
                    told.setdefault(unit.unit, []).append(unit)
            case _:
                pass

    # Commits

    def _check(self, before: Snapshot, commit: Commit) -> None:
        services: dict[ServiceId, None] = {}
        hosts: dict[HostId, None] = {}
        for change in commit.changes:
            thing = change.object
            match thing:
                case Unit():
                    services[thing.service] = None
                    if thing.host is not None:
                        hosts[thing.host] = None
                    self._check_report(before, change, thing)
                    self._check_move(before, thing)
                    self._check_pace(before, thing)
                    if thing.adopts and thing.state == UnitState.RUNNING:
                        self.stage.probes.hit("an adopted container runs")
                    if thing.state == UnitState.REJECTED and OVERLAPS in thing.message:
                        # Every network is ours, and none of ours is to keep another one out.
                        self.stage.wrong(f"{thing.id} is rejected by {thing.host}: {thing.message}")
                    if thing.remake and thing.state == UnitState.READY:
                        self.stage.probes.hit("a container outlived its host")
                case Host():
                    self._check_host(before, thing)
                    hosts[HostId(thing.id)] = None
                case Service(rollout=Rollout(state=state)) if state in _REMARKABLE:
                    self.stage.probes.hit(f"a rollout {_REMARKABLE[state]}")
                case Environment(breaker="open"):
                    self.stage.probes.hit("the breaker opened")
                case _:
                    pass
        for service in services:
            self._check_slots(service)
        for host in hosts:
            self._check_room(host)

    def _check_host(self, before: Snapshot, host: Host) -> None:
        was = before.get(Host, host.id)
        if was is None or was.session != host.session:
            self._told.pop(HostId(host.id), None)
        if host.availability == "drained":
            self.drained = True

    def _check_report(self, before: Snapshot, change: Change, unit: Unit) -> None:
        """What only a report can say must have been said in the session that was the newest when it was committed."""
        was = before.get(Unit, unit.id)
        if was is None or not isinstance(change, Put) or unit.host is None:
            return
        climbed = unit.state != was.state and unit.state in _ONLY_REPORTED
        if not climbed and unit.containers == was.containers and unit.healthy <= was.healthy:
            return
        told = self._told.get(unit.host, {}).get(UnitId(unit.id), [])
        if not any(
            (not said.containers or said.containers == unit.containers)
            and said.healthy >= unit.healthy
            and (not climbed or said.state == unit.state)
            for said in told
        ):
            self.stage.wrong(f"unit {unit.id} changed ({change.reason}) as no report of this session says")

    def _check_move(self, before: Snapshot, unit: Unit) -> None:
        """When most hosts fall silent at once, no unit is given up for lost."""
        was, host = before.get(Unit, unit.id), self.view.get(Host, unit.host or "")
        if was is None or not was.live or unit.state != UnitState.ORPHANED or unit.desired >= UnitDesired.STOPPED:
            return
        if host is None or self.view.table(Environment)[unit.environment].breaker == "overridden":
            return
        hosts = [one for one in self.view.table(Host).values() if one.environment == unit.environment]
        others = sum(1 for one in hosts if one.state is not HostState.LOST)
        together = [
            one for one in hosts if one.state is HostState.LOST and abs(one.since_s - host.since_s) <= TOGETHER_S
        ]
        if len(together) >= 2 and len(together) > others:
            self.stage.wrong(f"{unit.id} was given up although {len(together)} of {len(hosts)} hosts were lost at once")

    def _check_pace(self, before: Snapshot, unit: Unit) -> None:
        """A slot whose units crash is not filled again and again without a pause."""
        if before.get(Unit, unit.id) is not None or unit.crashes == 0:
            return
        now = self.stage.now()
        made = self._made.setdefault((unit.service, unit.slot), deque())
        made.append(now)
        while made[0] < now - PACE_OVER_S:
            made.popleft()
        if len(made) > MOST_CRASHES:
            self.stage.wrong(f"{unit.id} is number {len(made)} of its slot in {PACE_OVER_S:.0f} s after crashes")

    def _check_slots(self, service: ServiceId) -> None:
        overlaps = self.drained or any(
            "start-first" in (revision.spec.update.order, revision.spec.rollback.order)
            for revision in self.view.revisions_of_service(service)
        )
        slots: dict[int, list[Unit]] = {}
        for unit in self.view.units_of_service(service):
            if unit.live and unit.state >= UnitState.PLACED:
                slots.setdefault(unit.slot, []).append(unit)
        for units in slots.values():
            staying = [unit for unit in units if unit.desired < UnitDesired.STOPPED]
            if len(staying) > 1:
                self.stage.probes.hit("two generations in one slot")
            if len(staying) > 2 or (len(units) > 1 and not overlaps):
                names = ", ".join(in_short_unit(unit) for unit in units)
                self.stage.wrong(f"a slot of {service} has too many live units: {names}")

    def _check_room(self, id: HostId) -> None:
        host = self.view.get(Host, id)
        if host is None or not host.facts.cpus:
            return
        cpu = memory = 0
        taken: list[tuple[Claim, str]] = []
        for unit in self.view.units_on_host(id):
            revision = self.view.get(Revision, unit.revision)
            if not unit.live or revision is None:
                continue
            cpu += revision.spec.reservation.cpu_milli
            memory += revision.spec.reservation.memory_bytes
            for claim in claims(revision.spec):
                if not claim.single:
                    continue
                for other, owner in taken:
                    if claim.clashes(other):
                        self.stage.wrong(f"{unit.id} and {owner} both have port {claim} of {host.name}")
                taken.append((claim, unit.id))
        if cpu > host.facts.cpus * 1000 or memory > host.facts.memory_bytes:
            self.stage.wrong(f"{host.name} has {cpu} mCPU and {memory >> 20} MiB reserved, which is more than it has")


def replayed(before: Snapshot, commit: Commit) -> Snapshot:
    """The view after a commit as the watch delivered it."""
    return before.with_changes(_as_written(before, commit.changes), commit.version)


def _as_written(before: Snapshot, changes: Iterable[Change]) -> list[Change]:
    written: list[Change] = []
    for change in changes:
        thing: AnyObject = change.object
        was = before.get(type(thing), thing.id)
        if isinstance(change, Put):
            thing = msgspec.structs.replace(thing, version=was.version if was is not None else 0)
            written.append(Put(object=thing, reason=change.reason))
        else:
            written.append(change)
    return written


def in_short(change: Change) -> str:
    thing = change.object
    what = in_short_unit(thing) if isinstance(thing, Unit) else f"{kind_of(thing)} {thing.id}"
    if isinstance(thing, Host):
        what += f" {thing.state} {thing.availability} session {thing.session}"
    return f"{'put' if isinstance(change, Put) else 'delete'} {what}: {change.reason}"


def in_short_unit(unit: Unit) -> str:
    state = f"{unit.state.name.lower()}/{unit.desired.name.lower()}"
    return f"{unit.id} {state} on {unit.host}" + (f" reuses {unit.reuses}" if unit.reuses else "")
