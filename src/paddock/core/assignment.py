"""What every host must hold, out of a snapshot.

A host hears only of what it takes part in: its own units, and the networks, names, peers, volumes and files these need.
What is the same for all hosts of a network is worked out once per call, what is said of a unit once per change of it:
most of what a host holds is as it was, and is the very same object (sessions compare by that).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from paddock.core.attachments import attachments, files_of, stays_on_host, volumes_of
from paddock.core.bodies import unit_assignment
from paddock.core.draft import GONE
from paddock.core.network_names import address_of, fit_to_be_named, names_on
from paddock.core.subnets import layout, mac_of, number
from paddock.core.subnets6 import gateway6, range6
from paddock.model.assignment import (
    AddressAssignment,
    AnyItem,
    Assignment,
    FileAssignment,
    NetworkAssignment,
    PeerAssignment,
    UnitAssignment,
    VolumeAssignment,
    key_of,
)
from paddock.model.objects import (
    Environment,
    File,
    FileId,
    Host,
    HostId,
    HostState,
    Network,
    NetworkId,
    Revision,
    Unit,
    UnitState,
    Volume,
    VolumeId,
)
from paddock.model.snapshot import Snapshot

VXLAN_OVERHEAD = 50
"""Outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348)."""
SMALLEST_MTU = 576
MOST_REMEMBERED = 200_000
"""Units; one more, and all are worked out anew when next asked for."""


def assignment(snapshot: Snapshot, host_id: HostId) -> Assignment:
    """Empty for a host that is not there."""
    return assignments(snapshot, [host_id])[host_id]


def assignments(
    snapshot: Snapshot, hosts: Iterable[HostId], memory: UnitItems | None = None
) -> dict[HostId, Assignment]:
    """As `assignment` for each, sharing what they have in common, and with `memory` what earlier calls worked out."""
    common = _Common(snapshot, memory if memory is not None else UnitItems())
    return {host: _assignment(common, host) for host in hosts}


class UnitPart(NamedTuple):
    """What one unit brings to its host's assignment."""

    key: str
    item: UnitAssignment
    volumes: tuple[VolumeId, ...]
    files: tuple[FileId, ...]


class UnitItems:
    """What was worked out for units before: most of a host's units are as they were when one of them changes."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[Unit, object, UnitPart]] = {}
        self._seen: dict[tuple[NetworkId, str], tuple[Unit, str, PeerAssignment, AddressAssignment]] = {}
        self._environments: dict[str, str] = {}

    def look_at(self, snapshot: Snapshot) -> None:
        """Items say their environment's name."""
        names = {id: environment.name for id, environment in snapshot.table(Environment).items()}
        if names != self._environments:
            self._environments = names
            self._parts.clear()

    def part(self, snapshot: Snapshot, unit: Unit) -> UnitPart | None:
        """None for a unit that its host need not know of."""
        known = self._parts.get(unit.id)
        if known is not None and known[0] is unit:
            return known[2]
        revision = snapshot.get(Revision, unit.revision)
        if not held(unit) or revision is None:
            return None
        basis = (
            unit.desired, unit.reuses, unit.revision, unit.name, unit.addresses, unit.addresses6,
        )  # fmt: skip
        if known is not None and known[1] == basis:
            self._parts[unit.id] = (unit, basis, known[2])
            return known[2]
        item = unit_assignment(snapshot, unit, revision)
        part = UnitPart(key_of(item), item, tuple(volumes_of(revision)), tuple(files_of(revision)))
        container = revision.spec.container
        if not (container.sharing or part.volumes or revision.spec.sidekicks):
            # The others say something of other objects, too.
            if len(self._parts) >= MOST_REMEMBERED:
                self._parts.clear()
            self._parts[unit.id] = (unit, basis, part)
        return part

    def seen(self, snapshot: Snapshot, network: NetworkId, unit: Unit) -> tuple[PeerAssignment, AddressAssignment]:
        """What other hosts are told of a unit, as a peer and as an answer."""
        host = snapshot.get(Host, unit.host) if unit.host is not None else None
        where = host.facts.address if host is not None else ""
        known = self._seen.get((network, unit.id))
        if known is not None and known[0] is unit and known[1] == where:
            return known[2], known[3]
        peer, address = _peer(snapshot, network, unit, where), address_of(snapshot, network, unit)
        if known is not None:
            peer, address = _kept(known[2], peer), _kept(known[3], address)
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        self._seen[network, unit.id] = (unit, where, peer, address)
        return peer, address


T = TypeVar("T")


def _kept(before: T, now: T) -> T:
    return before if before == now else now


def held(unit: Unit) -> bool:
    """Its host must know of it: something of it is, or may be, there.

    What is left of a unit that was given up is known by its label, but what was adopted has none.
    """
    if unit.host is None or unit.state == UnitState.NEW:
        return False
    return unit.state not in GONE or (unit.state == UnitState.ORPHANED and bool(unit.adopts))


