"""Whoever stands at the machines: joins anew what was taken out, and takes out what no machine is any more.

A host is taken out while its agent is connected, cut off, or off; or is not taken out at all before its machine joins
again, as when the agent's data was lost. Either way its engine still has all that it had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from paddock.model.changes import Change, Put
from paddock.model.objects import Host, HostId
from paddock.model.snapshot import Snapshot
from paddock.server.joining import free_name
from paddock.sim import adopted
from paddock.sim.machine import Machine
from paddock.sim.scenario import Scenario

if TYPE_CHECKING:
    from paddock.sim.operator import Operator

LOOK_EVERY_S = 1.0
AFTER_S = (0.5, 12.0)


class Joiner:
    """`work` goes on when the storm is over, and hurries then."""

    def __init__(self, operator: Operator, machines: Sequence[Machine]) -> None:
        self.operator = operator
        self.stage = operator.stage
        self.machines = list(machines)
        self.chance = self.stage.chance("joiner")
        self._due_s: dict[str, float] = {}
        """machine -> when it is joined anew"""
        self._out_s: dict[HostId, float] = {}
        """host that no machine is -> when it is taken out"""
        self._next: dict[str, HostId] = {}
        """machine -> the identity it was given last; whether the server knows of it, nobody was told"""
        self._count = 0
        self.on_join: Callable[[Machine], None] = lambda machine: None
        """Told of a machine before it is another host."""

    @staticmethod
    def needed(scenario: Scenario) -> bool:
        return any(scenario.operators.get(act, 0) > 0 for act in ("remove-host", "reinstall"))

    def machine(self, host: str | None) -> Machine | None:
        return next((machine for machine in self.machines if machine.id == host), None)

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for machine in self.machines:
                if self._is_due(machine):
                    await self._join(machine)
            for id in self._nobodys():
                await self.operator.attempt("take out", lambda now, id=id: self._taken_out(now, id))  # type: ignore[misc]

    def reinstall(self, machine: Machine) -> None:
        """Its agent's data is lost, and nobody says so to the server before it joins again."""
        self._due_s[machine.name] = self.stage.now()

    def _is_due(self, machine: Machine) -> bool:
        view = self.operator.server.snapshot()
        if view is None or not machine.powered:
            return False
        now_s = self.stage.now()
        if view.get(Host, machine.id) is None:
            self._due_s.setdefault(machine.name, now_s + self.chance.uniform(*AFTER_S))
        due_s = self._due_s.get(machine.name)
        return due_s is not None and (due_s <= now_s or not self.stage.mood.stormy)

    def _nobodys(self) -> list[HostId]:
        view = self.operator.server.snapshot()
        ours = [machine.id for machine in self.machines] + list(self._next.values())
        strays = [HostId(id) for id in sorted(view.table(Host)) if id not in ours] if view is not None else []
        now_s = self.stage.now()
        for id in strays:
            self._out_s.setdefault(id, now_s + self.chance.uniform(*AFTER_S))
        return [id for id in strays if self._out_s[id] <= now_s or not self.stage.mood.stormy]

    async def _join(self, machine: Machine) -> None:
        """What was adopted has no label of ours: it goes with the agent's data, which alone knew of it."""
        if machine.name not in self._next:
            self._count += 1
            self._next[machine.name] = HostId(f"host-{machine.name}-{self._count}")
        id = self._next[machine.name]
        if not await self.operator.attempt("join", lambda now: self._joined(now, machine, id)) or not machine.powered:
            return
        del self._next[machine.name], self._due_s[machine.name]
        self.on_join(machine)
        for name in adopted.NAMES:
            adopted.take_down(name, machine)
        machine.join_anew(id)

    def _joined(self, now: Snapshot, machine: Machine, id: HostId) -> tuple[Change, ...]:
        if now.get(Host, id) is not None:
            return ()
        environment, at_s = self.operator.environment, self.operator.server.clock.now_s()
        name = free_name(now, environment, machine.name)
        host = Host(id=id, environment=environment, name=name, since_s=at_s, joined_at_s=at_s)
        return (Put(object=host, reason=f"{name} joined"),)

    def _taken_out(self, now: Snapshot, id: HostId) -> tuple[Change, ...]:
        host = now.get(Host, id)
        return self.operator.taken_out(now, host) if host is not None else ()
