"""A compose project that `docker compose` started on one host becomes a stack, its containers as they are.

What is wished for is the stack of its files, as `up` would wish for it; what differs is that its first units are bound
to the containers that run, and its volumes to the host they are on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from paddock.core.draft import GONE
from paddock.core.dry_run import dry_run
from paddock.core.generations import bare_unit
from paddock.core.stacks import SealedFiles, apply_stack, stack_id
from paddock.model.changes import Change, Put
from paddock.model.errors import Conflict
from paddock.model.objects import (
    Host,
    HostId,
    Network,
    Service,
    Stack,
    Unit,
    UnitDesired,
    UnitState,
    Volume,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ServiceSpec, StackSpec

HASH_LABEL = "com.docker.compose.config-hash"
TAKEN = ("running", "paused", "restarting", "exited")
ENGINE_SUFFIX = "-cluster"


class SeenContainer(msgspec.Struct, frozen=True, kw_only=True):
    """As its engine and compose's labels say. `oneoff`: of `docker compose run`."""

    id: str
    name: str
    service: str
    number: int
    state: str
    image: str = ""
    config_hash: str = ""
    oneoff: bool = False


class SeenProject(msgspec.Struct, frozen=True, kw_only=True):
    """`networks` and `volumes`: names of all on the host that are not the cluster's. `files`: as compose was given."""

    name: str
    host: HostId
    containers: tuple[SeenContainer, ...]
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    directory: str = ""


class Adoption(NamedTuple):
    """`units`: what becomes of which container; `notes`: what is not taken over, and what will be different."""

    changes: tuple[Change, ...]
    plan: tuple[Change, ...]
    units: tuple[Unit, ...]
    notes: tuple[str, ...]


def adopt(
    snapshot: Snapshot, spec: StackSpec, seen: SeenProject, now_s: float, *, sealed: SealedFiles | None = None
) -> Adoption:
    """Raises `Conflict` when something of it is in the cluster already or cannot stay where it is, and what
    `apply_stack` raises."""
    host = snapshot.get(Host, seen.host)
    if host is None:
        raise Conflict(f"the host of project {seen.name} is gone")
    _check_new(snapshot, host, spec)
    taken, notes = _matched(spec, seen)
    if not any(taken.values()):
        raise Conflict(
            f"no container of project {seen.name} on {host.name} belongs to a service of the files",
            hint="give the files it was started with: --file; " + "; ".join(notes),
        )
    wished = replace(spec, services={name: _as_many(one, taken[name]) for name, one in spec.services.items()})
    stack = apply_stack(snapshot, host.environment, wished, now_s, sealed=sealed)
    notes += _differences(spec, taken) + _networks_told(host, stack, seen)
    changes = [_bound(change, seen) for change in stack]
    units = _units(snapshot, changes, taken, host, now_s)
    changes += [Put(object=unit, reason=f"container {unit.name} is adopted as it is") for unit in units]
    plan = dry_run(snapshot, changes, now_s)
    _check_placed(plan, units)
    return Adoption(tuple(changes), plan, tuple(units), tuple(notes))


def _check_new(snapshot: Snapshot, host: Host, spec: StackSpec) -> None:
    known = stack_id(host.environment, spec.name)
    if snapshot.get(Stack, known) is not None and snapshot.services_of_stack(known):
        raise Conflict(f"there is a stack {spec.name} already", hint="paddock ps shows what it has")
    for volume in spec.volumes.values():
        there = snapshot.named(Volume, host.environment, volume.name)
        if there is not None and there.host not in (None, host.id):
            raise Conflict(f"volume {volume.name} of the cluster is on another host than {host.name}")


def _matched(spec: StackSpec, seen: SeenProject) -> tuple[dict[str, list[SeenContainer]], list[str]]:
    """Service -> its containers by number, and why others are not taken."""
    taken: dict[str, list[SeenContainer]] = {name: [] for name in spec.services}
    notes = []
    for container in sorted(seen.containers, key=lambda one: (one.service, one.number, one.name)):
        if container.oneoff:
            notes.append(f"{container.name} is left alone: `docker compose run` made it")
        elif container.service not in spec.services:
            notes.append(f"{container.name} is left alone: the files have no service {container.service}")
        elif container.state not in TAKEN:
            notes.append(f"{container.name} is left alone: it is {container.state}")
        else:
            taken[container.service].append(container)
    return taken, notes


def _as_many(spec: ServiceSpec, containers: Sequence[SeenContainer]) -> ServiceSpec:
    return replace(spec, replicas=len(containers)) if containers and spec.mode == "replicated" else spec


def _differences(spec: StackSpec, taken: Mapping[str, Sequence[SeenContainer]]) -> list[str]:
    notes = []
    for name, containers in taken.items():
        wished = spec.services[name]
        if not containers:
            notes.append(f"{name} has no container here: {wished.replicas} will be made, as `paddock up` would")
        elif wished.mode == "replicated" and len(containers) != wished.replicas:
            notes.append(f"{name} runs {len(containers)}, not {wished.replicas} as in the files: so it stays")
        labels = wished.container.config.get("Labels") or {}
        hash = str(labels.get(HASH_LABEL) or "")
        older = [one.name for one in containers if hash and one.config_hash and one.config_hash != hash]
        if older:
            notes.append(
                f"{', '.join(older)}: started from other files than these; it is as in these once it is replaced"
            )
    return notes


def _networks_told(host: Host, changes: Sequence[Change], seen: SeenProject) -> list[str]:
    return [
        f"network {network.name}: containers keep the bridge they have on {host.name}, and join the cluster's network "
        f"of that name while they run (`{network.name}{ENGINE_SUFFIX}` on engines); what is made anew has only that one"
        for change in changes
        if isinstance(network := change.object, Network) and network.name in seen.networks
    ]


def _bound(change: Change, seen: SeenProject) -> Change:
    thing = change.object
    if not isinstance(change, Put) or thing.version:
        return change
    if isinstance(thing, Network) and thing.name in seen.networks:
        return replace(change, object=replace(thing, engine_name=f"{thing.name}{ENGINE_SUFFIX}"))
    if isinstance(thing, Volume) and thing.name in seen.volumes:
        return replace(change, object=replace(thing, host=seen.host))
    return change


def _units(
    snapshot: Snapshot,
    changes: Sequence[Change],
    taken: Mapping[str, Sequence[SeenContainer]],
    host: Host,
    now_s: float,
) -> list[Unit]:
    """Not placed yet, but only that host will do: what follows gives them addresses as all others."""
    services = [change.object for change in changes if isinstance(change.object, Service)]
    found = []
    for service in services:
        for slot, container in enumerate(taken[service.name], start=1):
            if any(unit.state not in GONE for unit in snapshot.units_named(host.environment, container.name)):
                raise Conflict(f"the name {container.name} is in use in the cluster")
            unit = bare_unit(service, (slot, 1), container.name, now_s)
            found.append(replace(unit, host=HostId(host.id), desired=UnitDesired.RUN, adopts=container.id))
    return found


def _check_placed(plan: Sequence[Change], units: Sequence[Unit]) -> None:
    """Raises `Conflict`: what runs must not be made to wait, still less replaced."""
    after = {change.object.id: change.object for change in plan if isinstance(change.object, Unit)}
    for unit in units:
        known = after[unit.id]
        if isinstance(known, Unit) and known.state != UnitState.PLACED:
            why = known.waiting.reason if known.waiting is not None else "it is not wanted there"
            raise Conflict(f"{unit.name} cannot be adopted where it is: {why}")
