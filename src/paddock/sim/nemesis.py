"""Breaks things, and mends each a while later; `calm` mends all of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from paddock.model.objects import Unit
from paddock.sim.clone import Clone, known
from paddock.sim.container import Container
from paddock.sim.machine import Machine
from paddock.sim.oracle import Oracle
from paddock.sim.scenario import Scenario
from paddock.sim.server import SimulatedServer
from paddock.sim.stage import Stage

FAST_S = (0.0005, 0.005)
HOUR_S, YEAR_S = 3600.0, 365 * 86400.0


class Nemesis:
    def __init__(self, stage: Stage, server: SimulatedServer, machines: list[Machine], oracle: Oracle) -> None:
        self.stage = stage
        self.oracle = oracle
        self.server = server
        self.machines = machines
        self.chance = stage.chance("nemesis")
        self._mending: list[asyncio.TimerHandle] = []
        self._clones: list[Clone] = []
        self._far_s = YEAR_S

    async def work(self, scenario: Scenario) -> None:
        """Until cancelled."""
        faults = self._faults()
        names = [name for name in sorted(faults) if scenario.faults.get(name, 0) > 0]
        weights = [scenario.faults[name] for name in names]
        while True:
            await asyncio.sleep(self.chance.uniform(*scenario.fault_every_s))
            name = self.chance.choices(names, weights)[0]
            machine = self.chance.choice(self.machines)
            self.stage.trace.note("nemesis", name, host=machine.name)
            faults[name](machine)

    def _faults(self) -> dict[str, Callable[[Machine], None]]:
        return {
            "power-loss": self._power_loss,
            "cut-link": self._cut_link,
            "cut-many": lambda machine: self._cut_many(),
            "drop-connection": lambda machine: machine.drop_connection("the connection was reset"),
            "slow-link": self._slow_link,
            "kill-agent": self._kill_agent,
            "kill-agent-at-write": lambda machine: machine.kill_agent_at_write(
                self.chance.randint(1, 40), power=self.chance.random() < 0.4
            ),
            "lose-ledger": self._lose_ledger,
            "full-disk": self._full_disk,
            "kill-engine": self._kill_engine,
            "stall-engine": self._stall_engine,
            "refusing-engine": self._refusing_engine,
            "break-events": lambda machine: machine.engine.break_streams("the stream of events broke"),
            "registry-away": lambda machine: self._registry_away(),
            "kill-container": lambda machine: self._harm(machine, remove=False),
            "remove-container": lambda machine: self._harm(machine, remove=True),
            "foreign-name": self._foreign_name,
            "jump-clock": self._jump_clock,
            "kill-server": lambda machine: self._kill_server(),
            "kill-server-at-write": lambda machine: self.server.kill_at_write(
                self.chance.randint(1, 60), power=self.chance.random() < 0.7
            ),
            "touch-kernel": lambda machine: machine.kernel.forget(),
            "clone-agent": self._clone_agent,
        }

    def _later(self, low_s: float, high_s: float, mend: Callable[[], None]) -> None:
        timer = asyncio.get_running_loop().call_later(self.chance.uniform(low_s, high_s), mend)
        self._mending.append(timer)

    # Hosts and links

    def _power_loss(self, machine: Machine) -> None:
        machine.power_off()
        self.end_clones(machine)
        self._later(1.0, 60.0, machine.power_on)

    def _cut_link(self, machine: Machine) -> None:
        self._cut(machine)
        self._later(1.0, 45.0, lambda: self._heal(machine))

    def _cut(self, machine: Machine) -> None:
        machine.weather.cut = True

    def _heal(self, machine: Machine) -> None:
        machine.weather.cut = False

    def _cut_many(self) -> None:
        """All but one at most: a switch has failed."""
        chosen = list(self.machines)
        self.chance.shuffle(chosen)
        spared = self.chance.randint(0, 1)
        healed_s = self.chance.uniform(12.0, 50.0)
        for machine in chosen[spared:]:
            self._cut(machine)
            self._later(healed_s, healed_s + 0.5, lambda machine=machine: self._heal(machine))  # type: ignore[misc]

    def _slow_link(self, machine: Machine) -> None:
        machine.weather.delay_s = (0.02, self.chance.uniform(0.1, 4.0))
        self._later(3.0, 30.0, lambda: self._fast(machine))

    def _fast(self, machine: Machine) -> None:
        machine.weather.delay_s = FAST_S

    # Processes

    def _kill_agent(self, machine: Machine) -> None:
        machine.kill_agent()
        self._later(0.1, 20.0, machine.start_agent)

    def _lose_ledger(self, machine: Machine) -> None:
        if machine.powered:
            self.oracle.confirmed.pop(machine.id, None)
            machine.lose_ledger()
            if self.chance.random() < 0.5:
                self._cut_link(machine)

    def _full_disk(self, machine: Machine) -> None:
        """Somebody's log has filled it."""
        machine.disk.fill(self.chance.choice((0, 2000, 8000)))
        self._later(3.0, 40.0, lambda: self._emptied(machine))

    def _emptied(self, machine: Machine) -> None:
        machine.disk.capacity_bytes = 0

    def _kill_server(self) -> None:
        self.server.kill(power=self.chance.random() < 0.5)
        self._later(0.2, 15.0, self.server.start)

    def _jump_clock(self, machine: Machine) -> None:
        by_s = self.chance.choice((-1, 1)) * self.chance.choice((0.5, 30.0, self._far_s))
        if abs(by_s) > 30:
            self._far_s = HOUR_S if self._far_s == YEAR_S else YEAR_S
        clock = self.server.clock if self.chance.random() < 0.4 else machine.clock
        clock.jump(by_s)
        self.stage.probes.hit("a clock jumped by a year" if abs(by_s) == YEAR_S else "a clock jumped")

    def _clone_agent(self, machine: Machine) -> None:
        """Somewhere where it will be refused."""
        others = [other for other in self.machines if other is not machine]
        where = self.chance.choice(others)
        view, plane = self.server.snapshot(), self.server.plane
        if view is None or plane is None or not (known(view, machine) and known(view, where)):
            return
        if not where.powered or where.weather.cut or not plane.sessions.alive(machine.id) or machine.agent is None:
            return
        clone = Clone(machine, where, self.server, len(self._clones) + 1)
        self._clones.append(clone)
        self._later(5.0, 60.0, clone.end)

    def end_clones(self, machine: Machine) -> None:
        for clone in self._clones:
            if clone.where is machine:
                clone.end()

    # Engines

    def _kill_engine(self, machine: Machine) -> None:
        machine.engine.live_restore = self.chance.random() < 0.5
        machine.engine.go_down()
        self._later(0.5, 30.0, lambda: self._engine_up(machine))

    def _engine_up(self, machine: Machine) -> None:
        if machine.powered:
            machine.engine.come_up()

    def _stall_engine(self, machine: Machine) -> None:
        machine.engine.stall()
        self._later(1.0, 60.0, machine.engine.resume)

    def _refusing_engine(self, machine: Machine) -> None:
        machine.engine.refusals = self.chance.uniform(0.05, 0.5)
        self._later(3.0, 40.0, lambda: self._willing(machine))

    def _willing(self, machine: Machine) -> None:
        machine.engine.refusals = 0.0

    def _registry_away(self) -> None:
        for machine in self.machines:
            machine.engine.registry_down = True
        self._later(3.0, 30.0, self._registry_back)

    def _registry_back(self) -> None:
        for machine in self.machines:
            machine.engine.registry_down = False

    def _harm(self, machine: Machine, *, remove: bool) -> None:
        """Somebody with a shell on the host."""
        running = [container for container in machine.engine.containers.values() if container.running]
        if not running or machine.engine.state == "down":
            return
        container = self.chance.choice(running)
        container.told_to_stop = remove
        machine.engine.end(container, 137)
        if remove:
            machine.engine.remove_now(container)

    def _foreign_name(self, machine: Machine) -> None:
        """A container that is not ours has the name of one that may come."""
        view = self.server.snapshot()
        names = sorted({unit.name for unit in view.table(Unit).values()}) if view is not None else []
        name = self.chance.choice(names) if names else ""
        if not name or machine.engine.find(name) is not None:
            return
        id = machine.engine.new_id()
        machine.engine.containers[id] = Container(
            id=id, name=name, image="theirs/steady:1", unit=None, role="", body={}
        )

    # After the storm

    def calm(self) -> None:
        for timer in self._mending:
            timer.cancel()
        self._mending.clear()
        self.server.disk.arm()
        adopted = {unit.adopts for unit in self.oracle.view.table(Unit).values()}
        self.stage.mood.stormy = False
        for clone in self._clones:
            clone.end()
        for machine in self.machines:
            machine.disk.arm()
            self._emptied(machine)
            self._heal(machine)
            self._fast(machine)
            self._willing(machine)
            machine.engine.resume()
            machine.power_on()
            machine.engine.come_up()
            machine.start_agent()
            there = list(machine.engine.containers.values())
            for container in [one for one in there if one.unit is None and one.id not in adopted]:
                machine.engine.remove_now(container)
        self._registry_back()
        self.server.start()
        self.stage.trace.note("nemesis", "the storm is over")
