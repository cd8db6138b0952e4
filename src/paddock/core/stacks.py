"""A wished stack as changes: what `paddock up` commits, before anything is placed.

Ids come from names, since the core has no chance: a service's carries the version of the snapshot it was created over,
so units of a service that was removed and made again are never taken for one another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from paddock.core.checks import problems_of
from paddock.model.changes import Change, Put
from paddock.model.errors import Conflict, Invalid, NotFound
from paddock.model.objects import (
    Environment,
    File,
    FileId,
    Network,
    NetworkId,
    Revision,
    RevisionId,
    Service,
    ServiceId,
    Stack,
    StackId,
    Volume,
    VolumeId,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import FileSpec, NetworkSpec, ServiceSpec, StackSpec, VolumeSpec


class Sealed(NamedTuple):
    """A secret's or config's content as the store keeps it, and the digest of what was sealed."""

    content: bytes
    digest: str


SealedFiles = Mapping[tuple[str, str], Sealed]
"""("secret" or "config", key in the stack spec) -> its content, for every one that is not external."""


class References(NamedTuple):
    """Keys of the stack spec -> object ids."""

    networks: dict[str, NetworkId]
    volumes: dict[str, VolumeId]
    secrets: dict[str, FileId]
    configs: dict[str, FileId]


class _Applying:
    """One call of `apply_stack`: the changes so far."""

    def __init__(self, snapshot: Snapshot, environment: Environment, spec: StackSpec, now_s: float) -> None:
        self.snapshot = snapshot
        self.environment = environment
        self.spec = spec
        self.now_s = now_s
        self.stack_id = stack_id(environment.id, spec.name)
        self.changes: list[Change] = []

    def put(self, thing: Stack | Service | Revision | Network | Volume | File, reason: str) -> None:
        self.changes.append(Put(object=thing, reason=reason))


def stack_id(environment: str, name: str) -> StackId:
    """The same each time a stack of that name is made, so that volumes left behind are its own again."""
    return StackId(f"{environment}.{name}")


def apply_stack(
    snapshot: Snapshot,
    environment: str,
    spec: StackSpec,
    now_s: float,
    *,
    sealed: SealedFiles | None = None,
    remove_orphans: bool = False,
) -> tuple[Change, ...]:
    """What makes the environment (an id) hold the stack as `spec` says; nothing if it does already.

    Raises `Invalid` with every problem, `Conflict` while the stack is being removed, `NotFound` for the environment.
    """
    home = snapshot.get(Environment, environment)
    if home is None:
        raise NotFound(f"there is no environment {environment}", hint="paddock environments lists them")
    known = snapshot.get(Stack, stack_id(environment, spec.name))
    if known is not None and known.removing:
        raise Conflict(f"stack {spec.name} is still being removed", hint="wait until it is gone, then try again")
    files = sealed or {}
    problems = problems_of(snapshot, home, spec, frozenset(files))
    if problems:
        raise Invalid(problems)
    work = _Applying(snapshot, home, spec, now_s)
    if known is None:
        made = Stack(id=work.stack_id, environment=environment, name=spec.name, created_at_s=now_s)
        work.put(made, f"stack {spec.name} is wished for")
    references = References(
        _networks(work), _volumes(work), _files(work, "secret", files), _files(work, "config", files)
    )
    for name in sorted(spec.services):
        _service(work, spec.services[name], references)
    if remove_orphans:
        _orphans(work)
    return tuple(work.changes)


def _networks(work: _Applying) -> dict[str, NetworkId]:
    found: dict[str, NetworkId] = {}
    for key, spec in sorted(work.spec.networks.items()):
        known = work.snapshot.named(Network, work.environment.id, spec.name)
        if known is not None:
            found[key] = NetworkId(known.id)
            if not spec.external and known.spec != spec:
                same = known.spec.subnets == spec.subnets
                subnet, subnet6 = (known.subnet, known.subnet6) if same else ("", "")
                if not spec.enable_ipv6:
                    subnet6 = ""
                changed = msgspec.structs.replace(known, spec=spec, key=key, subnet=subnet, subnet6=subnet6)
                work.put(changed, f"network {spec.name} is wished for otherwise")
        elif not spec.external:
            made = _network(work, key, spec)
            found[key] = NetworkId(made.id)
            work.put(made, f"stack {work.spec.name} has network {key}")
    return found


def _network(work: _Applying, key: str, spec: NetworkSpec) -> Network:
    return Network(
        id=f"{work.environment.id}.{spec.name}.{work.snapshot.version}",
        environment=work.environment.id,
        name=spec.name,
        spec=spec,
        stack=work.stack_id,
        key=key,
        created_at_s=work.now_s,
    )


def _volumes(work: _Applying) -> dict[str, VolumeId]:
    found: dict[str, VolumeId] = {}
    for key, spec in sorted(work.spec.volumes.items()):
        known = work.snapshot.named(Volume, work.environment.id, spec.name)
        if known is not None:
            found[key] = VolumeId(known.id)
        elif not spec.external:
            made = _volume(work, key, spec)
            found[key] = VolumeId(made.id)
            work.put(made, f"stack {work.spec.name} has volume {key}")
    return found


def _volume(work: _Applying, key: str, spec: VolumeSpec) -> Volume:
    return Volume(
        id=f"{work.environment.id}.{spec.name}.{work.snapshot.version}",
        environment=work.environment.id,
        name=spec.name,
        spec=spec,
        stack=work.stack_id,
        key=key,
        created_at_s=work.now_s,
    )


def _files(work: _Applying, purpose: str, sealed: SealedFiles) -> dict[str, FileId]:
    """A new content is a new object, so that a rollback finds the old one; the old one's name says which it was."""
    found: dict[str, FileId] = {}
    table = work.spec.secrets if purpose == "secret" else work.spec.configs
    for key, spec in sorted(table.items()):
        known = work.snapshot.named(File, work.environment.id, file_name(purpose, spec.name))
        if spec.external or (known is not None and known.digest == sealed[(purpose, key)].digest):
            assert known is not None
            found[key] = FileId(known.id)
            continue
        if known is not None:
            older = msgspec.structs.replace(known, name=f"{known.name}@{known.digest[:12]}")
            work.put(older, f"{purpose} {spec.name} has a new content")
        found[key] = _file(work, key, spec, _Content(purpose, sealed[(purpose, key)]))
    return found


