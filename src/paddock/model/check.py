"""What must hold of every snapshot, and between one and the next. Empty answers mean that it does.

Runs on every test input, in the simulator after every commit, and in the store with `debug`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from itertools import pairwise

from paddock.model.objects import (
    KINDS,
    ApiKey,
    Environment,
    File,
    Host,
    HostId,
    JoinToken,
    Network,
    Object,
    Revision,
    Service,
    Stack,
    Unit,
    UnitDesired,
    UnitState,
    Volume,
    kind_of,
    unit_id,
)
from paddock.model.snapshot import Snapshot

HOST_BLOCK_BITS = 28
MOST_PROBLEMS = 100
"""A broken snapshot is broken; the rest of a long list helps nobody."""


def problems(snapshot: Snapshot) -> list[str]:
    """Sentences that name the object and what is wrong with it, at most `MOST_PROBLEMS`."""
    found: list[str] = []
    for check in (_identities, _names, _services, _revisions, _units, _addresses, _networks, _volumes, _usage):
        for problem in check(snapshot):
            found.append(problem)
            if len(found) == MOST_PROBLEMS:
                return found
    return found


def _all(snapshot: Snapshot, kind: type[Object]) -> list[Object]:
    table: Mapping[str, Object] = snapshot.table(kind)
    return [table[id] for id in sorted(table)]


def _identities(snapshot: Snapshot) -> Iterator[str]:
    for kind in KINDS:
        for thing in _all(snapshot, kind):
            what = f"{kind_of(kind)} {thing.id}"
            if not thing.id:
                yield f"a {kind_of(kind)} has no id"
            if thing.version > snapshot.version:
                yield f"{what} is at version {thing.version}, the snapshot only at {snapshot.version}"
            environment = getattr(thing, "environment", None)
            optional = kind is ApiKey and environment == ""
            if environment is not None and not optional and snapshot.get(Environment, environment) is None:
                yield f"{what} is in environment {environment!r}, which does not exist"
            if kind is JoinToken and not getattr(thing, "secret_hash", ""):
                yield f"{what} has no secret"


def _names(snapshot: Snapshot) -> Iterator[str]:
    for kind in (Environment, Host, Stack, Network, Volume, File, Service):
        taken: dict[tuple[str, ...], str] = {}
        for thing in _all(snapshot, kind):
            name = _full_name(thing)
            if not name[-1]:
                yield f"{kind_of(kind)} {thing.id} has no name"
            first = taken.setdefault(name, thing.id)
            if first != thing.id:
                yield f"{kind_of(kind)} {thing.id} has the name {name[-1]!r}, and so has {first}"


def _full_name(thing: Object) -> tuple[str, ...]:
    match thing:
        case Environment(name=name):
            return (name,)
        case Service(environment=environment, stack=stack, name=name):
            return (environment, stack, name)
        case File(environment=environment, purpose=purpose, name=name):
            return (environment, purpose, name)
        case _:
            return (getattr(thing, "environment", ""), getattr(thing, "name", ""))


def _services(snapshot: Snapshot) -> Iterator[str]:
    for service in snapshot.table(Service).values():
        what = f"service {service.id}"
        stack = snapshot.get(Stack, service.stack)
        if not service.stack_name:
            if service.stack != service.id:
                yield f"{what} has no stack, but says it is {service.stack}"
        elif stack is None:
            yield f"{what} is of stack {service.stack}, which does not exist"
        elif (stack.environment, stack.name) != (service.environment, service.stack_name):
            yield f"{what} says its stack is {service.stack_name}, but {stack.id} is {stack.name}"
        if service.replicas < 0:
            yield f"{what} wants {service.replicas} replicas"
        wanted = [service.revision]
        if service.rollout is not None and service.rollout.state in ("updating", "paused", "rolling-back"):
            wanted += [service.rollout.target, service.rollout.origin]
        for id in wanted:
            revision = snapshot.get(Revision, id)
            if revision is None:
                yield f"{what} needs revision {id}, which does not exist"
            else:
                yield from _revision_in_use(snapshot, service, revision)


def _revision_in_use(snapshot: Snapshot, service: Service, revision: Revision) -> Iterator[str]:
    what = f"revision {revision.id} of service {service.id}"
    if revision.service != service.id:
        yield f"{what} belongs to service {revision.service}"
    references: tuple[tuple[type[Object], Mapping[str, str]], ...] = (
        (Network, revision.networks),
        (Volume, revision.volumes),
        (File, revision.secrets),
        (File, revision.configs),
    )
    for kind, named in references:
        for key, id in named.items():
            if snapshot.get(kind, id) is None:
                yield f"{what} refers to {kind_of(kind)} {id} (as {key!r}), which does not exist"


def _revisions(snapshot: Snapshot) -> Iterator[str]:
    for revision in snapshot.table(Revision).values():
        if snapshot.get(Service, revision.service) is None:
            yield f"revision {revision.id} is of service {revision.service}, which does not exist"
        if not revision.id.startswith(f"{revision.service}@"):
            yield f"revision {revision.id} does not carry the id of its service {revision.service}"


def _units(snapshot: Snapshot) -> Iterator[str]:
    taken: dict[tuple[str, str], Unit] = {}
    for unit in snapshot.table(Unit).values():
        yield from _unit_identity(snapshot, unit)
        yield from _unit_place(snapshot, unit)
        if unit.live and unit.desired < UnitDesired.STOPPED:
            first = taken.setdefault((unit.environment, unit.name), unit)
            if (first.service, first.slot) != (unit.service, unit.slot):
                yield f"units {first.id} and {unit.id} are both to run as {unit.name!r}"


def _unit_identity(snapshot: Snapshot, unit: Unit) -> Iterator[str]:
    what = f"unit {unit.id}"
    if unit.id != unit_id(unit.service, unit.slot, unit.generation):
        yield f"{what} is slot {unit.slot}, generation {unit.generation} of {unit.service}: its id says otherwise"
    service = snapshot.get(Service, unit.service)
    if service is None:
        yield f"{what} is of service {unit.service}, which does not exist"
    elif (service.environment, service.stack, service.stack_name, service.name) != (
        unit.environment, unit.stack, unit.stack_name, unit.service_name,
    ):  # fmt: skip
        yield f"{what} and its service {service.id} disagree about their environment, stack or name"
    if not unit.live:
        return
    revision = snapshot.get(Revision, unit.revision)
    if revision is None:
        yield f"{what} is made of revision {unit.revision}, which does not exist"
    elif revision.service != unit.service:
        yield f"{what} is made of revision {revision.id}, which belongs to service {revision.service}"


def _unit_place(snapshot: Snapshot, unit: Unit) -> Iterator[str]:
    what = f"unit {unit.id}"
    if unit.host is None:
        if UnitState.PLACED <= unit.state < UnitState.COMPLETE:
            yield f"{what} is {unit.state.name.lower()} on no host"
        return
    host = snapshot.get(Host, unit.host)
    if host is None and unit.live:
        yield f"{what} is on host {unit.host}, which does not exist"
    if host is not None and host.environment != unit.environment:
        yield f"{what} is on host {host.id}, which belongs to environment {host.environment}"


def _addresses(snapshot: Snapshot) -> Iterator[str]:
    """Of live units: inside the subnet, nobody else's, and not in what is left to hosts unless asked for."""
    taken: dict[tuple[str, str], str] = {}
    plans: dict[str, _Plan] = {}
    for unit in snapshot.table(Unit).values():
        if not unit.live:
            continue
        for id, address in unit.addresses.items():
            first = taken.setdefault((id, address), unit.id)
            if first != unit.id:
                yield f"units {first} and {unit.id} both have {address} on network {id}"
            network = snapshot.get(Network, id)
            if network is None:
                yield f"unit {unit.id} is on network {id}, which does not exist"
                continue
            if id not in plans:
                plans[id] = _plan(network)
            fault = _address_fault(plans[id], address)
            if fault and not (fault == _IN_BLOCK and address in _asked_for(snapshot, unit)):
                yield f"unit {unit.id} has {address} on network {id}, {fault}"


