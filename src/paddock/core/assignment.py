"""What every host must hold, out of a snapshot; and which hosts a change concerns.

A host hears only of what it takes part in: its own units, and the networks, names, peers, volumes and files these need.
What is the same for all hosts of a network is worked out once per call.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paddock.core.attachments import attachments, files_of, stays_on_host, volumes_of
from paddock.core.bodies import unit_assignment
from paddock.core.draft import GONE
from paddock.core.network_names import names_on
from paddock.core.subnets import layout, mac_of, number
from paddock.model.assignment import (
    AnyItem,
    Assignment,
    FileAssignment,
    NetworkAssignment,
    PeerAssignment,
    UnitAssignment,
    VolumeAssignment,
    key_of,
)
from paddock.model.changes import Change
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

    item: UnitAssignment
    volumes: tuple[VolumeId, ...]
    files: tuple[FileId, ...]


class UnitItems:
    """What was worked out for units before: most of a host's units are as they were when one of them changes."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[object, UnitPart]] = {}

    def part(self, snapshot: Snapshot, unit: Unit, revision: Revision) -> UnitPart:
        environment = snapshot.get(Environment, unit.environment)
        basis = (
            unit.desired, unit.reuses, unit.revision, unit.name, unit.addresses,
            environment.name if environment is not None else "",
        )  # fmt: skip
        known = self._parts.get(unit.id)
        if known is not None and known[0] == basis:
            return known[1]
        part = UnitPart(
            unit_assignment(snapshot, unit, revision), tuple(volumes_of(revision)), tuple(files_of(revision))
        )
        container = revision.spec.container
        if not (container.sharing or part.volumes or revision.spec.sidekicks):
            # The others say something of other objects, too.
            if len(self._parts) >= MOST_REMEMBERED:
                self._parts.clear()
            self._parts[unit.id] = (basis, part)
        return part


def held(unit: Unit) -> bool:
    """Its host must know of it: something of it is, or may be, there."""
    return unit.host is not None and unit.state != UnitState.NEW and unit.state not in GONE


class _Common:
    """Per network: its names, and its endpoints with their hosts. Worked out when first asked for."""

    def __init__(self, snapshot: Snapshot, unit_items: UnitItems) -> None:
        self.snapshot = snapshot
        self.unit_items = unit_items
        self._names: dict[NetworkId, list[AnyItem]] = {}
        self._peers: dict[NetworkId, list[tuple[HostId, PeerAssignment]]] = {}

    def names(self, network: NetworkId) -> list[AnyItem]:
        if network not in self._names:
            units = list(self.snapshot.units_on_network(network))
            answering = [unit for unit in units if answers(self.snapshot, unit)]
            starting = [unit for unit in units if unit.live and held(unit) and not answers(self.snapshot, unit)]
            self._names[network] = names_on(self.snapshot, network, answering, starting)
        return self._names[network]

    def peers(self, network: NetworkId) -> list[tuple[HostId, PeerAssignment]]:
        if network not in self._peers:
            found = []
            for unit in self.snapshot.units_on_network(network):
                host = self.snapshot.get(Host, unit.host) if unit.host is not None and unit.live else None
                if host is not None and held(unit) and host.facts.address:
                    found.append((HostId(host.id), _peer(self.snapshot, network, unit, host)))
            self._peers[network] = found
        return self._peers[network]


def answers(snapshot: Snapshot, unit: Unit) -> bool:
    """The unit is named in answers: it is ready, and its host is not lost (unless too many are, and none is trusted to
    be: then what was last known stands)."""
    if not (unit.ready or _runs_alone(unit)) or unit.host is None:
        return False
    host = snapshot.get(Host, unit.host)
    if host is None:
        return False
    if host.state is not HostState.LOST:
        return True
    environment = snapshot.get(Environment, unit.environment)
    return environment is not None and environment.breaker == "open"


def _runs_alone(unit: Unit) -> bool:
    """Docker names a container as soon as it runs, whatever its healthcheck says of it."""
    if unit.standalone and unit.starting:
        return UnitState.PREPARED <= unit.state <= UnitState.READY
    return unit.standalone and unit.state == UnitState.READY and any(one.state == "running" for one in unit.containers)


