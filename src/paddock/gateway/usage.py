"""`GET /system/df`: what all hosts use, added up."""

from __future__ import annotations

from typing import Any

from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.hosts import answered
from paddock.gateway.listing import Rewriting
from paddock.gateway.router import Router
from paddock.model.objects import Host, HostId

DF_TIMEOUT_S = 60.0
Json = dict[str, Any]


def register(router: Router) -> None:
    router.add("GET", "/system/df", usage)


async def usage(call: Call) -> Answer:
    query = {"type": call.head.query["type"][0]} if len(call.head.query.get("type", ())) == 1 else {}

    async def ask(host: Host) -> Json:
        engine = call.cluster.engine(HostId(host.id))
        found: Json = await engine.json("GET", "/system/df", query=query, timeout_s=DF_TIMEOUT_S)
        return found

    hosts = call.gateway.hosts.reachable(call.environment)
    told = answered(await call.gateway.hosts.ask_each(hosts, ask, DF_TIMEOUT_S))
    rewriting = Rewriting(call.cluster.snapshot(), call.environment)
    return Answer(200, merged_usage(told, rewriting))


def merged_usage(told: list[tuple[Host, Json]], rewriting: Rewriting) -> Json:
    """An image on several hosts is one image; containers, volumes and build cache are each their own."""
    images: dict[str, Json] = {}
    for _, found in told:
        for image in found.get("Images") or ():
            known = images.get(image["Id"])
            more = max(int(image.get("Containers") or 0), 0)
            images[image["Id"]] = image if known is None else {**known, "Containers": known["Containers"] + more}
    return {
        "LayersSize": sum(int(found.get("LayersSize") or 0) for _, found in told),
        "Images": list(images.values()),
        "Containers": [
            rewriting.listed(host, container) for host, found in told for container in found.get("Containers") or ()
        ],
        "Volumes": [volume for _, found in told for volume in found.get("Volumes") or ()],
        "BuildCache": [entry for _, found in told for entry in found.get("BuildCache") or ()],
    }