_IN_BLOCK = "which is in a range left to a host"
_Plan = tuple[IPv4Network | None, tuple[IPv4Address, ...], tuple[IPv4Network, ...]]
"""Of a network: its subnet, its gateways, and the ranges left to its hosts."""


def _plan(network: Network) -> _Plan:
    """A subnet too small to be cut leaves no range to hosts."""
    subnet = _subnet(network)
    gateways = tuple(ip for ip in map(_ip, network.gateways.values()) if ip is not None)
    if subnet is None or subnet.prefixlen >= HOST_BLOCK_BITS:
        return subnet, gateways, ()
    return subnet, gateways, tuple(IPv4Network((ip, HOST_BLOCK_BITS), strict=False) for ip in gateways)


def _address_fault(plan: _Plan, address: str) -> str:
    subnet, gateways, blocks = plan
    ip = _ip(address)
    if subnet is None:
        return "which has no subnet"
    if ip is None or ip not in subnet:
        return f"which is not in {subnet}"
    if ip in (subnet.network_address, subnet.broadcast_address):
        return f"which no container can have in {subnet}"
    if ip in gateways:
        return "which is a host's gateway"
    return _IN_BLOCK if any(ip in block for block in blocks) else ""


def _asked_for(snapshot: Snapshot, unit: Unit) -> list[str]:
    revision = snapshot.get(Revision, unit.revision)
    if revision is None:
        return []
    containers = [revision.spec.container, *revision.spec.sidekicks.values()]
    return [attachment.ipv4_address for container in containers for attachment in container.networks]


