"""What a user wishes for: the desired side of the model.

A spec never names a host, an address or a generation: those are decided. What the engine alone has to understand
travels untouched in `ContainerSpec.config`, an Engine API create body; what the cluster decides is typed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Root of every spec: immutable, built by keyword, small on the wire."""


class PortSpec(Spec, frozen=True, kw_only=True):
    """`published` is "" (any free port), "8080" or "8000-8010" (one free port out of the range)."""

    target: int
    published: str = ""
    protocol: str = "tcp"
    host_ip: str = ""


class VolumeMount(Spec, frozen=True, kw_only=True):
    """A volume of the cluster in a container. `volume` is the key in `StackSpec.volumes`."""

    volume: str
    target: str
    read_only: bool = False
    no_copy: bool = False
    subpath: str = ""


class Attachment(Spec, frozen=True, kw_only=True):
    """One network of a container. `network` is the key in `StackSpec.networks`."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    priority: int = 0
    driver_opts: dict[str, str] = {}
    links: tuple[str, ...] = ()
    """As `ServiceSpec.links`, for as long as the container is on this network."""


class FileMount(Spec, frozen=True, kw_only=True):
    """A secret or config as a file. `source` is the key in `StackSpec.secrets` or `.configs`; `target` is absolute."""

    kind: Literal["secret", "config"]
    source: str
    target: str
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444


class Sharing(Spec, frozen=True, kw_only=True):
    """A namespace or the volumes of another service's container, which therefore has to be on the same host."""

    what: Literal["network", "ipc", "pid", "volumes"]
    service: str
    read_only: bool = False


class ContainerSpec(Spec, frozen=True, kw_only=True):
    """One container of a unit.

    `config` is an Engine API create body (`Image`, `Cmd`, …, `HostConfig`) without what follows here in typed form.
    `network_mode` is "" for cluster networks in `networks`, else the engine's own word: "host", "none", "bridge".
    """

    image: str
    image_id: str = ""
    """The very image, where it was built for this: what the name means elsewhere, or later, does not matter."""
    config: dict[str, Any] = {}
    pull: Literal["always", "missing", "never"] = "missing"
    platform: str = ""
    networks: tuple[Attachment, ...] = ()
    network_mode: str = ""
    ports: tuple[PortSpec, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()
    files: tuple[FileMount, ...] = ()
    sharing: tuple[Sharing, ...] = ()
    stop_grace_s: float = 10.0
    has_healthcheck: bool = False
    """Whether the spec itself declares a healthcheck; an image may bring one of its own."""


class Dependency(Spec, frozen=True, kw_only=True):
    service: str
    condition: Condition = "service_started"
    required: bool = True
    restart: bool = False


class RestartPolicy(Spec, frozen=True, kw_only=True):
    """When a finished unit gets a next generation.

    `engine` is true when the engine's own restart policy (in `config`) does the restarting and we only watch.
    `max_attempts` 0 means no limit; failures older than `window_s` are forgotten (0: never).
    """

    condition: Literal["none", "on-failure", "any"] = "on-failure"
    delay_s: float = 0.0
    max_attempts: int = 0
    window_s: float = 0.0
    engine: bool = False


class UpdatePolicy(Spec, frozen=True, kw_only=True):
    """`parallelism` 0 means all at once. `monitor_s` is how long a new unit must hold before it counts as good."""

    parallelism: int = 1
    delay_s: float = 0.0
    failure_action: Literal["pause", "continue", "rollback"] = "pause"
    monitor_s: float = 5.0
    max_failure_ratio: float = 0.0
    order: Literal["stop-first", "start-first"] = "stop-first"


class Placement(Spec, frozen=True, kw_only=True):
    """`constraints` as Docker writes them (`node.labels.zone==a`, `node.hostname!=h1`); soft ones begin with `~`.

    `affinities` say `container==NAME`, `service!=NAME`, `image==NAME`, `label:KEY==VALUE`; `!=` is anti-affinity and a
    leading `~` makes it soft. `holders`: an affinity to an image, and ids of hosts that had it when it was asked for.
    `beside`: id of a host, and why it must be that one (`it needs db`). `preferences` are attributes to spread over,
    the first one first (`node.labels.rack`).
    """

    constraints: tuple[str, ...] = ()
    affinities: tuple[str, ...] = ()
    holders: tuple[tuple[str, tuple[str, ...]], ...] = ()
    beside: tuple[tuple[str, str], ...] = ()
    preferences: tuple[str, ...] = ()
    max_per_host: int = 0
    strategy: Literal["spread", "binpack"] = "spread"


class Resources(Spec, frozen=True, kw_only=True):
    """What is set aside on the host for one unit."""

    cpu_milli: int = 0
    memory_bytes: int = 0


class ServiceSpec(Spec, frozen=True, kw_only=True):
    """`mode` *-job: units that finish well are done; standalone: one container that somebody else makes, starts and
    stops (`docker run`). `sidekicks`: containers placed with each primary, by name. `reschedule`: standalone ones are
    made anew elsewhere when their host is lost."""

    name: str
    container: ContainerSpec
    sidekicks: dict[str, ContainerSpec] = {}
    mode: Literal["replicated", "global", "replicated-job", "global-job", "standalone"] = "replicated"
    replicas: int = 1
    reschedule: Literal["", "on-node-failure"] = ""
    container_name: str = ""
    depends_on: tuple[Dependency, ...] = ()
    restart: RestartPolicy = RestartPolicy()
    update: UpdatePolicy = UpdatePolicy()
    rollback: UpdatePolicy = UpdatePolicy()
    placement: Placement = Placement()
    reservation: Resources = Resources()
    labels: dict[str, str] = {}
    links: tuple[str, ...] = ()
    """`service:alias` or `service`, as written; answered by our names for this service's containers only."""


class NetworkSpec(Spec, frozen=True, kw_only=True):
    """`name` is the name users and engines see. `subnets` and `gateway` are as asked for; empty means we
    choose. `subnets` may be of both kinds; those of IPv6 count with `enable_ipv6` only."""

    name: str
    external: bool = False
    driver: str = ""
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    subnets: tuple[str, ...] = ()
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: dict[str, str] = {}
    """Addresses of others on the network, never given to a container: name -> address."""
    ip_range6: str = ""
    gateway6: str = ""
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class VolumeSpec(Spec, frozen=True, kw_only=True):
    name: str
    external: bool = False
    driver: str = ""
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}


class FileSpec(Spec, frozen=True, kw_only=True):
    """A secret or config. `content` is what the containers will read; None with `external`."""

    name: str
    external: bool = False
    content: bytes | None = None
    labels: dict[str, str] = {}


class StackSpec(Spec, frozen=True, kw_only=True):
    """A compose project. Mappings go from the key in the file to the thing."""

    name: str
    services: dict[str, ServiceSpec] = {}
    networks: dict[str, NetworkSpec] = {}
    volumes: dict[str, VolumeSpec] = {}
    secrets: dict[str, FileSpec] = {}
    configs: dict[str, FileSpec] = {}
    inactive: tuple[str, ...] = ()
    """Services of the files that no active profile enables: not wished for, and not orphans where they run."""
