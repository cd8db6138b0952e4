"""Volumes of the cluster: one name, one volume, in a known place.

A volume without a user yet has no host, and so no place: it is made where its first container is. Asked to be made by
name, it is kept in mind until then.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from paddock.core.powers import check_powers, volume_powers
from paddock.core.standalone import volume_named
from paddock.gateway import shapes
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.departed import any_gone
from paddock.gateway.filters import Filters, encode_filters, labels_match, parse_filters
from paddock.gateway.hosts import answered
from paddock.gateway.networks import time_text
from paddock.gateway.problems import ApiProblem, no_such
from paddock.gateway.pruning import pruned_on_engines
from paddock.gateway.router import Router
from paddock.gateway.shapes import check_shape
from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict, PaddockError
from paddock.model.objects import Host, HostId, Revision, ServiceId, Unit, Volume
from paddock.model.snapshot import Snapshot
from paddock.model.specs import VolumeSpec
from paddock.wire.engine_errors import EngineError, EngineNotFound

Json = dict[str, Any]
PLACE = "/var/lib/docker/volumes"
VOLUME_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]+")
HIDDEN_LABEL = "io.paddock.volume"
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""How engines mark volumes without a name, which `volume prune` removes without being asked for all."""
DRIVER_TIMEOUT_S = 60.0


def register(router: Router) -> None:
    router.add("GET", "/volumes", listed)
    router.add("POST", "/volumes/create", create)
    router.add("POST", "/volumes/prune", prune)
    router.add("GET", "/volumes/{name}", inspected)
    router.add("DELETE", "/volumes/{name}", remove)


def volume_view(volume: Volume, host: str = "") -> Json:
    return {
        "CreatedAt": time_text(volume.created_at_s),
        "Driver": volume.spec.driver or "local",
        "Labels": dict(volume.spec.labels) or None,
        "Mountpoint": f"{PLACE}/{volume.name}/_data",
        "Name": volume.name,
        "Options": dict(volume.spec.driver_opts) or None,
        "Scope": "local",
        "Status": {"host": host} if host else None,
    }


def _host_name(snapshot: Snapshot, volume: Volume) -> str:
    host = snapshot.get(Host, volume.host) if volume.host is not None else None
    return host.name if host is not None else ""


async def _of_hosts(call: Call, path: str) -> list[tuple[Host, Any]]:
    """What every host has there; those that have no such thing are left out."""

    async def ask(host: Host) -> Any:
        try:
            return await call.cluster.engine(HostId(host.id)).json("GET", path)
        except EngineNotFound:
            return None

    told = await call.gateway.hosts.ask_each(call.gateway.hosts.reachable(call.environment), ask)
    return [(host, found) for host, found in answered(told) if found is not None]


async def listed(call: Call) -> Answer:
    """The cluster's, and those without a name that single containers have."""
    filters = parse_filters(call.head.asked("filters"))
    snapshot = call.cluster.snapshot()
    ours = [one for one in snapshot.in_environment(Volume, call.environment) if not one.removing]
    views = {volume.name: volume_view(volume, _host_name(snapshot, volume)) for volume in ours}
    for host, found in await _of_hosts(call, "/volumes"):
        for volume in found.get("Volumes") or ():
            views.setdefault(volume["Name"], _engines_own(host, volume))
    used = [volume.name for volume in ours if _users(snapshot, volume)]
    chosen = [view for _, view in sorted(views.items()) if _fits(view, filters, used)]
    return Answer(200, {"Volumes": chosen, "Warnings": None})


def _engines_own(host: Host, volume: Json) -> Json:
    labels = {key: value for key, value in (volume.get("Labels") or {}).items() if key != HIDDEN_LABEL}
    return {**volume, "Labels": labels or None, "Status": {"host": host.name}}


def _users(snapshot: Snapshot, volume: Volume) -> list[str]:
    revisions = snapshot.in_environment(Revision, volume.environment)
    return [revision.service for revision in revisions if volume.id in revision.volumes.values()]


def _units_with(call: Call, name: str) -> list[Unit]:
    snapshot = call.cluster.snapshot()
    volume = snapshot.named(Volume, call.environment, name)
    users = _users(snapshot, volume) if volume is not None else []
    return [unit for service in users for unit in snapshot.units_of_service(ServiceId(service))]


def _containers(snapshot: Snapshot, services: list[str]) -> list[str]:
    """Ids, as far as they are known."""
    units = [unit for service in services for unit in snapshot.units_of_service(ServiceId(service))]
    return [unit.containers[0].id if unit.containers else unit.name for unit in units if unit.live]


def _fits(view: Json, filters: Filters, used: list[str]) -> bool:
    for name, values in filters.items():
        match name:
            case "name":
                fits = any(value in view["Name"] for value in values)
            case "driver":
                fits = view["Driver"] in values
            case "dangling":
                fits = (view["Name"] not in used) == any(value in ("true", "1") for value in values)
            case "label" | "label!":
                fits = labels_match(filters, view.get("Labels") or {})
            case "node":
                fits = (view.get("Status") or {}).get("host") in values
            case _:
                raise ApiProblem(400, f"invalid filter '{name}'")
        if not fits:
            return False
    return True