def _networks(snapshot: Snapshot) -> Iterator[str]:
    numbers: dict[int, str] = {}
    cut: list[tuple[str, IPv4Network, Network]] = []
    for network in snapshot.table(Network).values():
        what = f"network {network.id}"
        if network.vni and numbers.setdefault(network.vni, network.id) != network.id:
            yield f"networks {numbers[network.vni]} and {network.id} both have VNI {network.vni}"
        if not network.subnet:
            if network.gateways:
                yield f"{what} has gateways but no subnet"
            continue
        subnet = _subnet(network)
        if subnet is None:
            yield f"{what} has the subnet {network.subnet!r}, which is none"
            continue
        cut.append((network.environment, subnet, network))
        yield from _gateways(snapshot, network, subnet)
    cut.sort(key=lambda entry: (entry[0], entry[1], entry[2].id))
    for (environment, first, one), (other_environment, second, other) in pairwise(cut):
        if environment == other_environment and first.overlaps(second):
            yield f"networks {one.id} ({first}) and {other.id} ({second}) overlap"


def _gateways(snapshot: Snapshot, network: Network, subnet: IPv4Network) -> Iterator[str]:
    taken: dict[str, str] = {}
    for host, gateway in network.gateways.items():
        what = f"network {network.id} has the gateway {gateway} on host {host}"
        if snapshot.get(Host, host) is None:
            yield f"{what}, which does not exist"
        ip = _ip(gateway)
        if ip is None or ip not in subnet or ip in (subnet.network_address, subnet.broadcast_address):
            yield f"{what}, which no host can have in {subnet}"
            continue
        wide = subnet.prefixlen < HOST_BLOCK_BITS
        block = str(IPv4Network((ip, HOST_BLOCK_BITS), strict=False)) if wide else gateway
        if taken.setdefault(block, host) != host:
            yield f"{what}, in the range of host {taken[block]}"


