"""What an agent is told of one unit: its containers as the engine's API wants them.

Begins with the create body of the compose file and adds what the cluster decided. The endpoints themselves, the files
and the DNS server are added by the agent, which alone knows where these are on its host.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec.structs import replace

from paddock.core.attachments import attachments
from paddock.core.schedule.ports import containers_of
from paddock.core.subnets import mac_of
from paddock.model.assignment import ContainerAssignment, Endpoint, FilePlacement, UnitAssignment
from paddock.model.objects import Environment, Revision, Service, ServiceId, Unit, UnitDesired, UnitId, Volume
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec, ServiceSpec, Sharing


def unit_assignment(snapshot: Snapshot, unit: Unit, revision: Revision) -> UnitAssignment:
    containers = [_container(snapshot, unit, revision, role) for role, _ in containers_of(revision.spec)]
    if unit.standalone:
        body = _remade_body(snapshot, unit, revision) if unit.remake else {}
        containers = [replace(container, body=body, after=()) for container in containers]
    return UnitAssignment(
        unit=UnitId(unit.id),
        desired=unit.desired,
        containers=tuple(containers),
        reuses=unit.reuses,
        hands_off=unit.standalone,
        remake=unit.remake,
        engine_restarts=revision.spec.restart.engine,
        restart=local_restart(revision.spec),
    )


def _remade_body(snapshot: Snapshot, unit: Unit, revision: Revision) -> dict[str, Any]:
    """As the client asked for it once, under the host name its first container got of the engine."""
    container = revision.spec.container
    body = {**container.config, "Labels": {**(container.config.get("Labels") or {}), **labels_of(snapshot, unit)}}
    if not body.get("Hostname") and container.network_mode in ("", "bridge", "none"):
        body["Hostname"] = unit.known_as[:12]
    return body


def local_restart(spec: ServiceSpec) -> Literal["none", "on-failure", "any"]:
    """What an agent without its server does about an exit. A job that ended well is done, whatever its policy says."""
    if spec.mode.endswith("-job") and spec.restart.condition == "any":
        return "on-failure"
    return spec.restart.condition


def _container(snapshot: Snapshot, unit: Unit, revision: Revision, role: str) -> ContainerAssignment:
    container = revision.spec.container if not role else revision.spec.sidekicks[role]
    partners = {sharing.service: _partner_name(snapshot, unit, sharing.service) for sharing in container.sharing}
    mode = _network_mode(unit, container, partners, role)
    return ContainerAssignment(
        role=role,
        name=container_name(unit, role),
        image=container.image,
        image_id=container.image_id,
        pull=container.pull,
        platform=container.platform,
        body=_body(snapshot, unit, revision, container, partners),
        network_mode=mode,
        endpoints=() if mode else endpoints_of(unit, revision, container),
        files=_files(revision, container),
        volumes=tuple(
            dict.fromkeys(
                revision.volumes[mount.volume] for mount in container.volumes if mount.volume in revision.volumes
            )
        ),
        after=tuple(dict.fromkeys([*partners.values(), *([unit.name] if role else [])])),
        stop_grace_s=container.stop_grace_s,
        adopts="" if role else unit.adopts,
        links=_links(revision),
    )


def container_name(unit: Unit, role: str) -> str:
    return f"{unit.name}-{role}" if role else unit.name


def _partner_name(snapshot: Snapshot, unit: Unit, service: str) -> str:
    """The name of the container whose namespaces or volumes are shared: same slot, else the first."""
    found = snapshot.named(Service, unit.environment, f"{unit.stack_name}/{service}")
    units = snapshot.units_of_service(ServiceId(found.id)) if found is not None else []
    staying = [other for other in units if other.desired < UnitDesired.STOPPED and other.live]
    same = [other for other in staying if other.slot == unit.slot] or [other for other in staying if other.slot == 1]
    return same[-1].name if same else f"{unit.stack_name}-{service}-{unit.slot}"


def _network_mode(unit: Unit, container: ContainerSpec, partners: dict[str, str], role: str) -> str:
    """Sidekicks live in the network namespace of their primary unless they say otherwise."""
    for sharing in container.sharing:
        if sharing.what == "network":
            return f"container:{partners[sharing.service]}"
    if container.network_mode:
        return container.network_mode
    return f"container:{unit.name}" if role else ""


def _body(
    snapshot: Snapshot, unit: Unit, revision: Revision, container: ContainerSpec, partners: dict[str, str]
) -> dict[str, Any]:
    body = dict(container.config)
    body["Image"] = container.image
    body["Labels"] = {**(body.get("Labels") or {}), **labels_of(snapshot, unit)}
    host = dict(body.get("HostConfig") or {})
    if container.ports and container.network_mode != "host":
        body["ExposedPorts"] = {**(body.get("ExposedPorts") or {}), **_exposed(container)}
        host["PortBindings"] = {**(host.get("PortBindings") or {}), **_bindings(container)}
    mounts = [*(host.get("Mounts") or ()), *_mounts(snapshot, revision, container)]
    if mounts:
        host["Mounts"] = mounts
    for sharing in container.sharing:
        _share(host, sharing, partners[sharing.service])
    if host:
        body["HostConfig"] = host
    return body


def labels_of(snapshot: Snapshot, unit: Unit) -> dict[str, str]:
    environment = snapshot.get(Environment, unit.environment)
    return {
        "io.paddock.unit": unit.id,
        "io.paddock.service": unit.service_name,
        **({"io.paddock.stack": unit.stack_name} if unit.stack_name else {}),
        "io.paddock.environment": environment.name if environment is not None else unit.environment,
    }


def _exposed(container: ContainerSpec) -> dict[str, dict[str, str]]:
    return {f"{port.target}/{port.protocol}": {} for port in container.ports}


def _bindings(container: ContainerSpec) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for port in container.ports:
        binding = {"HostIp": port.host_ip, "HostPort": port.published}
        found.setdefault(f"{port.target}/{port.protocol}", []).append(binding)
    return found


def _mounts(snapshot: Snapshot, revision: Revision, container: ContainerSpec) -> list[dict[str, Any]]:
    found = []
    for mount in container.volumes:
        volume = snapshot.get(Volume, revision.volumes.get(mount.volume, ""))
        if volume is None:
            continue
        entry: dict[str, Any] = {"Type": "volume", "Source": volume.name, "Target": mount.target}
        if mount.read_only:
            entry["ReadOnly"] = True
        options: dict[str, Any] = {"NoCopy": True} if mount.no_copy else {}
        if mount.subpath:
            options["Subpath"] = mount.subpath
        if options:
            entry["VolumeOptions"] = options
        found.append(entry)
    return found


def _share(host: dict[str, Any], sharing: Sharing, partner: str) -> None:
    match sharing.what:
        case "network":
            host["NetworkMode"] = f"container:{partner}"
        case "ipc":
            host["IpcMode"] = f"container:{partner}"
        case "pid":
            host["PidMode"] = f"container:{partner}"
        case "volumes":
            entry = f"{partner}:ro" if sharing.read_only else partner
            host["VolumesFrom"] = [*(host.get("VolumesFrom") or ()), entry]


def endpoints_of(unit: Unit, revision: Revision, container: ContainerSpec) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(
            network=network,
            ipv4=unit.addresses[network],
            mac=attachment.mac_address or mac_of(unit.addresses[network]),
            ipv6=unit.addresses6.get(network, ""),
            driver_opts=attachment.driver_opts,
            link_local_ips=attachment.link_local_ips,
        )
        for network, attachment in attachments(revision, container)
        if network in unit.addresses
    )


def _files(revision: Revision, container: ContainerSpec) -> tuple[FilePlacement, ...]:
    found = []
    for mount in container.files:
        id = (revision.secrets if mount.kind == "secret" else revision.configs).get(mount.source)
        if id is not None:
            found.append(
                FilePlacement(
                    file=id, purpose=mount.kind, target=mount.target, uid=mount.uid, gid=mount.gid, mode=mount.mode
                )
            )
    return tuple(found)


def _links(revision: Revision) -> dict[str, str]:
    found = {}
    spec = revision.spec
    of_networks = [link for network in spec.container.networks for link in network.links]
    for link in [*spec.links, *of_networks]:
        service, _, alias = link.partition(":")
        found[alias or service] = service
    return found
