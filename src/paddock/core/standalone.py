"""Containers that somebody else makes, starts and stops (`docker run`): wished for, connected, renamed, let go.

Each is a service of its own with one slot and no stack, so the scheduler, addresses, names and explanations are those
of all others.
"""

from __future__ import annotations

import hashlib

import msgspec
from msgspec.structs import replace

from paddock.core.address_book import book_of
from paddock.core.draft import GONE, Draft
from paddock.core.reconcile.networks import allot
from paddock.core.stacks import References, revision_of
from paddock.core.subnets import number, text
from paddock.core.subnets6 import address6
from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict, NotFound
from paddock.model.objects import (
    HostId,
    Network,
    NetworkId,
    Revision,
    RevisionId,
    Service,
    ServiceId,
    StackId,
    Unit,
    Volume,
    VolumeId,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, NetworkSpec, ServiceSpec, VolumeSpec

HOME_NETWORK = "paddock"
"""The environment's own network, for containers that ask for none."""
WISHED = "asked for through the Docker API"


class NameInUse(Conflict):
    """Somebody has the container's name; `unit` is who."""

    def __init__(self, name: str, unit: Unit) -> None:
        super().__init__(f"container name {name} is in use by {unit.id}")
        self.unit = unit


def id_of(kind: str, id: str) -> str:
    """64 hexadecimal digits as Docker's clients expect of networks and the like."""
    return hashlib.sha256(f"{kind}/{id}".encode()).hexdigest()


def wish(snapshot: Snapshot, environment: str, spec: ServiceSpec, now_s: float) -> list[Change]:
    """A container named `spec.name`. Its volumes are made if they are not there; its networks must be.

    Raises `NameInUse`, and `NotFound` for a network.
    """
    changes = _free_name(snapshot, environment, spec.name)
    networks: dict[str, NetworkId] = {}
    for attachment in spec.container.networks:
        network, made = _network(snapshot, environment, attachment.network, now_s)
        changes += made
        networks[attachment.network] = NetworkId(network.id)
    volumes: dict[str, VolumeId] = {}
    for mount in spec.container.volumes:
        volume, made = volume_named(snapshot, environment, mount.volume, now_s)
        changes += [] if mount.volume in volumes else made
        volumes[mount.volume] = VolumeId(volume.id)
    id = ServiceId(f"{environment}.{spec.name}.{snapshot.version}")
    revision = revision_of(id, environment, spec, References(networks, volumes, {}, {}))
    service = Service(
        id=id,
        environment=environment,
        stack=StackId(id),
        stack_name="",
        name=spec.name,
        revision=RevisionId(revision.id),
        created_at_s=now_s,
    )
    changes.append(Put(object=replace(revision, created_at_s=now_s), reason=WISHED))
    changes.append(Put(object=service, reason=f"container {spec.name} is {WISHED}"))
    return changes


def _free_name(snapshot: Snapshot, environment: str, name: str) -> list[Change]:
    """What is left of a container of that name that is gone already goes with it."""
    for unit in snapshot.units_named(environment, name):
        if unit.state not in GONE:
            raise NameInUse(name, unit)
    known = snapshot.named(Service, environment, f"/{name}")
    return forget(snapshot, known) if known is not None else []


def _network(snapshot: Snapshot, environment: str, name: str, now_s: float) -> tuple[Network, list[Change]]:
    known = snapshot.named(Network, environment, name)
    if known is not None and not known.removing:
        return known, []
    if name != HOME_NETWORK or known is not None:
        raise NotFound(f"network {name} not found")
    return new_network(snapshot, environment, NetworkSpec(name=name, attachable=True), now_s)


def new_network(snapshot: Snapshot, environment: str, spec: NetworkSpec, now_s: float) -> tuple[Network, list[Change]]:
    """Raises `Conflict` when there is one of that name."""
    if snapshot.named(Network, environment, spec.name) is not None:
        raise Conflict(f"network with name {spec.name} already exists")
    network = Network(
        id=f"{environment}.{spec.name}.{snapshot.version}",
        environment=environment,
        name=spec.name,
        spec=spec,
        created_at_s=now_s,
    )
    draft = Draft(snapshot, now_s)
    draft.apply([Put(object=network, reason=f"network {spec.name} is {WISHED}")])
    allot(draft, network)
    made = draft.get(Network, network.id)
    assert made is not None
    return made, [Put(object=made, reason=f"network {spec.name} is {WISHED}")]


def volume_named(
    snapshot: Snapshot, environment: str, name: str, now_s: float, spec: VolumeSpec | None = None
) -> tuple[Volume, list[Change]]:
    known = snapshot.named(Volume, environment, name)
    if known is not None and not known.removing:
        return known, []
    if known is not None:
        raise Conflict(f"volume {name} is being removed")
    volume = Volume(
        id=f"{environment}.{name}.{snapshot.version}",
        environment=environment,
        name=name,
        spec=spec or VolumeSpec(name=name),
        created_at_s=now_s,
    )
    return volume, [Put(object=volume, reason=f"volume {name} is {WISHED}")]


def forget(snapshot: Snapshot, service: Service) -> list[Change]:
    """The container is gone, or never came to be: nothing of it is kept, and its name is free."""
    changes: list[Change] = [
        Delete(object=unit, reason="the container was removed")
        for unit in snapshot.units_of_service(ServiceId(service.id))
    ]
    changes += [
        Delete(object=revision, reason="the container was removed")
        for revision in snapshot.revisions_of_service(ServiceId(service.id))
    ]
    return [*changes, Delete(object=service, reason="the container was removed")]


def rename(snapshot: Snapshot, unit: Unit, name: str) -> list[Change]:
    """Raises `NameInUse`."""
    freed = _free_name(snapshot, unit.environment, name)
    service = snapshot.get(Service, unit.service)
    if service is None:
        raise NotFound(f"container {unit.name} is gone")
    reason = f"{unit.name} is renamed to {name}"
    return [
        *freed,
        Put(object=replace(unit, name=name, service_name=name), reason=reason),
        Put(object=replace(service, name=name), reason=reason),
    ]


class Connected(msgspec.Struct, frozen=True):
    unit: Unit
    network: Network
    changes: tuple[Change, ...]


def connect(snapshot: Snapshot, unit: Unit, network: Network, attachment: Attachment, now_s: float) -> Connected:
    """An address on one network more. Raises `Conflict` when it is on it, or the address cannot be had."""
    if network.id in unit.addresses:
        raise Conflict(f"endpoint with name {unit.name} already exists in network {network.name}")
    draft = Draft(snapshot, now_s)
    allot(draft, network)
    network = draft.get(Network, network.id) or network
    host = unit.host or HostId("")
    book = book_of(draft, network)
    if host not in network.gateways:
        gateways = {**network.gateways, **book.gateways_for([host])}
        network = replace(network, gateways=gateways)
        draft.apply([Put(object=network, reason=f"{unit.name} takes part")])
        book = book_of(draft, network)
    address = number(attachment.ipv4_address) if attachment.ipv4_address else book.lowest_free()
    if address is None or book.holder(address) or not book.layout.usable(address):
        raise Conflict(f"address {attachment.ipv4_address or 'of its own'} cannot be had on network {network.name}")
    spec = draft.spec(unit)
    container = replace(spec.container, networks=(*spec.container.networks, attachment), network_mode="")
    ids = {**draft.revision(unit).networks, attachment.network: NetworkId(network.id)}
    revised, changes = _revised(draft, unit, replace(spec, container=container), ids)
    id = NetworkId(network.id)
    moved = replace(revised, addresses={**unit.addresses, id: text(address)})
    if network.subnet6:
        six = attachment.ipv6_address or address6(network, text(address))
        moved = replace(moved, addresses6={**unit.addresses6, id: six})
    elif attachment.ipv6_address:
        raise Conflict(f"network {network.name} has no IPv6 for the address {attachment.ipv6_address}")
    changes.append(Put(object=moved, reason=f"{unit.name} is connected to {network.name}"))
    return Connected(moved, network, (*draft.changes(), *changes))


def disconnect(snapshot: Snapshot, unit: Unit, network: Network, now_s: float) -> list[Change]:
    """Its address on the network is free again."""
    draft = Draft(snapshot, now_s)
    revision = draft.revision(unit)
    ids = {key: id for key, id in revision.networks.items() if id != network.id}
    container = revision.spec.container
    container = replace(container, networks=tuple(one for one in container.networks if one.network in ids))
    revised, changes = _revised(draft, unit, replace(revision.spec, container=container), ids)
    addresses = {id: address for id, address in unit.addresses.items() if id != network.id}
    addresses6 = {id: address for id, address in unit.addresses6.items() if id != network.id}
    left = replace(revised, addresses=addresses, addresses6=addresses6)
    return [*changes, Put(object=left, reason=f"{unit.name} is disconnected from {network.name}")]


def unlink(snapshot: Snapshot, unit: Unit, alias: str, now_s: float) -> list[Change]:
    """The name `alias`, which only this container knew, means nothing to it any more."""
    draft = Draft(snapshot, now_s)
    revision = draft.revision(unit)
    links = tuple(link for link in revision.spec.links if link.rpartition(":")[2] != alias)
    if links == revision.spec.links:
        return []
    revised, changes = _revised(draft, unit, replace(revision.spec, links=links), dict(revision.networks))
    return [*changes, Put(object=revised, reason=f"{unit.name} is no longer linked to {alias}")]


def _revised(draft: Draft, unit: Unit, spec: ServiceSpec, networks: dict[str, NetworkId]) -> tuple[Unit, list[Change]]:
    """The unit and its service with another revision, which replaces nothing: the container is not ours to replace."""
    before = draft.revision(unit)
    references = References(networks, before.volumes, before.secrets, before.configs)
    revision = revision_of(unit.service, unit.environment, spec, references)
    service = draft.get(Service, unit.service)
    if service is None:
        raise NotFound(f"container {unit.name} is gone")
    changes: list[Change] = []
    if draft.get(Revision, revision.id) is None:
        changes.append(Put(object=replace(revision, created_at_s=draft.now_s), reason="its networks or links change"))
    id = RevisionId(revision.id)
    changes.append(Put(object=replace(service, revision=id), reason="its networks or links change"))
    return replace(unit, revision=id), changes
