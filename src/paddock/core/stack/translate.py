"""The whole of it: every service, network, volume, secret and config of a compose model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from paddock.model.specs import ContainerSpec, Dependency, ServiceSpec, Sharing, StackSpec, VolumeSpec

from . import deploy, rancher, refusals
from .builds import Build, builds_of, image_of
from .container import container_config, declares_health
from .files import FileSource, file_mounts, file_specs
from .findings import NO_ORIGINS, Findings, Json, Origins, Service
from .host_config import host_config
from .mounts import mounts_of
from .networks import Networking, network_specs, networking, ports_of, service_of_container
from .quantities import seconds

STOP_GRACE_S = 10.0


class Sources(NamedTuple):
    """What the model refers to on the client's side.

    `read_file` gets an absolute path and raises `OSError`. `environment` is what the compose files were read with.
    `hashes`: service -> what `docker compose config --hash` prints.
    """

    read_file: Callable[[str], bytes]
    environment: Mapping[str, str] = {}
    origins: Origins = NO_ORIGINS
    hashes: Mapping[str, str] = {}


class Translated(NamedTuple):
    spec: StackSpec
    warnings: tuple[str, ...]
    builds: tuple[Build, ...] = ()


def stack_spec(model: Json, sources: Sources) -> Translated:
    """`model` is what `docker compose config --format json` prints, dollars not doubled. Raises `Invalid` with all."""
    findings = Findings(sources.origins)
    files = FileSource(sources.read_file, sources.environment)
    configs: Mapping[str, Json] = model.get("services") or {}
    services: dict[str, ServiceSpec] = {}
    for name in configs:
        service = Service(name, configs[name] or {}, findings)
        try:
            services[name] = _service(service, model, sources)
        except ValueError as error:
            findings.problem(("services", name), str(error))
    services = _with_sidekicks(services, configs, findings)
    spec = StackSpec(
        name=model["name"],
        services=services,
        networks=network_specs(model, findings),
        volumes=_volumes(model, findings),
        secrets=file_specs(model, "secrets", files, findings),
        configs=file_specs(model, "configs", files, findings),
    )
    if model.get("models"):
        findings.problem(("models",), "there is no model runner on the hosts", "run the model as a service of its own")
    builds = builds_of(model, findings, sources.environment.get("DOCKER_DEFAULT_PLATFORM", ""))
    findings.stop()
    return Translated(spec, tuple(findings.warnings), builds)


def _service(service: Service, model: Json, sources: Sources) -> ServiceSpec:
    refusals.check(service)
    mode, replicas = deploy.count(service)
    restart, engine_policy = deploy.restart_policy(service, mode)
    shared = _shared(service, model)
    container = _container(service, model, sources, shared)
    if engine_policy:
        container.config["HostConfig"]["RestartPolicy"] = engine_policy
    return ServiceSpec(
        name=service.name,
        container=container,
        mode=mode,
        replicas=replicas,
        container_name=service.config.get("container_name") or "",
        depends_on=_dependencies(service.config),
        restart=restart,
        update=deploy.update_policy(service, "update_config"),
        rollback=deploy.update_policy(service, "rollback_config"),
        placement=deploy.placement(service, shared.beside, rancher.placement_of(service, model["name"])),
        reservation=deploy.reservation(service),
        labels={key: str(value) for key, value in (service.deploy.get("labels") or {}).items()},
        links=tuple(service.config.get("links") or ()),
    )


class _Shared(NamedTuple):
    """`body` is what of it the engine alone understands."""

    networking: Networking
    sharing: tuple[Sharing, ...]
    beside: tuple[str, ...]
    body: dict[str, Any]


def _shared(service: Service, model: Json) -> _Shared:
    """Namespaces and volumes of other containers: of a service here, or of any container, which says the host."""
    network = networking(service, model)
    sharing = list(network.sharing)
    beside = [network.beside] if network.beside else []
    body: dict[str, Any] = {}
    namespaces: tuple[tuple[Literal["ipc", "pid"], str], ...] = (("ipc", "IpcMode"), ("pid", "PidMode"))
    for what, key in namespaces:
        value = service.config.get(what) or ""
        kind, _, name = value.partition(":")
        owner = name if kind == "service" else service_of_container(name, model) if kind == "container" else ""
        if owner:
            sharing.append(Sharing(what=what, service=owner))
        elif value:
            body[key] = value
            beside += [name] if kind == "container" else []
    volumes_from = []
    for entry in service.config.get("volumes_from") or []:
        name, container, read_only = _volumes_of(entry)
        owner = service_of_container(name, model) if container else name
        if owner:
            sharing.append(Sharing(what="volumes", service=owner, read_only=read_only))
        else:
            volumes_from.append(f"{name}:ro" if read_only else name)
            beside.append(name)
    if volumes_from:
        body["VolumesFrom"] = volumes_from
    return _Shared(network, tuple(sharing), tuple(dict.fromkeys(beside)), body)


def _volumes_of(entry: str) -> tuple[str, bool, bool]:
    """`service[:ro]` or `container:name[:ro]` -> name, whether it is a container, whether read-only."""
    parts = entry.split(":")
    container = parts[0] == "container" and len(parts) > 1
    name, *access = parts[1:] if container else parts
    return name, container, access == ["ro"]


_PULL: dict[str, Literal["always", "missing", "never"]] = {
    "": "missing", "missing": "missing", "if_not_present": "missing", "always": "always", "never": "never",
    "build": "missing",
}  # fmt: skip


def _container(service: Service, model: Json, sources: Sources, shared: _Shared) -> ContainerSpec:
    config = service.config
    mounts = mounts_of(service)
    host = host_config(service, sources.read_file) | shared.body
    if mounts.binds:
        host["Binds"] = list(mounts.binds)
    if mounts.mounts:
        host["Mounts"] = list(mounts.mounts)
    body = container_config(service, model["name"], sources.hashes.get(service.name, ""))
    if config.get("mac_address") and not shared.networking.attachments:
        body["MacAddress"] = config["mac_address"]
    pull = str(config.get("pull_policy") or "")
    if pull not in _PULL:
        service.warn("pull_policy", message=f"{pull!r} is taken as always: hosts do not keep the time of a pull")
    return ContainerSpec(
        image=image_of(config, model["name"], service.name),
        config=body | {"HostConfig": host},
        pull=_PULL.get(pull, "always"),
        platform=config.get("platform") or sources.environment.get("DOCKER_DEFAULT_PLATFORM", ""),
        networks=shared.networking.attachments,
        network_mode=shared.networking.mode,
        ports=ports_of(service, shared.networking),
        volumes=mounts.volumes,
        files=file_mounts(service),
        sharing=shared.sharing,
        stop_grace_s=_stop_grace_s(config),
        has_healthcheck=declares_health(config),
    )


def _stop_grace_s(config: Json) -> float:
    period = config.get("stop_grace_period")
    return STOP_GRACE_S if period is None else seconds(period)


def _dependencies(config: Json) -> tuple[Dependency, ...]:
    declared = config.get("depends_on") or {}
    return tuple(
        Dependency(
            service=name,
            condition=declared[name].get("condition") or "service_started",
            required=declared[name].get("required", True),
            restart=bool(declared[name].get("restart")),
        )
        for name in sorted(declared)
    )


def _volumes(model: Json, findings: Findings) -> dict[str, VolumeSpec]:
    volumes = {}
    for key, declared in (model.get("volumes") or {}).items():
        volume = declared or {}
        name = volume.get("name") or f"{model['name']}_{key}"
        if volume.get("external"):
            volumes[key] = VolumeSpec(name=name, external=True)
            continue
        path = ("volumes", key, "driver_opts", "device")
        written = findings.origins.written(path)
        if written:
            message = f"{written!r} is a path of the machine you are on, and volumes are on the hosts of a cluster"
            findings.problem(path, message, "leave `driver_opts` away, or give the host's absolute path")
        labels = {label: str(value) for label, value in (volume.get("labels") or {}).items()}
        volumes[key] = VolumeSpec(
            name=name,
            driver=volume.get("driver") or "",
            driver_opts={option: str(value) for option, value in (volume.get("driver_opts") or {}).items()},
            labels=labels | {"com.docker.compose.project": model["name"], "com.docker.compose.volume": key},
        )
    return volumes


def _with_sidekicks(
    services: dict[str, ServiceSpec], configs: Mapping[str, Json], findings: Findings
) -> dict[str, ServiceSpec]:
    """Services that a primary names as its sidekicks become part of it; who depended on them depends on it."""
    owners: dict[str, str] = {}
    for primary, names in rancher.sidekicks_of(configs).items():
        for name in names:
            path = ("services", primary, "labels", rancher.SIDEKICKS)
            if name not in configs or name == primary:
                findings.problem(path, f"{name!r} is not another service of this stack")
            elif name in owners:
                findings.problem(path, f"{name!r} is already a sidekick of {owners[name]!r}")
            else:
                owners[name] = primary
    for name in sorted(set(owners) & set(owners.values())):
        findings.problem(("services", name), f"is a sidekick of {owners[name]!r} and has sidekicks itself")
    if findings.problems:
        return services
    return {
        name: _primary(spec, {other: services[other] for other in owners if owners[other] == name}, owners)
        for name, spec in services.items()
        if name not in owners
    }


def _primary(spec: ServiceSpec, sidekicks: dict[str, ServiceSpec], owners: Mapping[str, str]) -> ServiceSpec:
    gathered: dict[str, Dependency] = {}
    for dependency in (*spec.depends_on, *(each for other in sidekicks.values() for each in other.depends_on)):
        service = owners.get(dependency.service, dependency.service)
        if service != spec.name:
            gathered.setdefault(service, msgspec.structs.replace(dependency, service=service))
    containers = {name: other.container for name, other in sidekicks.items()}
    return msgspec.structs.replace(spec, sidekicks=containers, depends_on=tuple(gathered.values()))
