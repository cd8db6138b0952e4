"""Objects as the API shows them. Pure: a snapshot in, views out. Contents of files are in none of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paddock.core.status import as_known, service_status, stack_state
from paddock.model.errors import NotFound
from paddock.model.objects import (
    ContainerStatus,
    Environment,
    Host,
    HostId,
    HostState,
    Network,
    NetworkId,
    Revision,
    Service,
    Stack,
    StackId,
    Unit,
    UnitDesired,
    UnitState,
    Volume,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec, PortSpec, ServiceSpec
from paddock.wire.api import (
    ContainerView,
    EnvironmentView,
    HostView,
    NetworkView,
    Reserved,
    ServiceView,
    StackView,
    VolumeView,
)


def environment_view(snapshot: Snapshot, environment: Environment) -> EnvironmentView:
    return EnvironmentView(
        id=environment.id,
        name=environment.name,
        pools=environment.pools,
        breaker=environment.breaker,
        breaker_reason=environment.breaker_reason,
        hosts=len(snapshot.in_environment(Host, environment.id)),
        stacks=len(snapshot.in_environment(Stack, environment.id)),
    )


def host_view(snapshot: Snapshot, host: Host) -> HostView:
    units = [unit for unit in snapshot.units_on_host(HostId(host.id)) if unit.live]
    state = str(host.state)
    if host.state == HostState.ACTIVE and host.availability == "drained":
        state = "draining" if units else "drained"
    return HostView(
        id=host.id,
        name=host.name,
        state=state,
        availability=host.availability,
        since_s=host.since_s,
        labels=host.labels,
        facts=host.facts,
        reserved=_reserved(snapshot, units),
        session=host.session,
    )


def _reserved(snapshot: Snapshot, units: Iterable[Unit]) -> Reserved:
    cpu_milli = memory_bytes = count = 0
    for unit in units:
        revision = snapshot.get(Revision, unit.revision)
        count += 1
        if revision is not None:
            cpu_milli += revision.spec.reservation.cpu_milli
            memory_bytes += revision.spec.reservation.memory_bytes
    return Reserved(cpu_milli=cpu_milli, memory_bytes=memory_bytes, units=count)


def stack_named(snapshot: Snapshot, environment: Environment, name: str) -> Stack:
    found = snapshot.named(Stack, environment.id, name)
    if found is None:
        raise NotFound(f"there is no stack {name!r} in environment {environment.name}", hint="see `paddock stacks`")
    return found


def service_named(snapshot: Snapshot, environment: Environment, stack: str, name: str) -> Service:
    stack_named(snapshot, environment, stack)
    found = snapshot.named(Service, environment.id, f"{stack}/{name}")
    if found is None:
        raise NotFound(f"stack {stack} has no service {name!r}", hint=f"see `paddock services --stack {stack}`")
    return found


def stack_view(snapshot: Snapshot, stack: Stack) -> StackView:
    services = snapshot.services_of_stack(StackId(stack.id))
    views = tuple(service_view(snapshot, service) for service in sorted(services, key=lambda service: service.name))
    return StackView(
        id=stack.id,
        name=stack.name,
        state="removing" if stack.removing else stack_state(view.state for view in views),
        services=views,
        networks=_names(one for one in snapshot.in_environment(Network, stack.environment) if one.stack == stack.id),
        volumes=_names(one for one in snapshot.in_environment(Volume, stack.environment) if one.stack == stack.id),
        created_at_s=stack.created_at_s,
    )


def _names(things: Iterable[Network | Volume]) -> tuple[str, ...]:
    return tuple(sorted(thing.name for thing in things))


def service_view(snapshot: Snapshot, service: Service) -> ServiceView:
    revision = snapshot.get(Revision, service.revision)
    spec = revision.spec if revision is not None else None
    status = service_status(snapshot, service)
    return ServiceView(
        id=service.id,
        stack=service.stack_name,
        name=service.name,
        mode=spec.mode if spec is not None else "",
        state=status.state,
        replicas=service.replicas,
        running=status.running,
        ready=status.ready,
        image=spec.container.image if spec is not None else "",
        ports=tuple(port_text(port) for port in spec.container.ports) if spec is not None else (),
        revision=service.revision,
        rollout=service.rollout,
        waiting=status.waiting,
        created_at_s=service.created_at_s,
    )


def port_text(port: PortSpec) -> str:
    """`8080->80/tcp`, or `80/tcp` when any free port will do."""
    target = f"{port.target}/{port.protocol}"
    if not port.published:
        return target
    where = f"{port.host_ip}:{port.published}" if port.host_ip else port.published
    return f"{where}->{target}"


def container_views(snapshot: Snapshot, units: Sequence[Unit], *, finished: bool) -> list[ContainerView]:
    """One per container of each unit, by stack, service, slot, generation, role. `units`: all of each service there.

    What has ended is shown without `finished` too while nothing has taken its place: a stopped service, a done job.
    """
    newest: dict[tuple[str, int], int] = {}
    for unit in units:
        place = (unit.service, unit.slot)
        newest[place] = max(unit.generation, newest.get(place, 0))
    views = [
        view
        for unit in units
        if finished or unit.live or (_kept(unit) and unit.generation == newest[(unit.service, unit.slot)])
        for view in unit_views(snapshot, unit)
    ]
    return sorted(views, key=lambda view: (view.stack, view.service, view.slot, view.generation, view.role))


def _kept(unit: Unit) -> bool:
    return unit.desired < UnitDesired.REMOVED and unit.state < UnitState.ORPHANED


def _state(unit: Unit, host: Host | None) -> str:
    """A failure is told as one, also when nothing of it is left."""
    if (
        unit.live
        and host is not None
        and (host.state == HostState.LOST or (host.unheard and unit.state_since_s < host.since_s))
    ):
        return "unknown"
    failed = unit.state == UnitState.REMOVED and unit.ended in (UnitState.FAILED, UnitState.REJECTED)
    shown = unit.ended if failed and unit.ended is not None else unit.state
    return shown.name.lower()


def unit_views(snapshot: Snapshot, unit: Unit) -> list[ContainerView]:
    revision = snapshot.get(Revision, unit.revision)
    spec = revision.spec if revision is not None else None
    roles = ["", *(spec.sidekicks if spec is not None else ())]
    known = {status.role: status for status in unit.containers}
    return [_container_view(snapshot, unit, spec, known.get(role, ContainerStatus(role=role))) for role in roles]


def _container_view(snapshot: Snapshot, unit: Unit, spec: ServiceSpec | None, status: ContainerStatus) -> ContainerView:
    host = snapshot.get(Host, unit.host) if unit.host else None
    container = _container_spec(spec, status.role)
    name = unit.name if not status.role else status.name or f"{unit.name}-{status.role}"
    return ContainerView(
        name=name,
        id=status.id,
        unit=unit.id,
        stack=unit.stack_name,
        service=unit.service_name,
        slot=unit.slot,
        generation=unit.generation,
        role=status.role,
        host=host.name if host is not None else "",
        image=container.image if container is not None else "",
        state=_state(unit, host),
        desired=unit.desired.name.lower(),
        health=status.health,
        ready=as_known(snapshot, unit).ready,
        status=status,
        addresses=_addresses(snapshot, unit),
        ports=status.ports,
        message=unit.message or status.error,
        waiting=unit.waiting,
        restarts=unit.generation - 1 + status.restarts if unit.generation else status.restarts,
        created_at_s=unit.created_at_s,
        since_s=unit.state_since_s,
    )


def _container_spec(spec: ServiceSpec | None, role: str) -> ContainerSpec | None:
    if spec is None:
        return None
    return spec.sidekicks.get(role) if role else spec.container


def _addresses(snapshot: Snapshot, unit: Unit) -> dict[str, str]:
    """Name of the network -> address."""
    found: dict[str, str] = {}
    for id, address in sorted(unit.addresses.items()):
        network = snapshot.get(Network, id)
        found[network.name if network is not None else id] = address
    return found


def network_views(snapshot: Snapshot, environment: Environment) -> list[NetworkView]:
    views = []
    for network in snapshot.in_environment(Network, environment.id):
        units = [unit for unit in snapshot.units_on_network(NetworkId(network.id)) if unit.live]
        hosts = {unit.host for unit in units if unit.host}
        views.append(
            NetworkView(
                id=network.id,
                name=network.name,
                stack=_stack_name(snapshot, network.stack),
                subnet=network.subnet,
                vni=network.vni,
                internal=network.spec.internal,
                hosts=_host_names(snapshot, hosts),
                containers=len(units),
            )
        )
    return sorted(views, key=lambda view: view.name)


def _host_names(snapshot: Snapshot, hosts: Iterable[HostId]) -> tuple[str, ...]:
    found = [snapshot.get(Host, host) for host in hosts]
    return tuple(sorted(host.name for host in found if host is not None))


def _stack_name(snapshot: Snapshot, id: str) -> str:
    stack = snapshot.get(Stack, id) if id else None
    return stack.name if stack is not None else ""


def volume_views(snapshot: Snapshot, environment: Environment) -> list[VolumeView]:
    users = volume_users(snapshot, environment)
    views = [
        VolumeView(
            id=volume.id,
            name=volume.name,
            stack=_stack_name(snapshot, volume.stack),
            driver=volume.spec.driver or "local",
            host="".join(_host_names(snapshot, [volume.host] if volume.host else [])),
            used_by=tuple(sorted(users.get(volume.id, ()))),
        )
        for volume in snapshot.in_environment(Volume, environment.id)
    ]
    return sorted(views, key=lambda view: view.name)


def volume_users(snapshot: Snapshot, environment: Environment) -> dict[str, list[str]]:
    """volume id -> names of units that mount it and still have containers."""
    users: dict[str, list[str]] = {}
    for unit in snapshot.in_environment(Unit, environment.id):
        revision = snapshot.get(Revision, unit.revision)
        if revision is None or unit.state >= UnitState.ORPHANED:
            continue
        for volume in revision.volumes.values():
            users.setdefault(volume, []).append(unit.name)
    return users
