"""What is wrong with a wished stack in this environment: everything, before anything is committed."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from paddock.core.schedule.expressions import problem_with_affinity, problem_with_constraint
from paddock.core.schedule.ports import containers_of
from paddock.core.subnets import ipv4_subnets, own_network_of_a_host
from paddock.core.subnets6 import ipv6_subnets, too_small
from paddock.model.errors import Problem
from paddock.model.objects import Environment, File, Host, Network, Volume
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, ContainerSpec, NetworkSpec, ServiceSpec, StackSpec

FileKeys = frozenset[tuple[str, str]]


def problems_of(snapshot: Snapshot, environment: Environment, spec: StackSpec, sealed: FileKeys) -> tuple[Problem, ...]:
    found = _networks(snapshot, environment, spec) + _volumes(snapshot, environment, spec)
    found += _files(snapshot, environment, spec, sealed)
    for name in sorted(spec.services):
        found += _service(spec, spec.services[name])
    found += _cycles(spec) + _names(snapshot, environment, spec)
    return tuple(found)


def _problem(field: str, message: str, hint: str = "") -> Problem:
    return Problem(field=field, message=message, hint=hint)


def _networks(snapshot: Snapshot, environment: Environment, spec: StackSpec) -> list[Problem]:
    found = []
    own = f"{environment.id}.{spec.name}"
    for key, network in sorted(spec.networks.items()):
        known = snapshot.named(Network, environment.id, network.name)
        field = f"networks.{key}"
        if network.external and known is None:
            found.append(_problem(field, f"there is no network {network.name}", "a stack that is up has to own it"))
        elif known is not None and known.removing:
            found.append(_problem(field, f"network {network.name} is being removed", "try again when it is gone"))
        elif known is not None and not network.external and known.stack != own:
            hint = "say external: true to join it, or give it another name"
            found.append(_problem(field, f"network {network.name} belongs to somebody else", hint))
        elif known is not None and not network.external and _other_subnets(known, network) and known.gateways:
            message = f"network {network.name} is in use and cannot change its subnet"
            found.append(_problem(field, message, "take the stack down first"))
        if not network.external:
            found += _subnets(snapshot, environment, key, network.name, network.subnets)
            if network.enable_ipv6:
                found += _subnets6(snapshot, environment, key, network)
    return found


def _other_subnets(known: Network, wished: NetworkSpec) -> bool:
    before = known.spec
    return before.subnets != wished.subnets or before.enable_ipv6 != wished.enable_ipv6


def _subnets6(snapshot: Snapshot, environment: Environment, key: str, network: NetworkSpec) -> list[Problem]:
    """What of IPv6 cannot be had, before anything starts."""
    found = []
    field = f"networks.{key}.enable_ipv6"
    there = snapshot.in_environment(Host, environment.id)
    without = sorted(host.name for host in there if not host.facts.ipv6)
    if there and len(without) == len(there):
        message = "no host of this environment has IPv6 in its kernel"
        found.append(_problem(field, message, "leave `enable_ipv6` away, or turn IPv6 on (ipv6.disable=0)"))
    asked = list(ipv6_subnets(network.subnets))
    if len(asked) > 1:
        found.append(_problem(f"networks.{key}.ipam", "a network has one IPv6 subnet", f"keep {asked[0]}"))
    smallest = next((text for text in network.subnets if ":" not in text), f"0.0.0.0/{environment.subnet_bits}")
    if problem := too_small(network, smallest):
        found.append(_problem(f"networks.{key}.ipam", problem, "ask for a /64"))
    for subnet in asked:
        for other in snapshot.in_environment(Network, environment.id):
            if other.name != network.name and other.subnet6 and IPv6Network(other.subnet6).overlaps(subnet):
                message = f"{subnet} overlaps {other.subnet6} of network {other.name}"
                found.append(_problem(f"networks.{key}.ipam", message))
    return found


def _subnets(
    snapshot: Snapshot, environment: Environment, key: str, name: str, subnets: tuple[str, ...]
) -> list[Problem]:
    found = []
    for at, text in enumerate(subnets):
        field = f"networks.{key}.ipam.config[{at}].subnet"
        try:
            asked = list(ipv4_subnets([text]))
        except ValueError as error:
            found.append(_problem(field, str(error)))
            continue
        for subnet in asked:
            if subnet.prefixlen > 29:
                found.append(_problem(field, f"{text} has no room for hosts and containers", "use a /29 or larger"))
            if in_the_way := own_network_of_a_host(snapshot, environment.id, subnet):
                found.append(_problem(field, f"{text} overlaps {in_the_way}", "ask for another subnet, or for none"))
            for other in snapshot.in_environment(Network, environment.id):
                if other.name != name and other.subnet and IPv4Network(other.subnet).overlaps(subnet):
                    found.append(_problem(field, f"{text} overlaps {other.subnet} of network {other.name}"))
    return found


def _volumes(snapshot: Snapshot, environment: Environment, spec: StackSpec) -> list[Problem]:
    found = []
    own = f"{environment.id}.{spec.name}"
    for key, volume in sorted(spec.volumes.items()):
        known = snapshot.named(Volume, environment.id, volume.name)
        field = f"volumes.{key}"
        if volume.external and known is None:
            found.append(_problem(field, f"there is no volume {volume.name}", "a stack that is up has to own it"))
        elif known is not None and known.removing:
            found.append(_problem(field, f"volume {volume.name} is being removed", "try again when it is gone"))
        elif known is not None and not volume.external and known.stack != own:
            hint = "say external: true to use it, or give it another name"
            found.append(_problem(field, f"volume {volume.name} belongs to somebody else", hint))
    return found


def _files(snapshot: Snapshot, environment: Environment, spec: StackSpec, sealed: FileKeys) -> list[Problem]:
    found = []
    own = f"{environment.id}.{spec.name}"
    for purpose, table in (("secret", spec.secrets), ("config", spec.configs)):
        for key, file in sorted(table.items()):
            known = snapshot.named(File, environment.id, f"{purpose}:{file.name}")
            field = f"{purpose}s.{key}"
            if file.external and known is None:
                found.append(_problem(field, f"there is no {purpose} {file.name}"))
            elif not file.external and (purpose, key) not in sealed:
                found.append(_problem(field, f"{purpose} {key} came without its content"))
            elif not file.external and known is not None and known.stack != own:
                hint = "say external: true to use it, or give it another name"
                found.append(_problem(field, f"{purpose} {file.name} belongs to somebody else", hint))
    return found


def _service(spec: StackSpec, service: ServiceSpec) -> list[Problem]:
    at = f"services.{service.name}"
    found = []
    for dependency in service.depends_on:
        if dependency.service not in spec.services and dependency.required:
            found.append(_problem(f"{at}.depends_on", f"there is no service {dependency.service}"))
    for text in service.placement.constraints:
        if problem := problem_with_constraint(text):
            found.append(_problem(f"{at}.deploy.placement.constraints", problem))
    for text in service.placement.affinities:
        if problem := problem_with_affinity(text):
            found.append(_problem(f"{at}.deploy.placement", problem))
    if service.container_name and (service.replicas > 1 or service.mode.startswith("global")):
        message = f"{service.container_name} can be the name of one container only"
        found.append(_problem(f"{at}.container_name", message, "leave it out, or run one replica"))
    for role, container in containers_of(service):
        found += _container(spec, service, f"{at}.sidekicks.{role}" if role else at, container)
    return found


def _container(spec: StackSpec, service: ServiceSpec, at: str, container: ContainerSpec) -> list[Problem]:
    found = []
    for attachment in container.networks:
        if attachment.network not in spec.networks:
            found.append(_problem(f"{at}.networks", f"there is no network {attachment.network}"))
        elif attachment.ipv4_address or attachment.ipv6_address:
            found += _static(spec, service, f"{at}.networks.{attachment.network}", attachment)
    for mount in container.volumes:
        if mount.volume not in spec.volumes:
            found.append(_problem(f"{at}.volumes", f"there is no volume {mount.volume}"))
    for file in container.files:
        if file.source not in (spec.secrets if file.kind == "secret" else spec.configs):
            found.append(_problem(f"{at}.{file.kind}s", f"there is no {file.kind} {file.source}"))
    for sharing in container.sharing:
        if sharing.service not in spec.services:
            found.append(_problem(at, f"shares {sharing.what} with {sharing.service}, which is not a service"))
    return found


def _static(spec: StackSpec, service: ServiceSpec, at: str, attachment: Attachment) -> list[Problem]:
    found = []
    network = spec.networks[attachment.network]
    several = service.replicas > 1 or service.mode.startswith("global")
    subnets = [] if network.external else [ip_network(subnet, strict=False) for subnet in network.subnets]
    for field, text, version in (
        ("ipv4_address", attachment.ipv4_address, 4),
        ("ipv6_address", attachment.ipv6_address, 6),
    ):
        if not text:
            continue
        if several:
            found.append(_problem(f"{at}.{field}", "one address cannot be that of several containers"))
        if problem := _outside(text, version, subnets):
            found.append(_problem(f"{at}.{field}", problem))
    if attachment.ipv6_address and not network.external and not network.enable_ipv6:
        message = f"network {attachment.network} has no IPv6"
        found.append(_problem(f"{at}.ipv6_address", message, "say `enable_ipv6: true` in the network"))
    return found


def _outside(text: str, version: int, subnets: Sequence[IPv4Network | IPv6Network]) -> str:
    """Why the address cannot be given; "" if it may be."""
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version:
        return f"{text} is not an IPv{version} address"
    mine = [net for net in subnets if net.version == version]
    if not mine:
        return ""
    inside = any(int(net.network_address) < int(address) < int(net.broadcast_address) for net in mine)
    return "" if inside else f"{text} is not in {mine[0]}"


def _cycles(spec: StackSpec) -> list[Problem]:
    """`depends_on` and shared namespaces must not lead back to where they began."""
    done: dict[str, None] = {}
    found: list[Problem] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            round_trip = " -> ".join((*path[path.index(name) :], name))
            found.append(_problem(f"services.{name}.depends_on", f"waits for itself: {round_trip}"))
        elif name not in done and name in spec.services:
            service = spec.services[name]
            needs = [one.service for one in service.depends_on] + [one.service for one in service.container.sharing]
            for other in needs:
                visit(other, (*path, name))
            done[name] = None

    for name in sorted(spec.services):
        visit(name, ())
    return found


def _names(snapshot: Snapshot, environment: Environment, spec: StackSpec) -> list[Problem]:
    """Container names asked for must not be somebody else's."""
    found = []
    given: dict[str, str] = {}
    for name, service in sorted(spec.services.items()):
        asked = service.container_name
        if not asked:
            continue
        field = f"services.{name}.container_name"
        if asked in given:
            found.append(_problem(field, f"{asked} is the name of a container of service {given[asked]} too"))
        given[asked] = name
        for unit in snapshot.units_named(environment.id, asked):
            if unit.live and (unit.stack_name, unit.service_name) != (spec.name, name):
                found.append(_problem(field, f"{asked} is a container of stack {unit.stack_name} already"))
    return found
