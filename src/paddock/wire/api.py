"""Requests and answers of the REST API: what the server sends, the client reads and the CLI prints.

All under `/v1`; what belongs to an environment is under `/v1/environments/{environment}` (its name). Errors are
`{"code", "message", "hint", "problems": [Problem…]}` with the status of the error's class. A stream that goes wrong
after its first byte ends with such a document as its last line; empty lines only keep the connection alive.

    GET    /v1/ping                                   -> Ping (no key needed; neither do ca and join)
    GET    /v1/ca                                     -> PEM of the server's CA
    POST   /v1/join                  JoinRequest      -> Joined
    GET    /v1/environments                           -> [EnvironmentView];  POST {name} creates, DELETE …/{name}
    GET    /v1/api-keys                               -> [ApiKeyView];       POST NewApiKey -> CreatedApiKey, DELETE
    GET    /v1/backup                                 -> a tar archive of the whole server, keys included (admins only)
    under /v1/environments/{environment}:
    POST   /join-tokens              {ttl_s?}         -> CreatedJoinToken
    POST   /docker-certificates      DockerCertificateRequest -> DockerCertificate
    GET    /hosts, /hosts/{name}                      -> [HostView] / HostView
    PATCH  /hosts/{name}             HostPatch        -> HostView
    POST   /hosts/{name}/drain|activate               -> DrainAnswer / HostView;  DELETE /hosts/{name}?force=
    POST   /breaker/override                          -> EnvironmentView
    GET    /stacks, /stacks/{name}                    -> [StackView] / StackView
    PUT    /stacks/{name}?dry_run=&remove_orphans=  StackSpec -> Applied (creates or changes to match)
    GET    /adoptable                                 -> [Adoptable] (compose projects started without the cluster)
    POST   /stacks/{name}/adopt?host=&dry_run=  StackSpec -> Adopted (takes such a project over as it runs)
    DELETE /stacks/{name}?volumes=                    -> Accepted
    GET    /services?stack=, /services/{stack}/{name} -> [ServiceView] / ServiceView
    POST   /services/{stack}/{name}/scale {replicas}  -> Accepted;   also /restart /stop /start /rollback /pause /resume
    GET    /containers?stack=&service=&all=           -> [ContainerView] (one per container; `all`: finished ones too)
    GET    /containers/{name}                         -> ContainerView;  /inspect -> the engine's own answer
    DELETE /containers/{name}                         -> Accepted (the slot gets a next generation unless scaled down)
    GET    /containers/{name}/top                     -> TopAnswer
    GET    /networks, /volumes                        -> [NetworkView] / [VolumeView];  DELETE /volumes/{name}
    GET    /explain/{name}                            -> Explanation (a container, service, stack or host)
    GET    /events?since=&follow=                     -> a stream of EventView, one JSON document per line (NDJSON)
    GET    /containers/{name}/logs?follow=&tail=&since=&timestamps=  -> stream of LogLine, NDJSON
    GET    /containers/{name}/stats?stream=           -> stream of StatsSample, NDJSON
    WS     /containers/{name}/exec                    -> see `ExecStart`; bytes both ways
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from paddock.model.errors import Problem
from paddock.model.objects import ContainerStatus, HostFacts, Rollout, Waiting


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Root of requests and answers."""


