"""From an image's name to the hosts that have it, and the other way round: from a host to having an image there."""

from __future__ import annotations

from typing import Any

from paddock.core.images.reference import parse, registry_of, tagged
from paddock.core.schedule.ports import ANY_ADDRESS, claims
from paddock.gateway.call import Call
from paddock.gateway.cluster import ImageOf
from paddock.gateway.credentials import auth_for
from paddock.gateway.hosts import answered
from paddock.gateway.problems import ApiProblem, no_such
from paddock.model.errors import PaddockError, UserError
from paddock.model.objects import Host, HostId, Revision, Unit
from paddock.wire.engine_errors import EngineError, EngineNotFound

UNTAG_TIMEOUT_S = 30.0
PULL_SILENCE_S = 300.0


async def image_hosts(call: Call, name: str) -> list[ImageOf]:
    """Hosts with that very image, never none. What agents have not told of yet is asked of the engines.

    Raises `ApiProblem` (404).
    """
    if found := call.cluster.images.holders(call.environment, name):
        return list(found)
    await _ask_engines(call, name)
    if found := call.cluster.images.holders(call.environment, name):
        return list(found)
    raise no_such("image", tagged(name))


async def _ask_engines(call: Call, name: str) -> None:
    async def ask(host: Host) -> None:
        try:
            await call.cluster.engine(HostId(host.id)).json("GET", f"/images/{name}/json")
        except EngineNotFound:
            return
        except EngineError as error:
            raise ApiProblem(error.status, error.message) from error
        await call.cluster.images.refresh(HostId(host.id))

    told = await call.gateway.hosts.ask_each(call.gateway.hosts.reachable(call.environment), ask)
    refusals = [answer for _, answer in told if isinstance(answer, ApiProblem) and answer.status == 400]
    if refusals and not call.cluster.images.holders(call.environment, name):
        raise refusals[0]


async def require_image(call: Call, name: str) -> None:
    """Raises `ApiProblem` (404) when no host has it: clients then pull it and come again."""
    if not name:
        raise ApiProblem(400, "no image was given")
    await image_hosts(call, name)


async def bring_image(call: Call, host: Host, name: str) -> None:
    """Returns when that host has it. Raises `PaddockError`, 404 when no host has it."""
    holders = await image_hosts(call, name)
    if any(held.host.id == host.id for held in holders):
        return
    if "@" in name:
        await _pulled(call, host, name)
        return
    try:
        brought = await call.cluster.images.bring(name, host, lambda words: None)
    except PaddockError as error:
        raise ApiProblem(500, f"{name} could not be brought to host {host.name}: {error.message}") from error
    if not brought:
        raise no_such("image", tagged(name))


async def _pulled(call: Call, host: Host, name: str) -> None:
    """Names with a digest come from registries only. Raises `ApiProblem`."""
    repository, _, digest = name.partition("@")
    query = {"fromImage": tagged(repository).rpartition(":")[0], "tag": digest}
    engine = call.cluster.engine(HostId(host.id))
    headers = auth_for(call, name)
    pulling = engine.stream("POST", "/images/create", query=query, headers=headers, idle_timeout_s=PULL_SILENCE_S)
    async with pulling as answer:
        async for line in answer.json_lines():
            if "error" in line:
                raise ApiProblem(500, f"{name} could not be pulled on host {host.name}: {line['error']}")
    await call.cluster.images.refresh(HostId(host.id))


def host_for_images(call: Call) -> Host:
    """Where a new image goes: the host with the least on it, which is where its container is likely to go."""
    hosts = call.gateway.hosts.reachable(call.environment)
    willing = [host for host in hosts if host.availability == "active"] or hosts
    if not willing:
        return call.gateway.hosts.any(call.environment)
    snapshot = call.cluster.snapshot()
    busy = {host.id: sum(unit.live for unit in snapshot.units_on_host(HostId(host.id))) for host in willing}
    return min(willing, key=lambda host: (busy[host.id], host.name))


def registry_host(call: Call, name: str) -> Host | None:
    """`localhost:5000/app` means the host where a container of the cluster is the registry; None when there is none."""
    address, colon, port = registry_of(name).rpartition(":")
    if not colon or not port.isdigit() or not (address == "localhost" or address.startswith("127.")):
        return None
    snapshot = call.cluster.snapshot()
    for host in call.gateway.hosts.reachable(call.environment):
        for unit in snapshot.units_on_host(HostId(host.id)):
            revision = snapshot.get(Revision, unit.revision)
            if revision is not None and unit.live and _publishes(unit, revision, address, int(port)):
                return host
    return None


def _publishes(unit: Unit, revision: Revision, address: str, port: int) -> bool:
    """As it was wished, or as its engine chose."""
    here = ("", *ANY_ADDRESS, "127.0.0.1" if address == "localhost" else address)
    wished = any(
        claim.single and claim.first == port and claim.protocol == "tcp" and claim.address in here
        for claim in claims(revision.spec)
    )
    bound = [text.partition("->")[0].rpartition(":") for status in unit.containers for text in status.ports]
    return wished or any(number == str(port) and at.strip("[]") in here for at, _, number in bound)


def names_on(call: Call, host: Host) -> dict[str, str]:
    """Name -> image id."""
    return {name: image.id for image in call.cluster.images.on_host(HostId(host.id)) for name in image.names}


async def arrived(call: Call, host: Host, before: dict[str, str]) -> None:
    """After something was done to that host's images: names that mean another image now mean it in the cluster.

    Elsewhere they are taken off the images that had them; the images stay as long as containers need them.
    """
    await call.cluster.images.refresh(HostId(host.id))
    moved = {name: id for name, id in names_on(call, host).items() if before.get(name) != id and "@" not in name}
    for other in call.gateway.hosts.reachable(call.environment) if moved else ():
        if other.id != host.id:
            await _give_up_names(call, other, moved)


async def _give_up_names(call: Call, host: Host, moved: dict[str, str]) -> None:
    stale = [name for name, id in names_on(call, host).items() if name in moved and moved[name] != id]
    engine = call.cluster.engine(HostId(host.id))
    for name in stale:
        try:
            await engine.call("DELETE", f"/images/{name}", query={"force": 1, "noprune": 1}, timeout_s=UNTAG_TIMEOUT_S)
        except PaddockError as error:
            call.cluster.world.log.warning("an old image keeps its name", image=name, host=host.name, error=str(error))
    if stale:
        await call.cluster.images.refresh(HostId(host.id))


def checked_reference(name: str) -> None:
    """Raises `ApiProblem` (400) in the engine's words."""
    try:
        parse(name)
    except UserError as error:
        raise ApiProblem(400, "invalid reference format") from error


async def each_holder(call: Call, holders: list[ImageOf], method: str, path: str, query: Any) -> list[Any]:
    """The same on every host that has it. Raises the refusal of a host unless it does not know the image any more."""

    async def ask(host: Host) -> Any:
        return await call.cluster.engine(HostId(host.id)).json(method, path, query=query, timeout_s=120.0)

    told = await call.gateway.hosts.ask_each([held.host for held in holders], ask, timeout_s=130.0)
    errors = [(host, answer) for host, answer in told if isinstance(answer, PaddockError)]
    for _, error in errors:
        if not isinstance(error, EngineNotFound):
            raise error
    if len(errors) == len(told):
        raise errors[0][1]
    return [answer for _, answer in answered(told)]