def _volumes(snapshot: Snapshot) -> Iterator[str]:
    for volume in snapshot.table(Volume).values():
        if volume.host is not None and snapshot.get(Host, volume.host) is None:
            yield f"volume {volume.id} is on host {volume.host}, which does not exist"


def _subnet(network: Network) -> IPv4Network | None:
    try:
        return IPv4Network(network.subnet)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None


def _ip(address: str) -> IPv4Address | None:
    try:
        return IPv4Address(address)
    except AddressValueError:
        return None


# Between one snapshot and the next

_UNIT_IDENTITY = (
    "environment", "stack", "service", "stack_name", "service_name", "slot", "generation", "revision", "name", "reuses",
    "standalone", "created_at_s",
)  # fmt: skip
_STANDALONE_MAY_CHANGE = ("name", "service_name", "revision")
"""`docker rename`, and networks that a container is connected to later."""


def problems_between(before: Snapshot, after: Snapshot) -> list[str]:
    """States and wishes of units only climb, who they are never changes, and no object goes back in version."""
    found: list[str] = []
    if after.version < before.version:
        found.append(f"version {after.version} comes after version {before.version}")
    for kind in KINDS:
        old: Mapping[str, Object] = before.table(kind)
        for id, thing in after.table(kind).items():
            was = old.get(id)
            if was is not None and was is not thing:
                found += _backwards(was, thing)
    return sorted(found)[:MOST_PROBLEMS]


def _backwards(was: Object, now: Object) -> Iterator[str]:
    what = f"{kind_of(now)} {now.id}"
    if now.version < was.version:
        yield f"{what} went from version {was.version} to {now.version}"
    match was, now:
        case Unit(), Unit():
            yield from _unit_backwards(what, was, now)
        case Revision(), Revision() if (was.service, was.spec) != (now.service, now.spec):
            yield f"{what} changed, and revisions never do"
        case Host(), Host() if now.session < was.session:
            yield f"{what} went from session {was.session} to {now.session}"
        case _:
            pass


def _unit_backwards(what: str, was: Unit, now: Unit) -> Iterator[str]:
    if now.state < was.state:
        yield f"{what} went from {was.state.name.lower()} back to {now.state.name.lower()}"
    if now.desired < was.desired:
        yield f"{what} was wished {was.desired.name.lower()} and now {now.desired.name.lower()}"
    for field in _UNIT_IDENTITY:
        if was.standalone and field in _STANDALONE_MAY_CHANGE:
            continue
        if getattr(was, field) != getattr(now, field):
            yield f"{what} changed its {field} from {getattr(was, field)!r} to {getattr(now, field)!r}"
    if was.host is not None and now.host != was.host:
        yield f"{what} moved from host {was.host} to {now.host}: a move is the next generation"
    for network, address in was.addresses.items():
        if now.live and not now.standalone and now.addresses.get(network) != address:
            yield f"{what} gave up its address {address} on network {network}"


def _usage(snapshot: Snapshot) -> Iterator[str]:
    """What the snapshot keeps count of is what counting over all units gives."""
    counted: dict[HostId, tuple[int, int, int]] = {}
    for unit in snapshot.table(Unit).values():
        revision = snapshot.get(Revision, unit.revision)
        if unit.host is not None and unit.live and revision is not None:
            units, cpu_milli, memory_bytes = counted.get(unit.host, (0, 0, 0))
            taken = revision.spec.reservation
            counted[unit.host] = (units + 1, cpu_milli + taken.cpu_milli, memory_bytes + taken.memory_bytes)
    for host in snapshot.table(Host):
        usage = snapshot.usage(HostId(host))
        kept, right = (usage.units, usage.cpu_milli, usage.memory_bytes), counted.get(HostId(host), (0, 0, 0))
        if kept != right:
            yield f"host {host}: the snapshot counts {kept} (units, mCPU, bytes) as taken, the units there make {right}"
