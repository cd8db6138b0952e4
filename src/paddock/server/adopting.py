"""What `docker compose` started on hosts by itself: asked of their engines, since nobody told the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from paddock.core.adoption import HASH_LABEL, SeenContainer, SeenProject
from paddock.model.errors import Conflict, NotFound, PaddockError
from paddock.model.objects import Host, HostId
from paddock.model.observed import NETWORK_LABEL, UNIT_LABEL
from paddock.server.plane import ControlPlane

ASK_TIMEOUT_S = 10.0
COMPOSE = "com.docker.compose."
Json = dict[str, Any]


async def projects(plane: ControlPlane, environment: str) -> list[SeenProject]:
    """By name, then host; of hosts that answer."""
    hosts = plane.store.durable().in_environment(Host, environment)
    there = [host for host in hosts if plane.sessions.alive(HostId(host.id))]
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_on_host(plane, host)) for host in there]
    found = [project for task in asked for project in task.result()]
    return sorted(found, key=lambda project: (project.name, project.host))


async def project_named(plane: ControlPlane, environment: str, name: str, host_name: str) -> SeenProject:
    """Raises `NotFound`, and `Conflict` when it is on several hosts and none is said."""
    snapshot = plane.store.durable()
    names = {host.id: host.name for host in snapshot.in_environment(Host, environment)}
    found = [
        one for one in await projects(plane, environment) if one.name == name and host_name in ("", names.get(one.host))
    ]
    if not found:
        where = f"host {host_name}" if host_name else "any host that answers"
        raise NotFound(f"{where} has no compose project {name} of its own", hint="`paddock adopt` lists what there is")
    if len(found) > 1:
        there = ", ".join(names[one.host] for one in found)
        raise Conflict(f"project {name} is on {there}", hint="say which one with --host")
    return found[0]


async def _on_host(plane: ControlPlane, host: Host) -> list[SeenProject]:
    engine = plane.streams.engine(HostId(host.id), host.name)
    query: Mapping[str, str | int | bool] = {"all": True, "filters": f'{{"label":["{COMPOSE}project"]}}'}
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            containers: list[Json] = await engine.json("GET", "/containers/json", query=query)
            networks: list[Json] = await engine.json("GET", "/networks")
            volumes: Json = await engine.json("GET", "/volumes")
    except (TimeoutError, PaddockError) as error:
        plane.world.log.warning("a host does not say what it runs", host=host.name, error=str(error))
        return []
    return seen_projects(HostId(host.id), containers, networks, volumes)


def seen_projects(host: HostId, containers: list[Json], networks: list[Json], volumes: Json) -> list[SeenProject]:
    plain = [one["Name"] for one in networks if NETWORK_LABEL not in (one.get("Labels") or {})]
    projects: dict[str, list[Json]] = {}
    for container in containers:
        labels = container.get("Labels") or {}
        if UNIT_LABEL not in labels:
            projects.setdefault(labels.get(f"{COMPOSE}project", ""), []).append(container)
    return [
        SeenProject(
            name=name,
            host=host,
            containers=tuple(map(_container, there)),
            networks=tuple(plain),
            volumes=tuple(one["Name"] for one in volumes.get("Volumes") or ()),
            files=tuple(file for file in _said(there, "project.config_files").split(",") if file),
            directory=_said(there, "project.working_dir"),
        )
        for name, there in projects.items()
    ]


def _said(containers: list[Json], word: str) -> str:
    return next((str(text) for one in containers if (text := one["Labels"].get(f"{COMPOSE}{word}"))), "")


def _container(found: Json) -> SeenContainer:
    labels = found["Labels"]
    number = str(labels.get(f"{COMPOSE}container-number", ""))
    return SeenContainer(
        id=found["Id"],
        name=str((found.get("Names") or [""])[0]).removeprefix("/"),
        service=labels.get(f"{COMPOSE}service", ""),
        number=int(number) if number.isdigit() else 1,
        state=str(found.get("State") or ""),
        image=str(found.get("Image") or ""),
        config_hash=labels.get(HASH_LABEL, ""),
        oneoff=str(labels.get(f"{COMPOSE}oneoff", "")).lower() == "true",
    )
