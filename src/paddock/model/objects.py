"""What the store keeps. Every object has an `id`, the `version` at which it was last written, and a kind (its tag).

An object read at version 7 and written back carries 7: the store refuses the write if somebody was there in between.
Version 0 means "must not exist yet".

No object can hold itself, so the cyclic collector need not look at them (`gc=False`): with a million of them it would
be half of the price of a commit.
"""

from __future__ import annotations

import enum
from typing import Literal, NewType

import msgspec

from paddock.model.specs import FileSpec, NetworkSpec, ServiceSpec, VolumeSpec

EnvironmentId = NewType("EnvironmentId", str)
HostId = NewType("HostId", str)
StackId = NewType("StackId", str)
ServiceId = NewType("ServiceId", str)
RevisionId = NewType("RevisionId", str)
UnitId = NewType("UnitId", str)
NetworkId = NewType("NetworkId", str)
VolumeId = NewType("VolumeId", str)
FileId = NewType("FileId", str)


class Object(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag=str.lower, gc=False):
    """Root of everything the store keeps."""

    id: str
    version: int = 0


class Environment(Object, frozen=True, kw_only=True):
    """`pools` are the ranges cluster networks are cut from; `subnet_bits` is the prefix length of one network."""

    name: str
    created_at_s: float = 0.0
    pools: tuple[str, ...] = ("10.128.0.0/10",)
    subnet_bits: int = 20
    breaker: Literal["closed", "open", "overridden"] = "closed"
    breaker_reason: str = ""
    breaker_since_s: float = 0.0


class ApiKey(Object, frozen=True, kw_only=True):
    """`environment` "" means every environment. Only the SHA-256 of the secret is kept: it has 256 bits of its own.

    `privileged`: who has it may run containers that reach into their hosts.
    """

    environment: str = ""
    name: str = ""
    privileged: bool = True
    secret_hash: str = ""
    created_at_s: float = 0.0
    expires_at_s: float = 0.0


class JoinToken(Object, frozen=True, kw_only=True):
    """Good for one host. `used_by` names it afterwards, so that a second use can say who had it."""

    environment: str
    secret_hash: str
    created_at_s: float = 0.0
    expires_at_s: float = 0.0
    used_by: str = ""


class HostFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the agent sees of its machine. `subnets` are the host's own networks, which ours must not overlap."""

    address: str = ""
    engine_version: str = ""
    api_version: str = ""
    engine_id: str = ""
    os: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    mtu: int = 1500
    subnets: tuple[str, ...] = ()
    agent_version: str = ""
    engine_labels: dict[str, str] = {}
    ipv6: bool = True
    """Its kernel has IPv6."""


class HostState(enum.StrEnum):
    """`JOINING`: has a certificate, never connected. `SILENT`: no word, within its grace. `LOST`: grace is over."""

    JOINING = "joining"
    ACTIVE = "active"
    SILENT = "silent"
    LOST = "lost"


class Host(Object, frozen=True, kw_only=True):
    """`since_s` is when `state` was entered. `session` counts the agent's connections; only the newest may report."""

    environment: str
    name: str
    labels: dict[str, str] = {}
    availability: Literal["active", "drained"] = "active"
    state: HostState = HostState.JOINING
    since_s: float = 0.0
    session: int = 0
    instance: str = ""
    certificate_fingerprint: str = ""
    facts: HostFacts = HostFacts()
    joined_at_s: float = 0.0


class Stack(Object, frozen=True, kw_only=True):
    environment: str
    name: str
    created_at_s: float = 0.0
    removing: bool = False
    remove_volumes: bool = False