class _Content(NamedTuple):
    purpose: str
    sealed: Sealed


def _file(work: _Applying, key: str, spec: FileSpec, file: _Content) -> FileId:
    name = file_name(file.purpose, spec.name)
    before = work.snapshot.named(File, work.environment.id, f"{name}@{file.sealed.digest[:12]}")
    if before is not None:
        work.put(msgspec.structs.replace(before, name=name), f"{file.purpose} {spec.name} has an earlier content again")
        return FileId(before.id)
    made = File(
        id=f"{work.environment.id}.{name}.{work.snapshot.version}",
        environment=work.environment.id,
        name=name,
        purpose="secret" if file.purpose == "secret" else "config",
        sealed=file.sealed.content,
        digest=file.sealed.digest,
        stack=work.stack_id,
        key=key,
        spec=msgspec.structs.replace(spec, content=None),
        created_at_s=work.now_s,
    )
    work.put(made, f"stack {work.spec.name} has {file.purpose} {key}")
    return FileId(made.id)


def file_name(purpose: str, name: str) -> str:
    """Secrets and configs may bear the same name."""
    return f"{purpose}:{name}"


def revision_of(service: ServiceId, environment: str, spec: ServiceSpec, references: References) -> Revision:
    """With what the spec itself names of the references; created at no time yet."""
    containers = [spec.container, *spec.sidekicks.values()]
    networks = {one.network: None for container in containers for one in container.networks}
    volumes = {one.volume: None for container in containers for one in container.volumes}
    files = {(one.kind, one.source): None for container in containers for one in container.files}
    draft = Revision(
        id="",
        environment=environment,
        service=service,
        spec=spec,
        networks={key: id for key, id in references.networks.items() if key in networks},
        volumes={key: id for key, id in references.volumes.items() if key in volumes},
        secrets={key: id for key, id in references.secrets.items() if ("secret", key) in files},
        configs={key: id for key, id in references.configs.items() if ("config", key) in files},
    )
    return msgspec.structs.replace(draft, id=f"{service}@{_digest(draft)}")


def _digest(revision: Revision) -> str:
    parts = (revision.spec, revision.networks, revision.volumes, revision.secrets, revision.configs)
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:12]


def _service(work: _Applying, spec: ServiceSpec, references: References) -> None:
    known = work.snapshot.named(Service, work.environment.id, f"{work.spec.name}/{spec.name}")
    if known is not None and known.removing:
        raise Conflict(f"service {spec.name} of stack {work.spec.name} is still being removed", hint="try again soon")
    id = ServiceId(known.id if known is not None else f"{work.stack_id}.{spec.name}.{work.snapshot.version}")
    revision = revision_of(id, work.environment.id, spec, references)
    if work.snapshot.get(Revision, revision.id) is None:
        work.put(msgspec.structs.replace(revision, created_at_s=work.now_s), f"{spec.name} is wished for like this")
    if known is None:
        made = Service(
            id=id,
            environment=work.environment.id,
            stack=work.stack_id,
            stack_name=work.spec.name,
            name=spec.name,
            revision=RevisionId(revision.id),
            replicas=spec.replicas,
            created_at_s=work.now_s,
        )
        work.put(made, f"stack {work.spec.name} has service {spec.name}")
        return
    changed = msgspec.structs.replace(known, revision=RevisionId(revision.id), replicas=spec.replicas, stopped=False)
    if changed != known:
        work.put(changed, f"service {spec.name} is wished for otherwise")


def orphans(snapshot: Snapshot, environment: str, spec: StackSpec) -> tuple[Service, ...]:
    """Services of the stack that `spec` does not know (any more)."""
    there = snapshot.services_of_stack(stack_id(environment, spec.name))
    known = {*spec.services, *spec.inactive}
    return tuple(service for service in there if service.name not in known and not service.removing)


def _orphans(work: _Applying) -> None:
    for service in orphans(work.snapshot, work.environment.id, work.spec):
        gone = msgspec.structs.replace(service, removing=True)
        work.put(gone, f"service {service.name} is no longer in the file")
    for network in work.snapshot.in_environment(Network, work.environment.id):
        if network.stack == work.stack_id and network.key not in work.spec.networks and not network.removing:
            work.put(msgspec.structs.replace(network, removing=True), "no longer in the file")


__all__ = ["Sealed", "SealedFiles", "apply_stack", "orphans", "revision_of", "stack_id"]
