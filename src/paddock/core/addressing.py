"""An address on each of its networks for every unit that has none yet, before it is placed.

As written where one is asked for; else the one the slot had before, if nobody has it now; else the lowest free one.
"""

from __future__ import annotations

from ipaddress import IPv6Address

import msgspec

from paddock.core.address_book import AddressBook, book_of, holds
from paddock.core.attachments import attachments
from paddock.core.draft import Draft
from paddock.core.slots import waits
from paddock.core.subnets import number, text
from paddock.core.subnets6 import address6, gateway6
from paddock.model.changes import Change, Put
from paddock.model.objects import Network, NetworkId, Service, ServiceId, Unit, UnitState
from paddock.model.specs import Attachment


def address_units(draft: Draft, service: Service, slot: int | None = None) -> None:
    """The newest unit of every slot, or of one. Sets `waiting` where an address cannot be had."""
    revision = draft.revision(service)
    wanted = attachments(revision, revision.spec.container)
    if not wanted:
        return
    slots = draft.slots(ServiceId(service.id))
    for at in sorted(slots) if slot is None else [slot]:
        unit = slots[at][-1]
        if unit.state == UnitState.NEW:
            previous = slots[at][-2] if len(slots[at]) > 1 else None
            draft.apply(_addressed(draft, unit, previous, wanted))


def _addressed(
    draft: Draft, unit: Unit, previous: Unit | None, wanted: list[tuple[NetworkId, Attachment]]
) -> list[Change]:
    given: dict[NetworkId, str] = dict(unit.addresses)
    given6: dict[NetworkId, str] = dict(unit.addresses6)
    for id, attachment in wanted:
        network = draft.get(Network, id)
        if network is None or not network.subnet:
            return waits(unit, f"network {attachment.network} has no subnet yet", (), draft.now_s)
        book = book_of(draft, network)
        if id in given and book.layout.usable(number(given[id])) and (id in given6) == bool(network.subnet6):
            continue
        kept = previous.addresses.get(id, "") if previous is not None else ""
        address, problem = _choose(book, network, attachment, kept)
        if address is None:
            return waits(unit, problem, (), draft.now_s)
        book.take(address, unit.id)
        given[id] = text(address)
        if network.subnet6:
            asked = attachment.ipv6_address
            given6[id] = asked or address6(network, given[id])
            if asked and (holder := _holder6(draft, network, asked, unit)):
                return waits(unit, f"address {asked} on network {network.name} is held by {holder}", (), draft.now_s)
        elif attachment.ipv6_address:
            return waits(unit, f"network {network.name} has no IPv6 for {attachment.ipv6_address}", (), draft.now_s)
    if given == unit.addresses and given6 == unit.addresses6:
        return []
    changed = msgspec.structs.replace(unit, addresses=given, addresses6=given6, waiting=None)
    return [Put(object=changed, reason=f"addresses {', '.join(given.values())}")]


def _holder6(draft: Draft, network: Network, address: str, unit: Unit) -> str:
    """Who has an IPv6 address. Those that follow from IPv4 addresses differ as these do; one asked for can clash."""
    id = NetworkId(network.id)
    wanted = IPv6Address(address)
    if any(wanted == IPv6Address(gateway6(network, own)) for own in network.gateways.values()):
        return "a host's gateway"
    for other in draft.units_on_network(id):
        if other.id != unit.id and holds(other) and IPv6Address(other.addresses6.get(id, "::")) == wanted:
            return other.id
    return ""


def _choose(book: AddressBook, network: Network, attachment: Attachment, kept: str) -> tuple[int | None, str]:
    if attachment.ipv4_address:
        asked = number(attachment.ipv4_address)
        if not book.layout.usable(asked):
            return None, f"{attachment.ipv4_address} is not in {network.subnet} of network {network.name}"
        if holder := book.holder(asked):
            return None, f"address {attachment.ipv4_address} on network {network.name} is held by {holder}"
        return asked, ""
    if kept and book.spare(number(kept)):
        return number(kept), ""
    free = book.lowest_free()
    return free, "" if free is not None else f"network {network.name} ({network.subnet}) has no free address left"
