"""After the storm: whether the wish and the world agree, and why not."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from paddock.core.assignment import assignments
from paddock.core.reconcile.services import serves
from paddock.core.schedule.ports import containers_of
from paddock.model.assignment import (
    AddressAssignment,
    AnyItem,
    Assignment,
    FileAssignment,
    NameAssignment,
    PeerAssignment,
    key_of,
)
from paddock.model.objects import Host, HostState, Revision, Service, ServiceId, Stack, Unit, UnitState
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ServiceSpec, StackSpec
from paddock.sim.container import Container
from paddock.sim.machine import Machine

_GONE = (UnitState.ORPHANED, UnitState.REMOVED)


def differences(view: Snapshot, wishes: dict[str, StackSpec], machines: list[Machine]) -> list[str]:
    """Empty when every wish is fulfilled and nothing else is there."""
    found = list(_wished(view, wishes))
    claimed: dict[str, str] = {}
    ours = [machine.id for machine in machines]
    found += [f"host {id} is no machine any more" for id in sorted(view.table(Host)) if id not in ours]
    for service_id in sorted(view.table(Service)):
        found += _service(view, view.table(Service)[service_id], machines, claimed)
    for machine in machines:
        found += _host(view, machine)
        for container in machine.engine.containers.values():
            if (container.unit is not None or container.project) and container.id not in claimed:
                found.append(f"{machine.name} has {container.name} of {container.unit} ({container.state})")
    return found


def _wished(view: Snapshot, wishes: dict[str, StackSpec]) -> Iterator[str]:
    stacks = {stack.name: stack for stack in view.table(Stack).values()}
    for name in sorted(stacks.keys() | wishes.keys()):
        if name not in stacks or name not in wishes:
            yield f"stack {name} is {'wished for' if name in wishes else 'still there'}"
            continue
        services = {service.name: service for service in view.services_of_stack(stacks[name].id)}  # type: ignore[arg-type]
        for service_name in sorted(services.keys() | wishes[name].services.keys()):
            if service_name not in services or service_name not in wishes[name].services:
                there = "still there" if service_name in services else "wished for"
                yield f"service {name}/{service_name} is {there}"
            elif _spec(view, services[service_name]) != wishes[name].services[service_name]:
                yield f"service {name}/{service_name} is not what was wished for last"


def _spec(view: Snapshot, thing: Service | Unit) -> ServiceSpec:
    revision = view.table(Revision)[thing.revision]
    return revision.spec


def _slots(view: Snapshot, service: Service) -> int:
    spec = _spec(view, service)
    if spec.mode.startswith("global"):
        return sum(1 for host in view.table(Host).values() if serves(host, spec))
    return service.replicas


def _service(view: Snapshot, service: Service, machines: list[Machine], claimed: dict[str, str]) -> Iterator[str]:
    if service.rollout is not None and service.rollout.state not in ("completed", "rolled-back"):
        yield f"the rollout of {service.id} is {service.rollout.state}: {service.rollout.message}"
    by_id = {machine.id: machine for machine in machines}
    units = [unit for unit in view.units_of_service(ServiceId(service.id)) if unit.state not in _GONE]
    slots = {unit.slot for unit in units}
    if len(units) != len(slots) or len(slots) != _slots(view, service):
        yield f"{service.id} has {len(units)} units in {len(slots)} slots, not {_slots(view, service)}: " + "; ".join(
            f"{unit.id} {unit.state.name}/{unit.desired.name} {unit.waiting.reason if unit.waiting else unit.message}"
            for unit in units
        )
    for unit in units:
        machine = by_id.get(unit.host) if unit.host is not None else None
        if machine is None:
            why = unit.waiting.reason if unit.waiting is not None else unit.message
            yield f"{unit.id} is {unit.state.name} on no host: {why}"
        elif unit.standalone:
            yield from _standalone(unit, machine, claimed)
        else:
            yield from _unit(_spec(view, unit), unit, machine, claimed)


def _unit(spec: ServiceSpec, unit: Unit, machine: Machine, claimed: dict[str, str]) -> Iterator[str]:
    done = spec.container.image.startswith("app/job")
    if unit.state != (UnitState.COMPLETE if done else UnitState.RUNNING) or (not done and not unit.ready):
        why = unit.waiting.reason if unit.waiting is not None else unit.message
        state = f"{unit.state.name}/{unit.desired.name}{' ready' if unit.ready else ''}"
        yield f"{unit.id} is {state} on {machine.name}: {why}"
        return
    statuses = {status.role: status for status in unit.containers}
    for role, asked in containers_of(spec):
        status = statuses.get(role)
        container = machine.engine.containers.get(status.id) if status is not None else None
        if container is None:
            yield f"{unit.id} has no container for {role or 'itself'} on {machine.name}"
            continue
        claimed[container.id] = unit.id
        yield from _container(unit, container, asked.image, done=done)


def _standalone(unit: Unit, machine: Machine, claimed: dict[str, str]) -> Iterator[str]:
    """What ran at some time runs; what never was started is left to whoever made it."""
    container = machine.engine.containers.get(unit.containers[0].id) if unit.containers else None
    if unit.state != UnitState.READY or container is None:
        yield f"{unit.id} is {unit.state.name}/{unit.desired.name} on {machine.name}: {unit.message}"
        return
    claimed[container.id] = unit.id
    started = container.run > 0 or unit.remake == "start"
    yield from _container(unit, container, container.image, done=not started)
    if unit.containers[0].state != container.state:
        yield f"{container.name} of {unit.id} is {container.state}, not {unit.containers[0].state}"


def _container(unit: Unit, container: Container, image: str, *, done: bool) -> Iterator[str]:
    if container.running == done:
        yield f"{container.name} of {unit.id} is {container.state}"
    if container.image != image:
        yield f"{container.name} of {unit.id} has image {container.image}, not {image}"
    if not container.role and container.name != unit.name:
        yield f"{container.name} of {unit.id} should be called {unit.name}"
    addresses = sorted(address for _, address in container.networks.values())
    if not container.role and addresses != sorted(unit.addresses.values()):
        yield f"{container.name} of {unit.id} has addresses {addresses}"


def _host(view: Snapshot, machine: Machine) -> Iterator[str]:
    host = view.get(Host, machine.id)
    if host is None or host.state is not HostState.ACTIVE:
        yield f"host {machine.name} is {host.state if host is not None else 'not there'}"
        return
    agent = machine.agent
    if agent is None or not agent.connected:
        yield f"the agent of {machine.name} is not connected"
        return
    wanted = assignments(view, [machine.id])[machine.id]
    ledger = machine.agent_ledger
    held = {
        key: replace(item, content=b"") if isinstance(item, FileAssignment) else item
        for key, item in (ledger.items if ledger is not None else {}).items()
    }
    if held != wanted:
        keys = sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
        yield f"the ledger of {machine.name} differs in {keys[:5]}"
    if ledger is not None and ledger.leaving:
        yield f"{machine.name} still has {sorted(ledger.leaving)[:5]} leaving"
    yield from _kernel(machine, wanted)


def _kernel(machine: Machine, wanted: Assignment) -> Iterator[str]:
    there = {network.network for network in machine.kernel.networks}
    networks = {key.partition("/")[2] for key in wanted if key.startswith("network/")}
    if there != networks or {network.wanted.network for network in machine.engine.networks.values()} != networks:
        yield f"{machine.name} has networks {sorted(there)}, and should have {sorted(networks)}"
    peers = {
        (network.network, peer.ipv4, peer.ipv6, peer.mac, peer.host_address)
        for network in machine.kernel.networks
        for peer in network.peers
    }
    items = wanted.values()
    asked = {(i.network, i.ipv4, i.ipv6, i.mac, i.host_address) for i in items if isinstance(i, PeerAssignment)}
    if peers != asked:
        yield f"{machine.name} has other peers than it should: {sorted(peers ^ asked)[:4]}"
    answered: tuple[AnyItem, ...] = (*machine.kernel.names.addresses, *machine.kernel.names.known)
    names = {key_of(item): item for item in answered}
    told = {key: item for key, item in wanted.items() if isinstance(item, AddressAssignment | NameAssignment)}
    if names != told:
        yield f"{machine.name} answers other names than it should"
