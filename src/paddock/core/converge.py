"""From what is wished and what is known to what is to be written: the reconcilers, one after the other, until at rest.

`converge` is called again with whatever its changes led to; on their own result it has nothing more to say. Nothing in
it depends on the order of the snapshot's tables.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from paddock.core.attachments import networks_of
from paddock.core.draft import Draft
from paddock.core.links import links
from paddock.core.reconcile.handover import handover
from paddock.core.reconcile.history import history, unused_revisions
from paddock.core.reconcile.hosts import hosts
from paddock.core.reconcile.moves import moves
from paddock.core.reconcile.networks import allot, tidy
from paddock.core.reconcile.ordering import ordering
from paddock.core.reconcile.placement import placement
from paddock.core.reconcile.removal import removal, unused_file, volume_removal
from paddock.core.reconcile.restarts import restarts
from paddock.core.reconcile.rollouts import rollouts
from paddock.core.reconcile.services import services
from paddock.core.scope import Scope
from paddock.model.changes import Change
from paddock.model.objects import File, Network, Service, Stack, Volume
from paddock.model.snapshot import Snapshot

MOST_ROUNDS = 12
"""Times one service is looked at in one call; what is left then is found by the next call."""

RECONCILERS = (
    restarts, rollouts, moves, services, placement, handover, ordering, history, unused_revisions,
)  # fmt: skip
"""For one service, in this order: first what becomes of the units there are, then those that are missing."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`changes` are to be committed as one. `wakes`: service -> when time alone may change the answer for it; "" are
    the hosts, which every call looks at. `looked_at`: services of which the others wait for no time any more."""

    changes: tuple[Change, ...] = ()
    wakes: dict[str, float] = {}
    looked_at: tuple[str, ...] = ()

    @property
    def wake_at_s(self) -> float | None:
        return min(self.wakes.values(), default=None)


def converge(snapshot: Snapshot, now_s: float, scope: Scope) -> Plan:
    draft = Draft(snapshot, now_s)
    touched = dict.fromkeys(scope.services_in(snapshot))
    for environment in scope.environments_in(snapshot):
        before = draft.writes
        hosts(draft, environment)
        if draft.writes != before:
            touched |= dict.fromkeys(s.id for s in draft.table(Service) if s.environment == environment.id)
    looked_at = _services(draft, touched)
    _remains(draft, scope)
    return Plan(changes=draft.changes(), wakes=draft.wakes, looked_at=looked_at)


def _services(draft: Draft, touched: dict[str, None]) -> tuple[str, ...]:
    """Each service in the order they were made; those that wait for one which moved are looked at again."""
    _allot(draft, touched)
    rounds: dict[str, int] = {}
    queue = _in_order(draft, touched)
    while queue:
        again: dict[str, None] = {}
        for id in queue:
            service = draft.get(Service, id)
            if service is None or rounds.get(id, 0) >= MOST_ROUNDS:
                continue
            rounds[id] = rounds.get(id, 0) + 1
            before, neighbours = draft.writes, _neighbours(draft, service)
            _service(draft, service)
            if draft.writes != before:
                again |= {id: None} | dict.fromkeys(neighbours)
        queue = _in_order(draft, again)
    return tuple(rounds)


def _service(draft: Draft, service: Service) -> None:
    draft.looked_at = service.id
    for reconcile in RECONCILERS:
        current = draft.get(Service, service.id)
        if current is None:
            return
        reconcile(draft, current)


def _in_order(draft: Draft, ids: Iterable[str]) -> list[str]:
    found = [service for id in ids if (service := draft.get(Service, id)) is not None]
    return [service.id for service in sorted(found, key=lambda service: (service.created_at_s, service.id))]


def _neighbours(draft: Draft, service: Service) -> list[str]:
    """Services whose own answer may change with this one's: those of the stack that name it, or are named by it."""
    between = links(draft, service.stack)
    naming: list[str] = [id for id, _ in between.dependents.get(service.name, ())]
    naming += between.sharers.get(service.name, [])
    if draft.get(Service, service.id) is None:
        return naming
    spec = draft.spec(service)
    named = [one.service for one in spec.depends_on] + [one.service for one in spec.container.sharing]
    return [*naming, *(between.ids[name] for name in named if name in between.ids)]


def _allot(draft: Draft, touched: dict[str, None]) -> None:
    networks: dict[str, None] = {}
    for id in _in_order(draft, touched):
        service = draft.get(Service, id)
        if service is not None and not service.removing:
            networks |= dict.fromkeys(networks_of(draft.revision(service)))
    for network_id in networks:
        network = draft.get(Network, network_id)
        if network is not None:
            allot(draft, network)


def _remains(draft: Draft, scope: Scope) -> None:
    """What belongs to no service in particular."""
    for stack in scope.things_in(draft, Stack):
        removal(draft, stack)
    for network in scope.things_in(draft, Network):
        tidy(draft, network)
    for volume in scope.things_in(draft, Volume):
        volume_removal(draft, volume)
    for file in scope.things_in(draft, File):
        unused_file(draft, file)


__all__ = ["Plan", "Scope", "converge"]