class ErrorAnswer(View, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str = ""
    problems: tuple[Problem, ...] = ()


class Ping(View, frozen=True, kw_only=True):
    version: str
    ca_fingerprint: str
    """SHA-256 of the CA certificate in DER form, hex; a join token carries the same."""
    agents_port: int


class Accepted(View, frozen=True, kw_only=True):
    """The wish is committed at `version`; follow the events from there to see it happen."""

    version: int


class EnvironmentView(View, frozen=True, kw_only=True):
    id: str
    name: str
    pools: tuple[str, ...]
    breaker: str
    breaker_reason: str = ""
    hosts: int = 0
    stacks: int = 0


class RegistryLogin(View, frozen=True, kw_only=True):
    """`check`: a host's engine tries it at the registry first."""

    address: str
    username: str
    password: str
    check: bool = True


class RegistryView(View, frozen=True, kw_only=True):
    """Never the password."""

    address: str
    username: str
    created_at_s: float


class NewEnvironment(View, frozen=True, kw_only=True):
    name: str


class NewApiKey(View, frozen=True, kw_only=True):
    name: str
    environment: str = ""
    ttl_s: float = 0.0
    privileged: bool = True


class ApiKeyView(View, frozen=True, kw_only=True):
    id: str
    name: str
    environment: str
    created_at_s: float
    expires_at_s: float = 0.0
    privileged: bool = True


class CreatedApiKey(View, frozen=True, kw_only=True):
    """`key` is shown this once; `Authorization: Bearer KEY`."""

    id: str
    key: str


class DockerCertificateRequest(View, frozen=True, kw_only=True):
    """`csr` is a certificate request in PEM form. `privileged`: containers may reach into their hosts."""

    csr: str
    privileged: bool = True


class DockerCertificate(View, frozen=True, kw_only=True):
    """For a Docker client: cert.pem, ca.pem, and the port of the server. 0: it serves no Docker clients over TLS."""

    certificate: str
    ca: str
    port: int = 0


class JoinTokenRequest(View, frozen=True, kw_only=True):
    ttl_s: float = 3600.0


class CreatedJoinToken(View, frozen=True, kw_only=True):
    """`token` holds the server's address, the CA's fingerprint and the secret; `command` is what to run on the host."""

    id: str
    token: str
    command: str
    expires_at_s: float


class JoinRequest(View, frozen=True, kw_only=True):
    """`csr` is PEM. `name` is what the host would like to be called; the server may add a number."""

    secret: str
    csr: str
    name: str
    labels: dict[str, str] = {}
    facts: HostFacts = msgspec.field(default_factory=HostFacts)
    """A factory, because the schema's generator hashes plain defaults, and facts hold a mapping."""


class Joined(View, frozen=True, kw_only=True):
    host: str
    name: str
    environment: str
    certificate: str
    ca: str
    agents_port: int


class Reserved(View, frozen=True, kw_only=True):
    cpu_milli: int = 0
    memory_bytes: int = 0
    units: int = 0


class HostView(View, frozen=True, kw_only=True):
    """`state`: joining, active, silent, lost, or drained / draining when active but drained."""

    id: str
    name: str
    state: str
    availability: str
    since_s: float
    labels: dict[str, str]
    facts: HostFacts
    reserved: Reserved
    session: int = 0


class HostPatch(View, frozen=True, kw_only=True):
    """Labels to set; a None value takes one away."""

    labels: dict[str, str | None]


class DrainAnswer(View, frozen=True, kw_only=True):
    """`staying`: container name -> why it cannot move."""

    version: int
    moving: tuple[str, ...]
    staying: dict[str, str]


class ServiceView(View, frozen=True, kw_only=True):
    """`state`: running (as wished), converging, waiting, degraded, updating, paused, stopped, complete, failed or
    removing."""

    id: str
    stack: str
    name: str
    mode: str
    state: str
    replicas: int
    running: int
    ready: int
    image: str
    ports: tuple[str, ...] = ()
    revision: str = ""
    rollout: Rollout | None = None
    waiting: Waiting | None = None
    created_at_s: float = 0.0


class ScaleRequest(View, frozen=True, kw_only=True):
    replicas: int


class StackView(View, frozen=True, kw_only=True):
    id: str
    name: str
    state: str
    services: tuple[ServiceView, ...]
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    created_at_s: float = 0.0


class ContainerView(View, frozen=True, kw_only=True):
    """One container of a unit. `name` is unique in the environment among live ones."""

    name: str
    id: str
    unit: str
    stack: str
    service: str
    slot: int
    generation: int
    role: str
    host: str
    image: str
    state: str
    desired: str
    health: str
    ready: bool
    status: ContainerStatus
    addresses: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    message: str = ""
    waiting: Waiting | None = None
    restarts: int = 0
    created_at_s: float = 0.0
    since_s: float = 0.0


class PlannedChange(View, frozen=True, kw_only=True):
    action: Literal["create", "change", "remove"]
    kind: str
    name: str
    reason: str


class Applied(View, frozen=True, kw_only=True):
    """`plan` is what was (or with dry_run would be) committed, first the wish itself, then what converge does."""

    version: int
    plan: tuple[PlannedChange, ...]
    warnings: tuple[str, ...] = ()
    dry_run: bool = False


class Adoptable(View, frozen=True, kw_only=True):
    """A compose project that is on a host without the cluster's doing. `files` and `directory` are that host's."""

    project: str
    host: str
    services: tuple[str, ...] = ()
    containers: int = 0
    files: tuple[str, ...] = ()
    directory: str = ""


class AdoptedContainer(View, frozen=True, kw_only=True):
    name: str
    id: str
    service: str
    slot: int


class Adopted(View, frozen=True, kw_only=True):
    """`notes`: what is not taken over and what will be different, one sentence each; `plan` as in `Applied`."""

    version: int
    host: str
    containers: tuple[AdoptedContainer, ...]
    notes: tuple[str, ...] = ()
    plan: tuple[PlannedChange, ...] = ()
    dry_run: bool = False


class NetworkView(View, frozen=True, kw_only=True):
    id: str
    name: str
    stack: str
    subnet: str
    vni: int
    internal: bool
    hosts: tuple[str, ...]
    containers: int


class VolumeView(View, frozen=True, kw_only=True):
    id: str
    name: str
    stack: str
    driver: str
    host: str
    used_by: tuple[str, ...]


class EventView(View, frozen=True, kw_only=True):
    """`action`: create, change or remove; `name` in the words of the user; `reason` as the decider gave it."""

    version: int
    at_s: float
    action: str
    kind: str
    id: str
    name: str
    reason: str
    stack: str = ""
    service: str = ""
    host: str = ""
    state: str = ""


class LogLine(View, frozen=True, kw_only=True):
    container: str
    stream: Literal["stdout", "stderr"]
    text: str
    """Without its line end. Bytes that are not UTF-8 arrive as replacement characters."""
    at: str = ""


class StatsSample(View, frozen=True, kw_only=True):
    """`cpu_percent`: 100 is one core. Network and block figures are totals since the container's start."""

    container: str
    host: str
    cpu_percent: float
    memory_bytes: int
    memory_limit_bytes: int
    network_received_bytes: int
    network_sent_bytes: int
    block_read_bytes: int
    block_written_bytes: int
    pids: int


class TopAnswer(View, frozen=True, kw_only=True):
    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


class ExplainedStep(View, frozen=True, kw_only=True):
    at_s: float
    text: str


class Explanation(View, frozen=True, kw_only=True):
    """Why it waits, why it is where it is, what was tried. `hosts`: for one that has no host yet, host -> why not."""

    name: str
    kind: str
    state: str
    summary: str
    waits_for: tuple[str, ...] = ()
    placed_because: str = ""
    hosts: dict[str, str] = {}
    history: tuple[ExplainedStep, ...] = ()


class ExecStart(View, frozen=True, kw_only=True):
    """First WebSocket message (text) from the client. Afterwards binary messages from the client are stdin, text
    messages are `ExecControl`; binary messages from the server begin with one byte, 1 for stdout and 2 for stderr; the
    last message from the server is text, an `ExecEnd`.
    """

    command: tuple[str, ...]
    tty: bool = False
    stdin: bool = False
    user: str = ""
    workdir: str = ""
    environment: tuple[str, ...] = ()
    privileged: bool = False
    rows: int = 0
    columns: int = 0


class ExecControl(View, frozen=True, kw_only=True):
    """`eof`: stdin is closed."""

    eof: bool = False
    rows: int = 0
    columns: int = 0


class ExecEnd(View, frozen=True, kw_only=True):
    exit_code: int
    error: str = ""


Json = dict[str, Any]
