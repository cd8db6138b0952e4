"""What concerns one unit, out of all that is on the engine: its own containers, and who holds names it cares about."""

from __future__ import annotations

from collections.abc import Iterable

from paddock.agent.ledger import Ledger
from paddock.agent.observer import Observer
from paddock.model.assignment import UnitAssignment
from paddock.model.objects import UnitId
from paddock.model.observed import ObservedContainer, Progress


class Sight:
    """Ownership by id goes before labels: a container that is started again for a later unit keeps its first label."""

    def __init__(self, ledger: Ledger, observer: Observer) -> None:
        self._ledger = ledger
        self._observer = observer
        self._owners: dict[str, UnitId] = {}
        self.learn_owners()

    def learn_owners(self) -> None:
        """After an assignment was applied: containers may have been taken over."""
        self._owners = {
            owned.id: unit for unit, progress in self._ledger.progress.items() for owned in progress.owned.values()
        }

    def own(self, unit: UnitId, progress: Progress) -> None:
        for owned in progress.owned.values():
            self._owners[owned.id] = unit

    def own_containers(self, assignment: UnitAssignment) -> tuple[ObservedContainer, ...]:
        units = (assignment.unit, assignment.reuses)
        adopted = [container.adopts for container in assignment.containers if container.adopts]
        return tuple(
            container
            for container in self._observer.containers()
            if self._owners.get(container.id) == assignment.unit
            or (container.id not in self._owners and container.unit is not None and container.unit in units)
            or (container.id not in self._owners and container.id in adopted)
        )

    def named(self, names: Iterable[str], own: Iterable[ObservedContainer]) -> dict[str, ObservedContainer]:
        """Who of our containers has one of `names`; the unit's own are not meant."""
        wanted, mine = frozenset(names), frozenset(container.id for container in own)
        return {
            container.name: container
            for container in self._observer.containers()
            if container.name in wanted and container.id not in mine
        }

    def units_of(self, container: ObservedContainer) -> tuple[UnitId, ...]:
        """Whom it concerns when this container changes."""
        owner = self._owners.get(container.id)
        candidates = [owner, container.unit]
        candidates += [item.unit for item in self._assigned() if container.name in _cared_for(item)]
        candidates += [
            item.unit for item in self._assigned() if any(one.adopts == container.id for one in item.containers)
        ]
        candidates += [item.unit for item in self._assigned() if item.reuses and item.reuses == container.unit]
        return tuple(dict.fromkeys(unit for unit in candidates if unit is not None))

    def unclaimed(self) -> tuple[UnitId, ...]:
        """Units by label that nobody wished for and whose containers nobody took over."""
        known = dict.fromkeys(self._ledger.units())
        claimed = known | dict.fromkeys(item.reuses for item in self._assigned() if item.reuses)
        found = [
            container.unit
            for container in self._observer.containers()
            if container.unit is not None
            and container.unit not in claimed
            and self._owners.get(container.id) not in known
        ]
        return tuple(dict.fromkeys(found))

    def _assigned(self) -> list[UnitAssignment]:
        return list(self._ledger.assigned.values())


def _cared_for(assignment: UnitAssignment) -> list[str]:
    return [name for container in assignment.containers for name in (container.name, *container.after)]
