"""Containers that ran before Paddock came: they have no label of ours, and ask their engine for names."""

from __future__ import annotations

from paddock.agent.ledger import Ledger
from paddock.agent.observer import Observer
from paddock.drivers.engine import Engine, StepRefused
from paddock.model.assignment import UnitAssignment
from paddock.model.objects import UnitId
from paddock.model.observed import ObservedUnit
from paddock.model.steps import PointResolver
from paddock.world.world import World


class Adopted:
    def __init__(self, ledger: Ledger, engine: Engine, observer: Observer, world: World) -> None:
        self._ledger = ledger
        self._engine = engine
        self._observer = observer
        self._world = world
        self._minded: dict[str, None] = {}
        self._names_told_s: dict[UnitId, float] = {}
        """For which start of its container a unit's names were told."""

    async def mind(self, assignment: UnitAssignment) -> None:
        """From now on they are looked at, because they are named here."""
        for container in assignment.containers:
            if container.adopts and container.adopts not in self._minded:
                self._engine.mind(container.adopts)
                await self._observer.refresh(container.adopts)
                self._minded[container.adopts] = None

    async def tell_names(self, assignment: UnitAssignment, seen: ObservedUnit) -> None:
        """From its (re)start on such a container is to ask us."""
        asked = {container.adopts: container for container in assignment.containers if container.adopts}
        for observed in seen.containers:
            container = asked.get(observed.id)
            told_s = self._names_told_s.get(assignment.unit)
            if container is None or observed.state != "running" or told_s == observed.started_at_s:
                continue
            networks = [self._ledger.networks.get(endpoint.network) for endpoint in container.endpoints]
            joined = [one for one in networks if one is not None and one.engine_name in observed.networks]
            if not joined:
                continue
            self._names_told_s[assignment.unit] = observed.started_at_s
            try:
                await self._engine.apply(PointResolver(container=observed.id, nameserver=joined[0].gateway))
            except StepRefused as error:
                self._world.log.warning("names are not ours to answer", unit=assignment.unit, error=error.message)

    def forget(self, unit: UnitId) -> None:
        self._names_told_s.pop(unit, None)
