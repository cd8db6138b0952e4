"""Images coming in: pulled, imported, loaded, committed. Each comes to one host, and so to the cluster."""

from __future__ import annotations

import msgspec

from paddock.core.images.reference import parse, retagged
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.containers import found_container
from paddock.gateway.credentials import auth_for
from paddock.gateway.forward import Asked, forward
from paddock.gateway.image_finding import arrived, host_for_images, names_on, registry_host
from paddock.gateway.problems import ApiProblem
from paddock.gateway.router import Router
from paddock.model.errors import PaddockError, UserError
from paddock.model.objects import Host, HostId

COMMIT_TIMEOUT_S = 600.0


def register(router: Router) -> None:
    router.add("POST", "/images/create", create)
    router.add("POST", "/images/load", load)
    router.add("POST", "/commit", commit)


async def come_to(call: Call, host: Host, asked: Asked) -> None:
    """Passed on to that host; before the client hears the end, the cluster knows what is there now."""
    before = names_on(call, host)

    async def finish() -> None:
        await known_from_now_on(call, host, before)

    await forward(call, msgspec.structs.replace(asked, finish=finish))


async def known_from_now_on(call: Call, host: Host, before: dict[str, str]) -> None:
    """Trouble is logged only: the agent tells of it all the same, a moment later."""
    try:
        await arrived(call, host, before)
    except PaddockError as error:
        call.cluster.world.log.warning("what came to a host is not known yet", host=host.name, error=str(error))


async def create(call: Call) -> None:
    """A pull goes where the image is already, to be renewed there; what comes new goes where there is room."""
    host = _place(call)
    image = call.head.asked("fromImage")
    await come_to(call, host, Asked(host=HostId(host.id), instead=auth_for(call, image) if image else ()))


def _place(call: Call) -> Host:
    name, tag = call.head.asked("fromImage"), call.head.asked("tag")
    if not name:
        return host_for_images(call)
    try:
        parse(name)
    except UserError as error:
        raise ApiProblem(400, "invalid reference format") from error
    if (host := registry_host(call, name)) is not None:
        return host
    holders = call.cluster.images.holders(call.environment, retagged(name, tag))
    return holders[0].host if holders else host_for_images(call)


async def load(call: Call) -> None:
    host = host_for_images(call)
    await come_to(call, host, Asked(host=HostId(host.id)))


async def commit(call: Call) -> Answer:
    call.params["name"] = call.head.asked("container")
    if not call.params["name"]:
        raise ApiProblem(400, "no container was named")
    found = await found_container(call)
    query = {name: values[0] for name, values in call.head.query.items()} | {"container": found.engine_name}
    if "changes" in call.head.query:
        query["changes"] = "\n".join(call.head.query["changes"])
    before = names_on(call, found.host)
    engine = call.cluster.engine(HostId(found.host.id))
    made = await engine.call("POST", "/commit", query=query, body=await call.json(), timeout_s=COMMIT_TIMEOUT_S)
    await arrived(call, found.host, before)
    return Answer(made.status, made.json())
