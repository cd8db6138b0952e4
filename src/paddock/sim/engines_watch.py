"""Looks at what really runs on the hosts, beside what the control plane believes."""

from __future__ import annotations

import asyncio

from paddock.agent.ledger import Ledger
from paddock.model.objects import ServiceId, Unit, UnitDesired, UnitId, UnitState
from paddock.model.snapshot import Snapshot
from paddock.sim.container import Container
from paddock.sim.machine import Machine
from paddock.sim.oracle import Oracle
from paddock.sim.server import SimulatedServer
from paddock.sim.stage import Stage

LOOK_EVERY_S = 1.0
BOUND_S = 90.0
"""A host that all is well with is not wrong about what runs on it for longer than this."""


def slot_of(unit: UnitId) -> tuple[ServiceId, int]:
    service, slot, _ = unit.rsplit(".", 2)
    return ServiceId(service), int(slot)


class EnginesWatch:
    """`steady` hosts: powered, engine up, connected, without a break."""

    def __init__(self, stage: Stage, server: SimulatedServer, machines: list[Machine], oracle: Oracle) -> None:
        self.stage = stage
        self.server = server
        self.machines = machines
        self.oracle = oracle
        self._wrong_since_s: dict[tuple[str, str], float] = {}
        for machine in machines:
            machine.on_ledger = self._ledger_opened
            machine.on_harm = self._harmed

    async def work(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            for machine in self.machines:
                self._look(machine)

    def _look(self, machine: Machine) -> None:
        now = self.stage.now()
        found = self._faults(machine) if self._well(machine) else {}
        for key in [key for key in self._wrong_since_s if key[0] == machine.name and key[1] not in found]:
            del self._wrong_since_s[key]
        for what, words in found.items():
            since_s = self._wrong_since_s.setdefault((machine.name, what), now)
            if now - since_s > BOUND_S:
                self.stage.wrong(f"{words}, and that for {now - since_s:.0f} s")

    def _well(self, machine: Machine) -> bool:
        agent = machine.agent
        server = self.server.plane
        return (
            machine.powered
            and machine.engine.state == "up"
            and machine.engine.refusals == 0.0
            and not machine.weather.cut
            and agent is not None
            and agent.connected
            and server is not None
            and server.sessions.alive(machine.id)
        )

    def _faults(self, machine: Machine) -> dict[str, str]:
        found: dict[str, str] = {}
        there: dict[tuple[ServiceId, int], list[Container]] = {}
        for container in machine.engine.containers.values():
            if container.unit is not None and container.running and not container.role:
                there.setdefault(slot_of(container.unit), []).append(container)
        wished = _wished(self.oracle.view, machine)
        for slot, containers in there.items():
            allowed = len(wished.get(slot, ()))
            if len(containers) > allowed:
                names = ", ".join(f"{container.name} of {container.unit}" for container in containers)
                found[f"many {slot}"] = (
                    f"{len(containers)} containers run on {machine.name} where {allowed} may: {names}"
                )
        for units in wished.values():
            for unit in units:
                if unit.state == UnitState.RUNNING and not _runs(machine, unit):
                    found[f"dead {unit.id}"] = f"{unit.id} is said to run on {machine.name} and does not"
        return found

    # What agents do

    def _ledger_opened(self, machine: Machine, ledger: Ledger) -> None:
        confirmed = self.oracle.confirmed.get(machine.id, 0)
        if ledger.version < confirmed:
            self.stage.wrong(
                f"{machine.name} confirmed assignment {confirmed}, and its ledger is back at {ledger.version}"
            )

    def _harmed(self, machine: Machine, container: Container) -> None:
        """A container that is wished to run, and does, is not to be touched."""
        if container.unit is None or not container.running:
            return
        service, slot = slot_of(container.unit)
        for unit in self.oracle.view.units_of_service(service):
            if unit.slot != slot or unit.host != machine.id or unit.desired != UnitDesired.RUN:
                continue
            ids = [status.id for status in unit.containers]
            if unit.state == UnitState.RUNNING and container.id in ids and _all_run(machine, ids):
                self.stage.wrong(f"the agent of {machine.name} stops {container.name}, which {unit.id} wants to run")


def _all_run(machine: Machine, ids: list[str]) -> bool:
    found = [machine.engine.containers.get(id) for id in ids]
    return all(container is not None and container.running for container in found)


def _wished(view: Snapshot, machine: Machine) -> dict[tuple[ServiceId, int], list[Unit]]:
    """Slot -> its units that may have a running container here."""
    found: dict[tuple[ServiceId, int], list[Unit]] = {}
    for unit in view.units_on_host(machine.id):
        if unit.live and unit.state >= UnitState.PLACED and unit.desired < UnitDesired.STOPPED:
            found.setdefault((unit.service, unit.slot), []).append(unit)
    return found


def _runs(machine: Machine, unit: Unit) -> bool:
    for status in unit.containers:
        container = machine.engine.containers.get(status.id)
        if status.role == "" and (container is None or container.state not in ("running", "restarting")):
            return False
    return True