class _Common:
    """Per network: its names, and its endpoints with their hosts. Worked out when first asked for."""

    def __init__(self, snapshot: Snapshot, unit_items: UnitItems) -> None:
        self.snapshot = snapshot
        self.unit_items = unit_items
        unit_items.look_at(snapshot)
        self._names: dict[NetworkId, Assignment] = {}
        self._peers: dict[NetworkId, tuple[Assignment, dict[HostId, list[str]]]] = {}

    def names(self, network: NetworkId) -> Assignment:
        if network not in self._names:
            units = [unit for unit in self.snapshot.units_on_network(network) if unit.live and held(unit)]
            told: dict[bool, list[AddressAssignment]] = {True: [], False: []}
            for unit in units:
                told[answers(self.snapshot, unit)].append(self.unit_items.seen(self.snapshot, network, unit)[1])
            self._names[network] = {key_of(item): item for item in names_on(network, told[True], told[False])}
        return self._names[network]

    def peers(self, network: NetworkId) -> tuple[Assignment, dict[HostId, list[str]]]:
        """All endpoints, and each host's own."""
        if network not in self._peers:
            found: Assignment = {}
            own: dict[HostId, list[str]] = {}
            for unit in self.snapshot.units_on_network(network):
                host = self.snapshot.get(Host, unit.host) if unit.host is not None and unit.live else None
                if host is not None and held(unit) and host.facts.address:
                    peer = self.unit_items.seen(self.snapshot, network, unit)[0]
                    key = key_of(peer)
                    found[key] = peer
                    own.setdefault(HostId(host.id), []).append(key)
            self._peers[network] = found, own
        return self._peers[network]


def answers(snapshot: Snapshot, unit: Unit) -> bool:
    """The unit is named in answers: it is ready, and its host is not lost (unless too many are, and none is trusted to
    be: then what was last known stands)."""
    if not fit_to_be_named(unit) or unit.host is None:
        return False
    host = snapshot.get(Host, unit.host)
    if host is None:
        return False
    if host.state is not HostState.LOST:
        return True
    environment = snapshot.get(Environment, unit.environment)
    return environment is not None and environment.breaker == "open"


def _peer(snapshot: Snapshot, network: NetworkId, unit: Unit, host_address: str) -> PeerAssignment:
    return PeerAssignment(
        network=network,
        ipv4=unit.addresses[network],
        ipv6=unit.addresses6.get(network, ""),
        mac=mac_for(snapshot, network, unit),
        host_address=host_address,
    )


def mac_for(snapshot: Snapshot, network: NetworkId, unit: Unit) -> str:
    """As asked for, else from the address."""
    revision = snapshot.get(Revision, unit.revision)
    if revision is not None:
        for id, attachment in attachments(revision, revision.spec.container):
            if id == network and attachment.mac_address:
                return attachment.mac_address
    return mac_of(unit.addresses[network])


def _assignment(common: _Common, host_id: HostId) -> Assignment:
    snapshot = common.snapshot
    host = snapshot.get(Host, host_id)
    if host is None:
        return {}
    items: Assignment = {}
    networks: dict[NetworkId, None] = {}
    volumes: dict[VolumeId, None] = {}
    files: dict[FileId, None] = {}
    for unit in snapshot.units_on_host(host_id):
        part = common.unit_items.part(snapshot, unit)
        if part is None:
            continue
        items[part.key] = part.item
        if unit.addresses:
            networks.update(dict.fromkeys(unit.addresses))
        if part.volumes:
            volumes.update(dict.fromkeys(part.volumes))
        if part.files:
            files.update(dict.fromkeys(part.files))
    for network in networks:
        items.update(_network(common, host, network))
    more = _volumes(snapshot, host, volumes) + _files(snapshot, files)
    items.update((key_of(item), item) for item in more)
    return items


def _network(common: _Common, host: Host, id: NetworkId) -> Assignment:
    network = common.snapshot.get(Network, id)
    if network is None or HostId(host.id) not in network.gateways:
        return {}
    item = network_assignment(network, host)
    peers, own = common.peers(id)
    items: Assignment = {key_of(item): item} | common.names(id) | peers
    for key in own.get(HostId(host.id), ()):
        del items[key]
    return items


def network_assignment(network: Network, host: Host) -> NetworkAssignment:
    gateway = network.gateways[HostId(host.id)]
    plan = layout(network.subnet, network.spec.ip_range)
    block = plan.block_of(number(gateway))
    asked_mtu = network.spec.options.get("com.docker.network.driver.mtu", "")
    room = max(host.facts.mtu - VXLAN_OVERHEAD, SMALLEST_MTU)
    ip_range = plan.block_range(block) if block is not None else f"{gateway}/32"
    return NetworkAssignment(
        network=NetworkId(network.id),
        engine_name=network.on_engines,
        subnet=network.subnet,
        gateway=gateway,
        ip_range=ip_range,
        subnet6=network.subnet6,
        gateway6=gateway6(network, gateway),
        ip_range6=range6(network, ip_range),
        vni=network.vni,
        mtu=min(int(asked_mtu), room) if asked_mtu.isdigit() else room,
        internal=network.spec.internal,
        attachable=network.spec.attachable,
        options=network.spec.options,
        labels=network.spec.labels,
    )


def _volumes(snapshot: Snapshot, host: Host, used: Iterable[VolumeId]) -> list[AnyItem]:
    """Those that units here use, and those whose data is here: these stay though nothing uses them now."""
    found = {id: volume for id in used if (volume := snapshot.get(Volume, id)) is not None}
    for volume in snapshot.in_environment(Volume, host.environment):
        if volume.host == host.id:
            found[VolumeId(volume.id)] = volume
    return [
        VolumeAssignment(
            volume=id,
            engine_name=volume.name,
            driver=volume.spec.driver,
            driver_opts=volume.spec.driver_opts,
            labels=volume.spec.labels,
            keep=not volume.removing,
        )
        for id, volume in sorted(found.items())
        if volume.host == host.id or not stays_on_host(volume)
    ]


def _files(snapshot: Snapshot, used: Iterable[FileId]) -> list[AnyItem]:
    found = [file for id in used if (file := snapshot.get(File, id)) is not None]
    return [FileAssignment(file=FileId(file.id), purpose=file.purpose, digest=file.digest) for file in found]
