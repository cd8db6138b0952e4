"""Images of the cluster: what any host has. Calls on one go to a host that has it, changes to all that have it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from paddock.core.images.reference import retagged, tagged
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.cluster import ImageOf
from paddock.gateway.credentials import auth_for
from paddock.gateway.forward import Asked, forward
from paddock.gateway.hosts import answered
from paddock.gateway.image_finding import (
    arrived,
    bring_image,
    checked_reference,
    each_holder,
    image_hosts,
    names_on,
    registry_host,
)
from paddock.gateway.listing import refuse_if_all_did
from paddock.gateway.problems import ApiProblem
from paddock.gateway.pruning import pruned_on_engines
from paddock.gateway.router import Router
from paddock.model.objects import Host, HostId

Json = dict[str, Any]
NO_TAG, NO_DIGEST = "<none>:<none>", "<none>@<none>"


def register(router: Router) -> None:
    router.add("GET", "/images/json", listed)
    router.add("GET", "/images/search", anywhere)
    router.add("GET", "/images/get", saved_together)
    router.add("POST", "/images/prune", prune)
    router.add("GET", "/distribution/{name:path}/json", distribution)
    router.add("GET", "/images/{name:path}/json", passed_on)
    router.add("GET", "/images/{name:path}/history", passed_on)
    router.add("GET", "/images/{name:path}/get", passed_on)
    router.add("POST", "/images/{name:path}/push", push)
    router.add("POST", "/images/{name:path}/tag", tag)
    router.add("DELETE", "/images/{name:path}", remove)


# Listing


async def listed(call: Call) -> Answer:
    query = {name: values[0] for name, values in call.head.query.items()}
    hosts = call.gateway.hosts.reachable(call.environment)

    async def ask(host: Host) -> list[Json]:
        found: list[Json] = await call.cluster.engine(HostId(host.id)).json("GET", "/images/json", query=query)
        return found

    told = await call.gateway.hosts.ask_each(hosts, ask)
    refuse_if_all_did(told)
    merged = merged_images([found for _, found in answered(told)])

    def means(name: str) -> str:
        holders = call.cluster.images.holders(call.environment, name)
        return holders[0].image.id if holders else ""

    return Answer(200, names_told_apart(merged, means) if len(hosts) > 1 else merged)


def merged_images(lists: Iterable[list[Json]]) -> list[Json]:
    """One entry for each id, with all its names; the newest first."""
    merged: dict[str, Json] = {}
    for image in (image for found in lists for image in found):
        before = merged.setdefault(image["Id"], image)
        if before is not image:
            merged[image["Id"]] = {
                **before,
                "RepoTags": _together(before.get("RepoTags"), image.get("RepoTags"), NO_TAG),
                "RepoDigests": _together(before.get("RepoDigests"), image.get("RepoDigests"), NO_DIGEST),
                "Containers": _sum(before.get("Containers", -1), image.get("Containers", -1)),
            }
    return sorted(merged.values(), key=lambda image: (-int(image.get("Created") or 0), image["Id"]))


def _together(one: list[str] | None, other: list[str] | None, none: str) -> list[str]:
    """An image without a name on one host has the names it has on another."""
    names = sorted(dict.fromkeys(name for name in [*(one or ()), *(other or ())] if name != none))
    return names or ([none] if none in [*(one or ()), *(other or ())] else [])


def _sum(one: int, other: int) -> int:
    return one + other if one >= 0 and other >= 0 else -1


def names_told_apart(images: list[Json], means: Any) -> list[Json]:
    """A name that two images have on different hosts is that of the one which `means` says."""
    seen: dict[str, int] = {}
    for image in images:
        for name in image.get("RepoTags") or ():
            seen[name] = seen.get(name, 0) + 1
    doubled = {name: means(name) for name, count in seen.items() if count > 1 and name != NO_TAG}
    if not doubled:
        return images

    def own(image: Json) -> list[str]:
        return [name for name in image.get("RepoTags") or () if doubled.get(name, image["Id"]) == image["Id"]]

    return [{**image, "RepoTags": own(image)} for image in images]


# Calls on one image


async def passed_on(call: Call) -> None:
    held = (await image_hosts(call, call.params["name"]))[0]
    await forward(call, Asked(host=HostId(held.host.id)))


async def anywhere(call: Call) -> None:
    """What registries say, every engine can be asked for; credentials pass with the request and stay nowhere."""
    await forward(call, Asked(host=HostId(call.gateway.hosts.any(call.environment).id)))


async def distribution(call: Call) -> None:
    name = call.params["name"]
    host = registry_host(call, name) or call.gateway.hosts.any(call.environment)
    await forward(call, Asked(host=HostId(host.id), instead=auth_for(call, name)))


async def push(call: Call) -> None:
    """From a host that has it; what none has, an engine refuses. Credentials pass with the request and stay nowhere."""
    name = call.params["name"]
    image = retagged(name, call.head.asked("tag"))
    holders = call.cluster.images.holders(call.environment, image)
    host = registry_host(call, name)
    if host is not None and holders:
        await bring_image(call, host, image)
    if host is None:
        host = holders[0].host if holders else call.gateway.hosts.any(call.environment)
    await forward(call, Asked(host=HostId(host.id), instead=auth_for(call, name)))


async def saved_together(call: Call) -> None:
    """From one host that has all of them, or is brought what it lacks."""
    names = [name for value in call.head.query.get("names", ()) for name in value.split(",") if name]
    if not names:
        raise ApiProblem(400, "no image was named")
    have: dict[str, int] = {}
    hosts: dict[str, Host] = {}
    for name in names:
        for held in await image_hosts(call, name):
            hosts[held.host.id] = held.host
            have[held.host.id] = have.get(held.host.id, 0) + 1
    chosen = hosts[max(have, key=lambda host: (have[host], hosts[host].name))]
    for name in names:
        await bring_image(call, chosen, name)
    await forward(call, Asked(host=HostId(chosen.id)))


# Changes


async def tag(call: Call) -> Answer:
    """On every host that has the image; the name means no other image from then on."""
    repository, name = call.head.asked("repo"), call.head.asked("tag")
    checked_reference(f"{repository}:{name}" if name else repository)
    holders = await image_hosts(call, call.params["name"])
    before = {held.host.id: names_on(call, held.host) for held in holders}
    query = {"repo": repository} | ({"tag": name} if name else {})
    await each_holder(call, holders, "POST", f"/images/{holders[0].image.id}/tag", query)
    for held in holders:
        await arrived(call, held.host, before[held.host.id])
    return Answer(201)


async def remove(call: Call) -> Answer:
    name = call.params["name"]
    holders = await image_hosts(call, name)
    query = {key: values[0] for key, values in call.head.query.items()}
    users = await _users(call, holders)
    rest = [held for held in holders if held not in users]
    found: list[list[Json] | None] = []
    try:
        for held in users:
            found += await each_holder(call, [held], "DELETE", f"/images/{name}", query)
        if rest:
            found += await each_holder(call, rest, "DELETE", f"/images/{name}", query)
    finally:
        for held in holders:
            await call.cluster.images.refresh(HostId(held.host.id))
    return Answer(200, without_doubles(found))


async def _users(call: Call, holders: list[ImageOf]) -> list[ImageOf]:
    """Those with containers of it. They are asked first: should one refuse, nothing was removed anywhere."""
    if len(holders) < 2:
        return []
    filters = msgspec.json.encode({"ancestor": [holders[0].image.id]}).decode()

    async def ask(host: Host) -> bool:
        engine = call.cluster.engine(HostId(host.id))
        return bool(await engine.json("GET", "/containers/json", query={"all": 1, "filters": filters}))

    told = answered(await call.gateway.hosts.ask_each([held.host for held in holders], ask))
    using = {host.id for host, uses in told if uses}
    return [held for held in holders if held.host.id in using]


def without_doubles(lists: Iterable[list[Json] | None]) -> list[Json]:
    lines = [tuple(sorted(line.items())) for found in lists for line in found or ()]
    return [dict(line) for line in dict.fromkeys(lines)]


async def prune(call: Call) -> Answer:
    """Everywhere. Said to be gone is what no host has any more; space is what came free on all hosts together."""
    filters = call.head.asked("filters")
    query = {"filters": filters} if filters else {}
    pruned = await pruned_on_engines(call, "/images/prune", "ImagesDeleted", query)
    await call.gateway.hosts.ask_each(pruned.hosts, lambda host: call.cluster.images.refresh(HostId(host.id)))
    gone = [line for line in without_doubles([pruned.deleted]) if not _still_there(call, line)]
    return Answer(200, {"ImagesDeleted": gone or None, "SpaceReclaimed": pruned.reclaimed_bytes})


def _still_there(call: Call, line: Json) -> bool:
    name = str(line.get("Untagged") or line.get("Deleted") or "")
    return bool(name) and bool(call.cluster.images.holders(call.environment, tagged(name)))
