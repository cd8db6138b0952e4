"""One run: a cluster from a seed, a storm, the calm after it, and the verdict."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from paddock.model.changes import Change, Put
from paddock.model.objects import Environment, Host
from paddock.model.snapshot import Snapshot
from paddock.sim import loop
from paddock.sim.disk import PowerCut
from paddock.sim.engines_watch import EnginesWatch
from paddock.sim.machine import Machine
from paddock.sim.nemesis import Nemesis
from paddock.sim.operator import Operator
from paddock.sim.oracle import Oracle
from paddock.sim.rest import differences
from paddock.sim.scenario import Scenario
from paddock.sim.server import SimulatedServer
from paddock.sim.stage import Stage

SETUP_WITHIN_S = 60.0
HEAL_WITHIN_S = 600.0
"""Virtual time from the end of the storm until the wish and the world agree."""
AT_REST_S = 20.0
"""So long nothing may be committed then."""
LOOK_EVERY_S = 1.0
UNPAUSE_EVERY_S = 20


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`healed_s`: how long the world took after the storm. `lines`: the end of the trace."""

    scenario: str
    seed: int
    digest: str
    wrongs: tuple[str, ...]
    probes: dict[str, int]
    virtual_s: float
    healed_s: float
    commits: int
    lines: tuple[str, ...]

    @property
    def command(self) -> str:
        return f"python -m paddock.sim --seed {self.seed} --scenario {self.scenario}"


def simulate(name: str, scenario: Scenario, seed: int, echo: Callable[[str], None] | None = None) -> Outcome:
    """Same arguments, same outcome. The garbage collector rests meanwhile: it would run whenever it likes."""
    was, unraisable = gc.isenabled(), sys.unraisablehook
    gc.disable()
    sys.unraisablehook = _unless_dead(unraisable)
    try:
        return loop.run(_Run(name, scenario, seed, echo).main())
    finally:
        if was:
            gc.enable()
        gc.collect()
        sys.unraisablehook = unraisable


def _unless_dead(otherwise: Callable[[sys.UnraisableHookArgs], Any]) -> Callable[[sys.UnraisableHookArgs], Any]:
    """A connection to a disk whose process is dead cannot be closed in order, and nobody is there to be told."""
    return lambda told: None if isinstance(told.exc_value, PowerCut) else otherwise(told)


class _Over(Exception):
    """Ends the run's task group."""


class _Run:
    def __init__(self, name: str, scenario: Scenario, seed: int, echo: Callable[[str], None] | None) -> None:
        self.name = name
        self.scenario = scenario
        self.seed = seed
        self.echo = echo
        self.healed_s = 0.0
        self.stage: Stage
        self.oracle: Oracle

    async def main(self) -> Outcome:
        try:
            async with asyncio.TaskGroup() as group:
                self.stage = Stage(f"{self.name}/{self.seed}", group, self.echo)
                try:
                    await self._play()
                finally:
                    self._finish()
                raise _Over
        except* _Over:
            pass
        return Outcome(
            scenario=self.name,
            seed=self.seed,
            digest=self.stage.trace.digest,
            wrongs=tuple(self.stage.wrongs),
            probes=dict(Counter(self.stage.probes.hits)),
            virtual_s=self.stage.now(),
            healed_s=self.healed_s,
            commits=self.oracle.commits,
            lines=tuple(self.stage.trace.lines),
        )

    async def _play(self) -> None:
        stage = self.stage
        self.server = SimulatedServer(stage)
        self.oracle = Oracle(stage)
        self.server.on_open = self.oracle.opened
        self.server.on_message = lambda host, life, message: self.oracle.heard(host, message)
        names = [f"h{number + 1}" for number in range(self.scenario.hosts)]
        self.machines = [Machine(stage, name, number + 1, self.server.dial) for number, name in enumerate(names)]
        self.operator = Operator(stage, self.server, self.oracle, self.scenario, self.machines)
        nemesis = Nemesis(stage, self.server, self.machines, self.oracle)
        self.operator.joiner.on_join = nemesis.end_clones
        watch = EnginesWatch(stage, self.server, self.machines, self.oracle)
        if not await self._set_up():
            return
        always = [stage.spawn(watch.work(), "the watch over the engines")]
        if self.operator.joiner.needed(self.scenario):
            always.append(stage.spawn(self.operator.joiner.work(), "whoever stands at the machines"))
        storm = [
            stage.spawn(self.operator.work(), "the operator"),
            stage.spawn(nemesis.work(self.scenario), "the nemesis"),
        ]
        await self._until_wrong(self.scenario.storm_s)
        for task in storm:
            task.cancel()
        if not stage.over.is_set():
            nemesis.calm()
            await self._heal()
        for task in always:
            task.cancel()

    def _finish(self) -> None:
        self.stage.finished = True
        self.oracle.stop()
        self.server.kill(power=False)
        for machine in self.machines:
            machine.kill_agent()
            machine.engine.go_down()

    async def _until_wrong(self, within_s: float) -> bool:
        """Whether something went wrong before the time was over."""
        try:
            async with asyncio.timeout(within_s):
                await self.stage.over.wait()
        except TimeoutError:
            return False
        return True

    async def _set_up(self) -> bool:
        self.server.start()
        while self.server.plane is None and not self.stage.over.is_set():
            await self._until_wrong(0.1)
        if self.stage.over.is_set():
            return False
        await self.operator.ask(self._joined)
        for machine in self.machines:
            machine.start_agent()
        for _ in range(int(SETUP_WITHIN_S / LOOK_EVERY_S)):
            if self.operator.hosts_there:
                return True
            if await self._until_wrong(LOOK_EVERY_S):
                return False
        self.stage.wrong("not all hosts are there after the start")
        return False

    def _joined(self, snapshot: Snapshot) -> tuple[Change, ...]:
        environment = sorted(snapshot.table(Environment))[0]
        self.operator.environment = environment
        return tuple(
            Put(object=Host(id=machine.id, environment=environment, name=machine.name), reason="it joins")
            for machine in self.machines
        )

    async def _heal(self) -> None:
        began_s = self.stage.now()
        found: list[str] = []
        self.stage.spawn(self.operator.mend(), "the operator mends")
        quiet_since_s, version = began_s, 0
        looks = 0
        while self.stage.now() - began_s < HEAL_WITHIN_S:
            if await self._until_wrong(LOOK_EVERY_S):
                return
            looks += 1
            if looks % UNPAUSE_EVERY_S == 0:
                await self.operator.unpause()
            found = differences(self.oracle.view, self.operator.wishes, self.machines)
            if found or self.oracle.view.version != version:
                quiet_since_s, version = self.stage.now(), self.oracle.view.version
            elif self.stage.now() - quiet_since_s >= AT_REST_S:
                self.healed_s = quiet_since_s - began_s
                return
        reason = "; ".join(found[:6]) if found else "it never comes to rest"
        self.stage.wrong(f"{HEAL_WITHIN_S:.0f} s after the storm the wish and the world differ: {reason}")