def _peer(snapshot: Snapshot, network: NetworkId, unit: Unit, host: Host) -> PeerAssignment:
    address = unit.addresses[network]
    return PeerAssignment(
        network=network, ipv4=address, mac=mac_for(snapshot, network, unit), host_address=host.facts.address
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
    items: list[AnyItem] = []
    networks: dict[NetworkId, None] = {}
    volumes: dict[VolumeId, None] = {}
    files: dict[FileId, None] = {}
    for unit in snapshot.units_on_host(host_id):
        revision = snapshot.get(Revision, unit.revision)
        if not held(unit) or revision is None:
            continue
        part = common.unit_items.part(snapshot, unit, revision)
        items.append(part.item)
        networks.update(dict.fromkeys(unit.addresses))
        volumes.update(dict.fromkeys(part.volumes))
        files.update(dict.fromkeys(part.files))
    items += _networks(common, host, networks)
    items += _volumes(snapshot, host, volumes)
    items += _files(snapshot, files)
    return {key_of(item): item for item in items}


def _networks(common: _Common, host: Host, networks: Iterable[NetworkId]) -> list[AnyItem]:
    items: list[AnyItem] = []
    for id in networks:
        network = common.snapshot.get(Network, id)
        if network is None or HostId(host.id) not in network.gateways:
            continue
        items.append(network_assignment(network, host))
        items += common.names(id)
        items += [peer for at, peer in common.peers(id) if at != host.id]
    return items


def network_assignment(network: Network, host: Host) -> NetworkAssignment:
    gateway = network.gateways[HostId(host.id)]
    plan = layout(network.subnet, network.spec.ip_range)
    block = plan.block_of(number(gateway))
    asked_mtu = network.spec.options.get("com.docker.network.driver.mtu", "")
    room = max(host.facts.mtu - VXLAN_OVERHEAD, SMALLEST_MTU)
    return NetworkAssignment(
        network=NetworkId(network.id),
        engine_name=network.name,
        subnet=network.subnet,
        gateway=gateway,
        ip_range=plan.block_range(block) if block is not None else f"{gateway}/32",
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


def hosts_concerned(changes: Iterable[Change], before: Snapshot, after: Snapshot) -> tuple[HostId, ...]:
    """Hosts whose assignment the changes may have altered; everybody else's is as it was. Sorted."""
    concerned = _Concerned(before, after)
    for change in changes:
        concerned.add(change.object)
    return tuple(sorted(concerned.hosts))


def _told(unit: Unit | None) -> object:
    """What its own host is told of it, or because of it of units that share with it: no report of how it fares."""
    if unit is None or not held(unit):
        return None
    return unit.host, unit.desired, unit.live, unit.reuses, unit.revision, unit.name, unit.addresses


class _Concerned:
    def __init__(self, before: Snapshot, after: Snapshot) -> None:
        self._sides = (before, after)
        self._networks: dict[NetworkId, None] = {}
        self.hosts: dict[HostId, None] = {}

    def add(self, thing: object) -> None:
        match thing:
            case Unit():
                self._unit(thing)
            case Host():
                self._host(thing)
            case Network():
                self._network(NetworkId(thing.id))
            case Volume():
                self._volume(thing)
            case File():
                for side in self._sides:
                    for unit in _users(side, FileId(thing.id), thing.environment):
                        self._note(unit.host)
            case Environment():
                self._environment(thing)

    def _note(self, host: HostId | None) -> None:
        if host is not None:
            self.hosts[host] = None

    def _unit(self, changed: Unit) -> None:
        old, new = (side.get(Unit, changed.id) for side in self._sides)
        if _told(old) != _told(new):
            for unit in (old, new):
                if unit is not None and held(unit):
                    self._note(unit.host)
        if self._seen(0, old) != self._seen(1, new):
            for unit in (old, new):
                for network in unit.addresses if unit is not None else ():
                    self._network(network)

    def _seen(self, side: int, unit: Unit | None) -> object:
        """What other hosts see of it."""
        if unit is None or not held(unit):
            return None
        ids = tuple(one.id for one in unit.containers) if unit.standalone else ()
        answering = answers(self._sides[side], unit)
        return unit.host, unit.addresses, unit.name, unit.revision, unit.live, answering, ids

    def _network(self, id: NetworkId) -> None:
        if id in self._networks:
            return
        self._networks[id] = None
        for side in self._sides:
            network = side.get(Network, id)
            for host in sorted(network.gateways) if network is not None else ():
                self._note(host)

    def _host(self, changed: Host) -> None:
        old, new = (side.get(Host, changed.id) for side in self._sides)
        known = old is not None and new is not None
        if known and old is not None and new is not None:
            same_address = old.facts.address == new.facts.address
            same_trust = (old.state is HostState.LOST) == (new.state is HostState.LOST)
            if same_address and same_trust and old.facts.mtu == new.facts.mtu:
                return
        self._note(HostId(changed.id))
        for side in self._sides:
            for unit in side.units_on_host(HostId(changed.id)):
                for network in unit.addresses:
                    self._network(network)

    def _volume(self, changed: Volume) -> None:
        for side in self._sides:
            volume = side.get(Volume, changed.id)
            self._note(volume.host if volume is not None else None)
            if volume is not None and not stays_on_host(volume):
                for host in side.in_environment(Host, changed.environment):
                    self._note(HostId(host.id))

    def _environment(self, changed: Environment) -> None:
        old, new = (side.get(Environment, changed.id) for side in self._sides)
        if old is not None and new is not None and old.breaker == new.breaker:
            return
        for side in self._sides:
            for host in side.in_environment(Host, changed.id):
                self._note(HostId(host.id))


def _users(snapshot: Snapshot, file: FileId, environment: str) -> list[Unit]:
    found = []
    for revision in snapshot.in_environment(Revision, environment):
        if file in files_of(revision):
            found += [unit for unit in snapshot.units_of_service(revision.service) if unit.revision == revision.id]
    return found
