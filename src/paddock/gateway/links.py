"""`--link`: a name for one container that another one sees, and what an engine says of it in the environment.

A name needs no common host: it is answered by the cluster's names, for the one who asked. Containers on an engine's
`bridge` are linked by their engine, and share a host.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from paddock.core.standalone import HOME_NETWORK, unlink
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.finding import Found
from paddock.gateway.forward import Asked, forward
from paddock.gateway.problems import ApiProblem
from paddock.gateway.wishes import Wish, host_config, partners_of_links
from paddock.model.changes import Change
from paddock.model.objects import HostId, Network, NetworkId, Revision, Unit
from paddock.model.snapshot import Snapshot

OF_BUILDS = ("HOME", "PATH")
"""Set by most images, and of no use to others."""
DEFAULTS = ("", "default", HOME_NETWORK)
Json = dict[str, Any]


class Link(NamedTuple):
    """`target`: what the client calls the container."""

    target: str
    alias: str


def link_of(text: str) -> Link:
    """`NAME`, `NAME:ALIAS`, or as engines show it: `/NAME:/OWNER/ALIAS`."""
    target, _, alias = text.partition(":")
    return Link(target.removeprefix("/"), (alias or target).rpartition("/")[2])


async def with_links(call: Call, wish: Wish) -> Wish:
    """With what `HostConfig.Links` asks for. Raises `ApiProblem` when a container cannot be linked to."""
    host = host_config(wish.body)
    links = [link_of(text) for text in partners_of_links(wish.body)]
    mode = str(host.get("NetworkMode") or "")
    if not links or (mode not in DEFAULTS and mode != "bridge"):
        return replace(wish, links=tuple(f"{link.target}:{link.alias}" for link in links))
    found = [(link, await partner(call, link.target)) for link in links]
    snapshot = call.cluster.snapshot()
    if mode == "bridge" and all(_on_bridge(snapshot, one) for _, one in found):
        constraints = [f"node.id=={one.host.id}" for _, one in found]
        return replace(wish, placement=_placement(wish, constraints=constraints))
    env: list[str] = []
    for link, one in found:
        env += await _environment(call, wish.name, link, one)
    own = [entry.partition("=")[0] for entry in wish.body.get("Env") or ()]
    told = [entry for entry in env if entry.partition("=")[0] not in own]
    names = {link.alias: one.unit.name for link, one in found if one.unit is not None}
    body = {
        **wish.body,
        "Env": [*told, *(wish.body.get("Env") or ())],
        "HostConfig": {**host, "NetworkMode": HOME_NETWORK if mode == "bridge" else mode},
    }
    return replace(
        wish,
        body=body,
        links=tuple(f"{name}:{alias}" for alias, name in names.items()),
        placement=_placement(wish, affinities=[f"container==~{name}" for name in names.values()]),
    )


async def partner(call: Call, name: str) -> Found:
    """Raises `ApiProblem`, never with 404: that would tell clients that the image is missing."""
    try:
        return await call.gateway.finder.container(call.environment, name)
    except ApiProblem as problem:
        raise ApiProblem(400, problem.message) from problem


def _placement(wish: Wish, *, constraints: list[str] | None = None, affinities: list[str] | None = None) -> Any:
    before = wish.placement
    return replace(
        before,
        constraints=tuple(dict.fromkeys([*before.constraints, *(constraints or ())])),
        affinities=tuple(dict.fromkeys([*before.affinities, *(affinities or ())])),
    )


def _on_bridge(snapshot: Snapshot, found: Found) -> bool:
    revision = snapshot.get(Revision, found.unit.revision) if found.unit is not None else None
    return revision is None or revision.spec.container.network_mode == "bridge"


async def _environment(call: Call, owner: str, link: Link, found: Found) -> list[str]:
    snapshot = call.cluster.snapshot()
    home = snapshot.named(Network, call.environment, HOME_NETWORK)
    address = found.unit.addresses.get(NetworkId(home.id)) if home is not None and found.unit is not None else None
    if address is None:
        raise ApiProblem(
            400,
            f"Cannot link to {link.target}, as it does not belong to the default network ({HOME_NETWORK}): "
            "on networks of your own containers find each other by name",
        )
    seen: Json = await call.cluster.engine(HostId(found.host.id)).json("GET", f"/containers/{found.engine_name}/json")
    return environment(f"/{owner}/{link.alias}", address, seen.get("Config") or {})


def environment(name: str, address: str, config: Json) -> list[str]:
    """As the engine's `links` package writes it, without its words for ranges of ports. `name`: `/OWNER/ALIAS`."""
    prefix = name.rpartition("/")[2].upper().replace("-", "_")
    found = []
    for at, (port, protocol) in enumerate(sorted(map(_port, config.get("ExposedPorts") or {}))):
        where = f"{protocol}://{address}:{port}"
        key = f"{prefix}_PORT_{port}_{protocol.upper()}"
        found += [f"{prefix}_PORT={where}"] if at == 0 else []
        found += [f"{key}={where}", f"{key}_ADDR={address}", f"{key}_PORT={port}", f"{key}_PROTO={protocol}"]
    found.append(f"{prefix}_NAME={name}")
    for entry in config.get("Env") or ():
        key, equals, _ = str(entry).partition("=")
        if equals and key not in OF_BUILDS:
            found.append(f"{prefix}_ENV_{entry}")
    return found


def _port(text: str) -> tuple[int, str]:
    """Of one number, tcp comes first, as it does in the alphabet."""
    port, _, protocol = text.partition("/")
    return int(port), protocol or "tcp"


def shown(links: tuple[str, ...], legacy: list[str], owner: str) -> list[str] | None:
    """What is left of those asked for, as the engine shows them."""
    aliases = [link_of(text).alias for text in legacy]
    found = [link_of(link) for link in links]
    return [f"/{link.target}:/{owner}/{link.alias}" for link in found if link.alias in aliases] or None


async def unlinked(call: Call) -> Answer | None:
    """`DELETE /containers/OWNER/ALIAS?link=1`: of the containers nothing is removed."""
    owner, slash, alias = call.params["name"].removeprefix("/").rpartition("/")
    if not slash:
        raise ApiProblem(409, "Conflict, cannot remove the default link name of the container")
    found = await call.gateway.finder.container(call.environment, owner)
    revision = call.cluster.snapshot().get(Revision, found.unit.revision) if found.unit is not None else None
    if found.unit is None or revision is None or not revision.spec.links:
        await forward(call, Asked(host=HostId(found.host.id), path=f"/containers/{owner}/{alias}"))
        return None
    id = found.unit.id

    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        unit = snapshot.get(Unit, id)
        gone = unit is None or not unit.standalone
        return ([] if unit is None or gone else unlink(snapshot, unit, alias, call.cluster.world.now_s())), None

    await call.cluster.commit(decide)
    return Answer(204)