class Rollout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A change of revision in progress, to `target`. `origin` is where a rollback would go; `back`: this is one."""

    target: RevisionId
    origin: RevisionId
    state: Literal["updating", "paused", "rolling-back", "completed", "rolled-back"] = "updating"
    started_at_s: float = 0.0
    last_batch_at_s: float = 0.0
    failures: int = 0
    back: bool = False
    message: str = ""


class Service(Object, frozen=True, kw_only=True):
    """`revision` is what new units are made of. `stopped`: units are stopped and kept. `forced`: restarts asked for.

    `used_generations`: no slot that was given up had a higher one, so a slot taken up again begins above it and no
    unit id is ever used twice. A standalone container's has no stack: `stack_name` is "" and `stack` its own id.
    """

    environment: str
    stack: StackId
    stack_name: str
    name: str
    revision: RevisionId
    replicas: int = 1
    stopped: bool = False
    removing: bool = False
    forced: int = 0
    used_generations: int = 0
    rollout: Rollout | None = None
    created_at_s: float = 0.0


class Revision(Object, frozen=True, kw_only=True):
    """An immutable service spec; its id is `<service id>@<digest of the spec>`. References are resolved to object ids:

    `networks`, `volumes`, `files`: key in the compose file -> id of the object.
    """

    environment: str
    service: ServiceId
    spec: ServiceSpec
    networks: dict[str, NetworkId] = {}
    volumes: dict[str, VolumeId] = {}
    secrets: dict[str, FileId] = {}
    configs: dict[str, FileId] = {}
    created_at_s: float = 0.0


class UnitState(enum.IntEnum):
    """Only climbs. Everything from `COMPLETE` on is final; gaps leave room."""

    NEW = 0
    """Not placed yet; `Unit.waiting` says why."""
    PLACED = 10
    PREPARING = 20
    """The host fetches images and creates the containers."""
    PREPARED = 25
    """Standalone: what the container needs is on its host; somebody else creates it."""
    READY = 30
    """Created, not started: waits for its turn. Standalone: created, and its life is not ours."""
    STARTING = 40
    RUNNING = 50
    COMPLETE = 60
    """Ended with exit code 0."""
    FAILED = 70
    SHUTDOWN = 80
    """Stopped because asked; the containers are kept."""
    REJECTED = 90
    """The host could not do it (no such image, port taken); nothing of it runs."""
    ORPHANED = 100
    """Its host was lost and it was given up."""
    REMOVED = 110
    """Stopped because asked, and the containers are gone."""


LIVE_BELOW = UnitState.COMPLETE


class UnitDesired(enum.IntEnum):
    """What is wished of a unit. Only climbs too."""

    READY = 0
    RUN = 10
    STOPPED = 20
    REMOVED = 30


class ContainerStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`role` is "" for the primary, else the sidekick's name. `health` is "" where there is no healthcheck."""

    role: str = ""
    id: str = ""
    name: str = ""
    state: str = ""
    health: str = ""
    exit_code: int | None = None
    error: str = ""
    restarts: int = 0
    started_at_s: float = 0.0
    finished_at_s: float = 0.0
    oom_killed: bool = False
    ports: tuple[str, ...] = ()
    """As bound by the engine: `0.0.0.0:8080->80/tcp`."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Why a unit is where it is: one sentence, and what was found out on the way (`3 hosts: memory …`)."""

    reason: str
    details: tuple[str, ...] = ()
    since_s: float = 0.0


