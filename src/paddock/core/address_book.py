"""Who has which address on one network, and the next free one.

Built once per call of `converge` and network; a search goes on where the last one ended, so giving out many addresses
costs their number, not its square.
"""

from __future__ import annotations

from paddock.core.attachments import attachments
from paddock.core.draft import Draft
from paddock.core.subnets import Layout, layout, number, text
from paddock.model.objects import HostId, Network, NetworkId, StackId, Unit, UnitDesired, UnitState

BLOCKS_COUNTED = 4096


def holds(unit: Unit) -> bool:
    """It has the address, or will want it when it is started again."""
    return unit.live or (unit.state == UnitState.SHUTDOWN and unit.desired == UnitDesired.STOPPED)


class AddressBook:
    def __init__(self, draft: Draft, network: Network) -> None:
        self._draft = draft
        self._network = NetworkId(network.id)
        self.layout: Layout = layout(network.subnet, network.spec.ip_range)
        self._holder: dict[int, str] = {}
        for unit in draft.units_on_network(self._network):
            if holds(unit):
                self._holder[number(unit.addresses[self._network])] = unit.id
        self._gateways = {number(address): host for host, address in sorted(network.gateways.items())}
        self._reserved = {number(network.spec.gateway)} if _is_v4(network.spec.gateway) else set()
        aux = network.spec.aux_addresses.items()
        self._auxiliary = {number(address): name for name, address in sorted(aux) if _is_v4(address)}
        self._asked = _asked(draft, network)
        self._next = self.layout.first_unit

    def holder(self, address: int) -> str:
        """Who has it: a unit's id, "the gateway of …", or "" when it is free."""
        if address in self._gateways:
            return f"the gateway of {self._gateways[address]}"
        if address in self._reserved:
            return "the gateway asked for"
        if address in self._auxiliary:
            return f"the auxiliary address {self._auxiliary[address]}"
        made = self._draft.made_with(self._network, text(address))
        for id in (self._holder.get(address), made):
            unit = self._draft.get(Unit, id) if id is not None else None
            if unit is not None and holds(unit) and unit.addresses.get(self._network) == text(address):
                return unit.id
        return ""

    def spare(self, address: int) -> bool:
        """May be chosen for somebody who asked for none in particular."""
        return address not in self._asked and self.layout.usable(address) and not self.holder(address)

    def crowded(self) -> dict[int, None]:
        """Blocks that hold an address somebody has or asked for."""
        found: dict[int, None] = {}
        for address in sorted({*self._asked, *self._holder, *self._reserved, *self._auxiliary}):
            block = self.layout.block_of(address)
            if block is not None:
                found[block] = None
        return found

    def gateways_for(self, hosts: list[HostId]) -> dict[HostId, str]:
        """A gateway address for each, as far as there are blocks: lowest block first, crowded ones last."""
        found = [address for address in sorted(self._reserved) if address not in self._gateways]
        found += self._free_gateways(len(hosts) - len(found))
        return {host: text(address) for host, address in zip(hosts, found, strict=False)}

    def blocks_left(self) -> int:
        """How many more hosts can take part; not counted further than it matters."""
        waiting = sum(1 for address in self._reserved if address not in self._gateways)
        return waiting + len(self._free_gateways(BLOCKS_COUNTED))

    def _free_gateways(self, wanted: int) -> list[int]:
        used = {self.layout.block_of(address): None for address in self._gateways}
        crowded = self.crowded()
        found: list[int] = []
        for also_crowded in (False, True):
            for block in range(self.layout.blocks):
                if len(found) >= wanted:
                    return found
                if block not in used and (block in crowded) == also_crowded:
                    gateway = self._gateway_in(block)
                    found += [gateway] if gateway is not None else []
        return found

    def _gateway_in(self, block: int) -> int | None:
        start = self.layout.first_block + block * self.layout.block_size
        for address in range(self.layout.gateway(block), start + self.layout.block_size):
            if self.spare(address):
                return address
        return None

    def take(self, address: int, unit: str) -> None:
        self._holder[address] = unit

    def lowest_free(self) -> int | None:
        """None when the subnet is exhausted."""
        while self._next <= self.layout.last_unit:
            if self.spare(self._next):
                return self._next
            self._next += 1
        return None


def book_of(draft: Draft, network: Network) -> AddressBook:
    """The draft's one book of the network; a new one when its subnet or gateways have changed since."""
    key = f"addresses/{network.id}"
    known: tuple[Network, AddressBook] | None = draft.remembered(key)
    if known is not None and known[0] is network:
        return known[1]
    book = AddressBook(draft, network)
    draft.remember(key, (network, book))
    return book


def _asked(draft: Draft, network: Network) -> frozenset[int]:
    """Addresses that services of the network's stack ask for, whether or not their units have them yet."""
    found: list[int] = []
    for service in draft.services_of_stack(StackId(network.stack)) if network.stack else ():
        revision = draft.revision(service)
        for id, attachment in attachments(revision, revision.spec.container):
            if id == network.id and attachment.ipv4_address:
                found.append(number(attachment.ipv4_address))
    return frozenset(found)


def _is_v4(address: str) -> bool:
    return bool(address) and ":" not in address
