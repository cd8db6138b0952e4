"""Random stacks: what operators may wish for, good and bad."""

from __future__ import annotations

import random

from msgspec.structs import replace

from paddock.model.specs import (
    Attachment,
    ContainerSpec,
    Dependency,
    FileMount,
    FileSpec,
    NetworkSpec,
    Placement,
    PortSpec,
    Resources,
    RestartPolicy,
    ServiceSpec,
    StackSpec,
    UpdatePolicy,
    VolumeMount,
    VolumeSpec,
)

MIB = 1 << 20
GOOD = ("steady", "steady", "steady", "flaky", "stubborn", "wobbly")
BAD = ("crash", "sick", "nowhere")
_WORDS = ("web", "api", "db", "queue", "batch")


def kind_of_image(image: str) -> str:
    return image.partition("/")[2].partition(":")[0]


def random_stack(chance: random.Random, name: str, hosts: int) -> StackSpec:
    count = chance.randint(1, 4)
    services: dict[str, ServiceSpec] = {}
    for number in range(count):
        service = _service(chance, name, _WORDS[number], hosts)
        services[service.name] = replace(service, depends_on=_dependencies(chance, services))
    networks = {"default": NetworkSpec(name=f"{name}_default"), "back": NetworkSpec(name=f"{name}_back")}
    used = [mount.volume for service in services.values() for mount in service.container.volumes]
    files = [mount.source for service in services.values() for mount in service.container.files]
    return StackSpec(
        name=name,
        services=services,
        networks=networks,
        volumes={volume: VolumeSpec(name=f"{name}_{volume}") for volume in used},
        configs={file: FileSpec(name=f"{name}_{file}", content=chance.randbytes(8)) for file in files},
    )


def _service(chance: random.Random, stack: str, name: str, hosts: int) -> ServiceSpec:
    if name == "batch" or chance.random() < 0.08:
        return _job(chance, name)
    replicas = chance.randint(1, 4)
    with_port = chance.random() < 0.3
    with_volume = not with_port and chance.random() < 0.25
    is_global = not with_port and not with_volume and chance.random() < 0.15
    container = _container(chance, chance.choice(GOOD))
    if with_port:
        replicas = 1 if name == "web" else min(replicas, max(hosts - 1, 1))
        container = replace(container, ports=(PortSpec(target=80, published=_port(stack, name)),))
    if with_volume:
        replicas = min(replicas, 2)
        container = replace(container, volumes=(VolumeMount(volume=f"{name}-data", target="/data"),))
    engine = chance.random() < 0.2
    if engine:
        container = replace(
            container, config={**container.config, "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}
        )
    sidekicks = {"side": ContainerSpec(image="app/steady:1")} if chance.random() < 0.12 else {}
    return ServiceSpec(
        name=name,
        container=container,
        sidekicks=sidekicks,
        mode="global" if is_global else "replicated",
        replicas=1 if is_global else replicas,
        restart=RestartPolicy(condition="any", engine=engine),
        update=_update(chance),
        rollback=_update(chance),
        placement=Placement(strategy=chance.choice(("spread", "binpack"))),
        reservation=Resources(cpu_milli=chance.choice((0, 100, 300)), memory_bytes=chance.choice((0, 128, 512)) * MIB),
    )


def _job(chance: random.Random, name: str) -> ServiceSpec:
    mode = chance.choice(("replicated", "replicated-job"))
    return ServiceSpec(
        name=name,
        container=_container(chance, "job", plain=True),
        mode="replicated-job" if mode == "replicated-job" else "replicated",
        replicas=chance.randint(1, 2),
        restart=RestartPolicy(condition="on-failure"),
    )


def _container(chance: random.Random, program: str, *, plain: bool = False) -> ContainerSpec:
    health = not plain and (program in ("wobbly", "sick") or chance.random() < 0.4)
    networks = ("default", "back") if chance.random() < 0.2 else ("default",)
    return ContainerSpec(
        image=f"app/{program}:1",
        config={"Healthcheck": {"Test": ["CMD", "true"]}} if health else {},
        pull="always" if chance.random() < 0.1 else "missing",
        networks=tuple(Attachment(network=network) for network in networks),
        files=(FileMount(kind="config", source="key", target="/etc/key"),) if chance.random() < 0.15 else (),
        stop_grace_s=chance.choice((1.0, 10.0)),
        has_healthcheck=health,
    )


def _update(chance: random.Random) -> UpdatePolicy:
    return UpdatePolicy(
        parallelism=chance.choice((0, 1, 2)),
        delay_s=chance.choice((0.0, 0.0, 3.0)),
        failure_action=chance.choice(("pause", "continue", "rollback")),
        monitor_s=chance.choice((1.0, 5.0)),
        max_failure_ratio=chance.choice((0.0, 0.5)),
        order=chance.choice(("stop-first", "start-first")),
    )


def _port(stack: str, service: str) -> str:
    """Every `web` wants the same one."""
    if service == "web":
        return "8000"
    return str(8000 + 100 * int(stack[1:]) + _WORDS.index(service))


def _dependencies(chance: random.Random, earlier: dict[str, ServiceSpec]) -> tuple[Dependency, ...]:
    found = []
    for name, service in earlier.items():
        if chance.random() < 0.3:
            if kind_of_image(service.container.image) == "job":
                found.append(Dependency(service=name, condition="service_completed_successfully"))
            elif service.container.has_healthcheck:
                found.append(Dependency(service=name, condition="service_healthy", restart=chance.random() < 0.3))
            else:
                found.append(Dependency(service=name))
    return tuple(found)


def changed(chance: random.Random, stack: StackSpec, version: int, *, bad: bool) -> StackSpec:
    """One service gets another image, which works or does not; sometimes another number of replicas with it."""
    name = chance.choice(sorted(stack.services))
    service = stack.services[name]
    kind = kind_of_image(service.container.image)
    if kind == "job":
        program = "job"
    elif bad:
        program = chance.choice(BAD)
    else:
        program = kind if kind not in BAD else "steady"
    container = replace(service.container, image=f"app/{program}:{version}")
    if program == "sick" and not container.has_healthcheck:
        container = replace(
            container, has_healthcheck=True, config={**container.config, "Healthcheck": {"Test": ["CMD", "true"]}}
        )
    return replace(stack, services={**stack.services, name: replace(service, container=container)})


def mended(stack: StackSpec, version: int) -> StackSpec:
    """Every service that can never work gets an image that does."""
    services = {
        name: replace(service, container=replace(service.container, image=f"app/steady:{version}"))
        if kind_of_image(service.container.image) in BAD
        else service
        for name, service in stack.services.items()
    }
    return replace(stack, services=services)
