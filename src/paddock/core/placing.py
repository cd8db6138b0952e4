"""Asking the scheduler for units of a service, and writing down what it answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from paddock.core.address_book import book_of
from paddock.core.attachments import networks_of, stays_on_host, volumes_of
from paddock.core.draft import Draft
from paddock.core.links import links
from paddock.core.presence import presences
from paddock.core.revisions import outdated
from paddock.core.rolling import starts_first
from paddock.core.schedule.ask import Ask, Pin
from paddock.core.schedule.filters import short_of
from paddock.core.schedule.fleet import Flags, Ints
from paddock.core.schedule.place import Outcome, place
from paddock.core.slots import staying
from paddock.core.subnets import layout, number
from paddock.model.changes import Put
from paddock.model.objects import Host, HostId, Network, Service, ServiceId, Unit, UnitState, Volume

FAILURE_COUNTS_S = 300.0
"""How long a failure on a host counts against it for that service."""
CRASHES_COUNT_FROM = 3
SO_MANY_BLOCKS = 64
"""A network with more blocks left than this is not counted out to see how many of them are crowded."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """`units` are those placed, as they are now in the draft; `reason` and `details` say why the others are not."""

    units: tuple[Unit, ...] = ()
    reason: str = ""
    details: tuple[str, ...] = ()


def place_units(draft: Draft, service: Service, units: Sequence[Unit], without: tuple[HostId, ...] = ()) -> Placed:
    """Places what can be placed of `units` (of one service and revision, state NEW), in their order.

    What can differ between them (a partner's host, a host of their own, volumes that the first one binds) is placed one
    by one; the rest all at once, which comes to the same.
    """
    done: list[Unit] = []
    left = list(units)
    while left:
        many = 1 if _one_by_one(draft, service, left[0]) else len(left)
        ask = ask_for(draft, service, left[0], without)
        outcome = place(draft.fleet(service.environment), ask, many)
        done += _write(draft, service, left[: len(outcome.where)], outcome)
        if not outcome.where:
            return Placed(units=tuple(done), reason=outcome.reason, details=outcome.details)
        # Where some found room and others not, the next turn says why: what those took is counted by then.
        left = left[len(outcome.where) :]
    return Placed(units=tuple(done))


def _one_by_one(draft: Draft, service: Service, unit: Unit) -> bool:
    revision = draft.revision(service)
    if unit.host is not None or revision.spec.container.sharing:
        return True
    if any(presence.own for presence in presences(draft, service)):
        return True
    bound = [draft.get(Volume, id) for id in volumes_of(revision)]
    if any(volume is not None and volume.host is None and stays_on_host(volume) for volume in bound):
        return True
    return any(_blocks_left(draft, id) < len(draft.hosts(service.environment)) for id in networks_of(revision))


def _write(draft: Draft, service: Service, units: list[Unit], outcome: Outcome) -> list[Unit]:
    fleet = draft.fleet(service.environment)
    fleet.take_at(draft.spec(service), np.array(outcome.where, dtype=np.int64))
    hosts = fleet.ids
    placed = [
        msgspec.structs.replace(
            unit,
            host=hosts[at],
            state=UnitState.PLACED,
            placed_because=outcome.because,
            waiting=None,
            state_since_s=draft.now_s,
        )
        for unit, at in zip(units, outcome.where, strict=True)
    ]
    draft.apply((Put(object=unit, reason=outcome.because) for unit in placed), taken=True)
    if placed:
        _bind(draft, service, placed[0])
        _take_part(draft, service, placed)
    return placed


def _bind(draft: Draft, service: Service, unit: Unit) -> None:
    """Volumes whose data is on one host stay where the first unit that uses them was placed."""
    for id in volumes_of(draft.revision(service)):
        volume = draft.get(Volume, id)
        if volume is not None and volume.host is None and stays_on_host(volume):
            bound = msgspec.structs.replace(volume, host=unit.host)
            draft.apply([Put(object=bound, reason=f"{unit.name}, its first user, is placed there")])


def _take_part(draft: Draft, service: Service, units: list[Unit]) -> None:
    """Hosts that get their first unit on a network get a gateway address on it."""
    for id in networks_of(draft.revision(service)):
        network = draft.get(Network, id)
        if network is None:
            continue
        fresh = dict.fromkeys(
            unit.host for unit in units if unit.host is not None and unit.host not in network.gateways
        )
        if fresh:
            book = book_of(draft, network)
            gateways = dict(network.gateways) | book.gateways_for(list(fresh))
            changed = msgspec.structs.replace(network, gateways=gateways)
            draft.apply([Put(object=changed, reason=f"{len(fresh)} more hosts take part")])


def given_on(draft: Draft, unit: Unit) -> str:
    """What a unit that does not run had and somebody else has now, so that its containers cannot be started again where
    they are; "" for nothing. Only what lives holds ports and room, and little else its addresses."""
    fleet = draft.fleet(unit.environment)
    at = fleet.position.get(unit.host or "")
    lacks = short_of(fleet, draft.spec(unit), at) if at is not None else None
    if at is not None and lacks is not None:
        return f"{fleet.hosts[at].name} has no room for it any more: {lacks}"
    for id, address in unit.addresses.items():
        network = draft.get(Network, id)
        holder = book_of(draft, network).holder(number(address)) if network is not None and network.subnet else ""
        if holder and holder != unit.id:
            return f"its address {address} is held by {holder}"
    return ""


def ask_for(draft: Draft, service: Service, unit: Unit | None, without: tuple[HostId, ...] = ()) -> Ask:
    """`unit` None: any next unit of the service."""
    fleet = draft.fleet(service.environment)
    own, failures = _own(draft, service)
    leaving = _leaving(draft, service)
    return Ask(
        spec=draft.spec(service),
        own=own,
        failures=failures,
        leaving=leaving,
        pins=pins(draft, service, unit),
        presences=presences(draft, service),
        without=without,
        ipv6=_wants_ipv6(draft, service),
        networks_full=_networks_full(draft, service, len(fleet)),
    )


def _own(draft: Draft, service: Service) -> tuple[Ints, Ints]:
    """Units of the service on each host that are to stay there, and how often it failed on each of late."""
    fleet = draft.fleet(service.environment)
    own, failures = fleet.zeros(), fleet.zeros()
    where: list[int] = []
    for units in draft.slots(ServiceId(service.id)).values():
        for unit in units:
            at = fleet.position.get(unit.host) if unit.host is not None else None
            if at is None:
                continue
            if unit.live and staying(unit):
                where.append(at)
            elif _failed_lately(draft, unit):
                failures[at] += 1
    if where:
        own += np.bincount(np.array(where, dtype=np.int64), minlength=len(fleet))
    return own, failures


def _leaving(draft: Draft, service: Service) -> Ints:
    """Units on each host whose successor is there or, the new one coming first, is to come."""
    fleet = draft.fleet(service.environment)
    known = draft.get(Service, service.id) or service
    rollout = known.rollout
    replaced = rollout is not None and rollout.state in ("updating", "rolling-back") and starts_first(draft, known)
    where: list[int] = []
    for units in draft.slots(ServiceId(service.id)).values():
        if len(units) == 1 and not replaced:
            continue
        for unit in units:
            at = fleet.position.get(unit.host) if unit.host is not None else None
            succeeded = unit is not units[-1] and staying(units[-1])
            if at is not None and unit.live and staying(unit) and (succeeded or outdated(draft, known, unit)):
                where.append(at)
    return np.bincount(np.array(where, dtype=np.int64), minlength=len(fleet)).astype(np.int64)


def _failed_lately(draft: Draft, unit: Unit) -> bool:
    end = unit.ended if unit.ended is not None else unit.state
    if draft.now_s - (unit.finished_at_s or unit.state_since_s) >= FAILURE_COUNTS_S:
        return False
    return end == UnitState.REJECTED or (end == UnitState.FAILED and unit.crashes >= CRASHES_COUNT_FROM)


def pins(draft: Draft, service: Service, unit: Unit | None) -> tuple[Pin, ...]:
    """Everything that leaves one host only, or none for now."""
    revision = draft.revision(service)
    found: list[Pin] = []
    if unit is not None and unit.host is not None and unit.state == UnitState.NEW:
        found.append(Pin(kind="own host", host=unit.host, why=f"{service.name} has one unit on every host"))
    for host, why in revision.spec.placement.beside:
        at = HostId(host)
        found.append(Pin(kind="dependency", host=at, why=f"{why} on {_host_name(draft, at)}"))
    for sharing in revision.spec.container.sharing:
        found.append(_partner_pin(draft, service, sharing.service, unit.slot if unit is not None else 1))
    found += volume_pins(draft, service)
    for id in links(draft, service.stack).sharers.get(service.name, ()):
        other = draft.get(Service, id)
        found += volume_pins(draft, other) if other is not None else []
    return tuple(found)


def volume_pins(draft: Draft, service: Service) -> list[Pin]:
    found = []
    for id in volumes_of(draft.revision(service)):
        volume = draft.get(Volume, id)
        if volume is not None and volume.host is not None and stays_on_host(volume):
            name = _host_name(draft, volume.host)
            found.append(Pin(kind="volume", host=volume.host, why=f"volume {volume.name} is on {name}"))
    return found


def partner_of(draft: Draft, service: Service, name: str, slot: int) -> Unit | None:
    """The unit whose namespaces or volumes the slot's containers share: same slot, or the first if there are fewer."""
    other = draft.service_named(service, name)
    if other is None:
        return None
    slots = draft.slots(ServiceId(other.id))
    units = slots.get(slot) or slots.get(1) or ()
    return next((unit for unit in reversed(units) if staying(unit)), None)


def _partner_pin(draft: Draft, service: Service, name: str, slot: int) -> Pin:
    partner = partner_of(draft, service, name, slot)
    if partner is None or partner.host is None or partner.state == UnitState.NEW:
        return Pin(kind="shared with", host=None, why=f"{name}, which it shares with, is not placed yet")
    why = f"shares with {partner.name} on {_host_name(draft, partner.host)}"
    return Pin(kind="shared with", host=partner.host, why=why)


def _wants_ipv6(draft: Draft, service: Service) -> bool:
    networks = [draft.get(Network, id) for id in networks_of(draft.revision(service))]
    return any(network is not None and network.subnet6 for network in networks)


def _networks_full(draft: Draft, service: Service, hosts: int) -> Flags | None:
    flags: Flags | None = None
    fleet = draft.fleet(service.environment)
    for id in networks_of(draft.revision(service)):
        network = draft.get(Network, id)
        if network is None or not network.subnet or _blocks_left(draft, id) > 0:
            continue
        outside = np.array([host.id not in network.gateways for host in fleet.hosts], dtype=np.bool_)
        flags = outside if flags is None else flags | outside
    return flags


def _blocks_left(draft: Draft, id: str) -> int:
    network = draft.get(Network, id)
    if network is None or not network.subnet:
        return 0
    plan = layout(network.subnet, network.spec.ip_range)
    if plan.blocks - len(network.gateways) > SO_MANY_BLOCKS:
        return plan.blocks - len(network.gateways)
    return book_of(draft, network).blocks_left()


def _host_name(draft: Draft, id: HostId) -> str:
    host = draft.get(Host, id)
    return host.name if host is not None else id