class Unit(Object, frozen=True, kw_only=True):
    """One slot of a service on one host; its id is `<service id>.<slot>.<generation>`.

    `addresses`: network id -> IPv4 address, `addresses6` the same for networks that have IPv6. `not_before_s`: backoff,
    do not start earlier. `reuses`: the earlier unit in this slot whose containers are started again instead of making
    new ones. `healthy`: the engine's healthcheck says so, or there is none; only meaningful while running.
    `standalone`: somebody else's to create, start and stop.
    `known_as`: the id clients know its container by, when that is not its own: it took the place of one on a lost host.
    `adopts`: the id of a container that ran before Paddock came, and is this unit's as it is.
    `remake`: how far its host's agent makes such a container, which nobody asks for again ("" for all others).
    `forced`: the service's count of restarts asked for when it was made. `attempts`: restarts counted against the
    policy's limit. `crashes`: quick failures in a row, which set the backoff. `ended`: the final state it was
    superseded in, kept when its containers are removed later.
    """

    environment: str
    stack: StackId
    service: ServiceId
    stack_name: str
    service_name: str
    slot: int
    generation: int
    revision: RevisionId
    name: str
    """The container's name on its engine, unique in the environment among live units: `shop-api-1`."""
    host: HostId | None = None
    desired: UnitDesired = UnitDesired.READY
    state: UnitState = UnitState.NEW
    healthy: bool = False
    addresses: dict[NetworkId, str] = {}
    addresses6: dict[NetworkId, str] = {}
    containers: tuple[ContainerStatus, ...] = ()
    message: str = ""
    waiting: Waiting | None = None
    reuses: UnitId | None = None
    placed_because: str = ""
    standalone: bool = False
    known_as: str = ""
    adopts: str = ""
    remake: Literal["", "create", "start"] = ""
    starting: bool = False
    """Its engine is asked to start it right now: named already, so that it can be found once the engine says yes."""
    forced: int = 0
    attempts: int = 0
    crashes: int = 0
    ended: UnitState | None = None
    created_at_s: float = 0.0
    not_before_s: float = 0.0
    state_since_s: float = 0.0
    running_since_s: float = 0.0
    finished_at_s: float = 0.0

    @property
    def live(self) -> bool:
        return self.state < LIVE_BELOW

    @property
    def ready(self) -> bool:
        """May be given traffic and named in answers."""
        runs = UnitState.READY if self.standalone else UnitState.RUNNING
        return self.state == runs and self.healthy and self.desired == UnitDesired.RUN


class Network(Object, frozen=True, kw_only=True):
    """`subnet` is IPv4 in CIDR form, `subnet6` IPv6 or "". `gateways`: host id -> that host's own address in `subnet`.

    The first `/28` blocks of the subnet belong to hosts, one each: the gateway is its first address, the rest is left
    to containers started behind our back. Units get addresses from above `first_unit_address`. `engine_name`: its name
    on engines where that cannot be its own, since a network of one host has it.
    """

    environment: str
    name: str
    spec: NetworkSpec
    engine_name: str = ""
    stack: str = ""
    key: str = ""
    subnet: str = ""
    subnet6: str = ""
    vni: int = 0
    gateways: dict[HostId, str] = {}
    created_at_s: float = 0.0
    removing: bool = False

    @property
    def on_engines(self) -> str:
        return self.engine_name or self.name


class Volume(Object, frozen=True, kw_only=True):
    """`host` is None until the first unit that uses it is placed; from then on it stays there."""

    environment: str
    name: str
    spec: VolumeSpec
    stack: str = ""
    key: str = ""
    host: HostId | None = None
    created_at_s: float = 0.0
    removing: bool = False


class File(Object, frozen=True, kw_only=True):
    """A secret or config. `sealed` is the content, encrypted by the server's key where `purpose` is secret."""

    environment: str
    name: str
    purpose: Literal["secret", "config"]
    sealed: bytes = b""
    digest: str = ""
    stack: str = ""
    key: str = ""
    spec: FileSpec | None = None
    created_at_s: float = 0.0


class Registry(Object, frozen=True, kw_only=True):
    """How to log in at a registry; `name` is its address. `sealed` is the password, encrypted by the server's key."""

    environment: str
    name: str
    username: str
    sealed: bytes = b""
    digest: str = ""
    created_at_s: float = 0.0


AnyObject = (
    Environment | ApiKey | JoinToken | Host | Stack | Service | Revision | Unit | Network | Volume | File | Registry
)

KINDS: tuple[type[Object], ...] = (
    Environment, ApiKey, JoinToken, Host, Stack, Service, Revision, Unit, Network, Volume, File, Registry,
)  # fmt: skip


_TAGS: dict[type[Object], str] = {kind: kind.__name__.lower() for kind in KINDS}


def kind_of(thing: Object | type[Object]) -> str:
    """The tag: "unit", "apikey", …"""
    return _TAGS[thing if isinstance(thing, type) else type(thing)]


def unit_id(service: ServiceId, slot: int, generation: int) -> UnitId:
    return UnitId(f"{service}.{slot}.{generation}")