def check_volume_name(name: str) -> None:
    """Raises `ApiProblem` (400) in the engine's words."""
    if len(name) < 2:
        raise ApiProblem(
            400, f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not VOLUME_NAME.fullmatch(name):
        raise ApiProblem(
            400,
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
        )


async def create(call: Call) -> Answer:
    body = await call.json_object()
    check_shape(body, shapes.Volume)
    check_powers(volume_powers(body.get("DriverOpts") or {}), privileged=call.caller.privileged)
    asked = str(body.get("Name") or "")
    name = asked or call.cluster.world.chance.hex(64)
    check_volume_name(name)
    driver = str(body.get("Driver") or "")
    spec = VolumeSpec(
        name=name,
        driver="" if driver == "local" else driver,
        driver_opts={str(key): str(value) for key, value in (body.get("DriverOpts") or {}).items()},
        labels={str(key): str(value) for key, value in (body.get("Labels") or {}).items()}
        | ({} if asked else {ANONYMOUS_LABEL: ""}),
    )

    def decide(snapshot: Snapshot) -> tuple[list[Change], tuple[Volume, bool]]:
        volume, changes = volume_named(snapshot, call.environment, name, call.cluster.world.now_s(), spec)
        if not changes and (driver or "local") != (volume.spec.driver or "local"):
            raise ApiProblem(409, f"create {name}: conflict: volume name must be unique")
        return changes, (volume, bool(changes))

    try:
        (volume, fresh), _ = await call.cluster.commit(decide)
    except Conflict as error:
        raise ApiProblem(409, error.message) from error
    if fresh and spec.driver:
        await _made_by_its_driver(call, volume)
    return Answer(201, volume_view(volume))


async def _made_by_its_driver(call: Call, volume: Volume) -> None:
    """On the first host that has the driver, which alone knows what it takes. Raises `ApiProblem` in its words."""
    body = {
        "Name": volume.name,
        "Driver": volume.spec.driver,
        "DriverOpts": dict(volume.spec.driver_opts),
        "Labels": {**volume.spec.labels, HIDDEN_LABEL: volume.id},
    }
    refusal: PaddockError | None = None
    for host in call.gateway.hosts.reachable(call.environment):
        try:
            engine = call.cluster.engine(HostId(host.id))
            await engine.call("POST", "/volumes/create", body=body, timeout_s=DRIVER_TIMEOUT_S)
            return
        except PaddockError as error:
            refusal = refusal or error

    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        known = snapshot.get(Volume, volume.id)
        return ([Delete(object=known, reason="its driver refused it")] if known is not None else []), None

    await call.cluster.commit(decide)
    raise refusal or ApiProblem(503, "no host of this environment is connected: see `paddock hosts`")


async def inspected(call: Call) -> Answer:
    name = call.params["name"]
    snapshot = call.cluster.snapshot()
    volume = snapshot.named(Volume, call.environment, name)
    if volume is not None and not volume.removing:
        return Answer(200, volume_view(volume, _host_name(snapshot, volume)))
    for host, found in await _of_hosts(call, f"/volumes/{name}"):
        return Answer(200, _engines_own(host, found))
    raise no_such("volume", name)


async def remove(call: Call) -> Answer:
    name = call.params["name"]

    def decide(snapshot: Snapshot) -> tuple[list[Change], bool]:
        volume = snapshot.named(Volume, call.environment, name)
        if volume is None:
            return [], False
        if volume.removing:
            if not call.head.wants("force"):
                raise no_such("volume", name)
            return [], True
        if users := _users(snapshot, volume):
            raise ApiProblem(409, f"remove {name}: volume is in use - [{', '.join(_containers(snapshot, users))}]")
        return _gone(volume, "removed through the Docker API"), True

    try:
        known, _ = await call.cluster.commit(decide)
    except ApiProblem:
        if not await any_gone(call, _units_with(call, name)):
            raise
        known, _ = await call.cluster.commit(decide)
    if not known:
        await _remove_from_engines(call, name)
    return Answer(204)


def _gone(volume: Volume, reason: str) -> list[Change]:
    """One that was never placed has nothing anywhere."""
    if volume.host is None:
        return [Delete(object=volume, reason=reason)]
    return [Put(object=replace(volume, removing=True), reason=reason)]


async def _remove_from_engines(call: Call, name: str) -> None:
    async def ask(host: Host) -> int:
        query = {"force": 1} if call.head.wants("force") else {}
        return (await call.cluster.engine(HostId(host.id)).call("DELETE", f"/volumes/{name}", query=query)).status

    told = await call.gateway.hosts.ask_each(call.gateway.hosts.reachable(call.environment), ask)
    refusals = [error for _, error in told if isinstance(error, EngineError) and error.status != 404]
    if refusals:
        raise refusals[0]
    if not answered(told) and not call.head.wants("force"):
        raise no_such("volume", name)


async def prune(call: Call) -> Answer:
    """Those without a user: nameless ones everywhere, and the cluster's own when all are asked for."""
    filters = parse_filters(call.head.asked("filters"))
    named = call.api < (1, 42) or any(value in ("true", "1") for value in filters.get("all", ()))

    def decide(snapshot: Snapshot) -> tuple[list[Change], list[str]]:
        unused = [
            volume
            for volume in snapshot.in_environment(Volume, call.environment)
            if (named or ANONYMOUS_LABEL in volume.spec.labels)
            and not volume.removing and not volume.stack and labels_match(filters, volume.spec.labels)
            and not _users(snapshot, volume)
        ]  # fmt: skip
        changes = [change for volume in unused for change in _gone(volume, "pruned through the Docker API")]
        return changes, [volume.name for volume in unused]

    names, _ = await call.cluster.commit(decide)
    # Those that only engines know, as single containers leave them behind.
    query = {"filters": encode_filters({**filters, "label!": [*filters.get("label!", ()), HIDDEN_LABEL]})}
    pruned = await pruned_on_engines(call, "/volumes/prune", "VolumesDeleted", query)
    return Answer(200, {"VolumesDeleted": [*names, *pruned.deleted], "SpaceReclaimed": pruned.reclaimed_bytes})
