"""Building: on one host of the environment, always the same while it is there, so that what it has built is at hand."""

from __future__ import annotations

from paddock.core.images.dockerfile import base_images
from paddock.core.images.session import SessionEar
from paddock.core.powers import check_powers
from paddock.gateway.arrivals import come_to, known_from_now_on
from paddock.gateway.call import Call
from paddock.gateway.client import Answer
from paddock.gateway.context import Context
from paddock.gateway.credentials import auths_for_build
from paddock.gateway.forward import Asked, forward
from paddock.gateway.image_finding import bring_image, host_for_images, names_on
from paddock.gateway.networks import OF_ENGINES, network_called
from paddock.gateway.problems import ApiProblem
from paddock.gateway.pruning import pruned_on_engines
from paddock.gateway.router import Router
from paddock.model.errors import PaddockError
from paddock.model.objects import Host, HostId


def register(router: Router) -> None:
    router.add("POST", "/build", build)
    router.add("POST", "/build/prune", prune)
    router.add("POST", "/build/cancel", cancel)
    router.add("POST", "/grpc", buildkit)
    router.add("POST", "/session", buildkit)


def builder(call: Call) -> Host:
    """Sessions of one build come on several connections that only share it."""
    chosen = call.gateway.builders.get(call.environment)
    for host in call.gateway.hosts.reachable(call.environment):
        if host.id == chosen:
            return host
    host = host_for_images(call)
    call.gateway.builders[call.environment] = HostId(host.id)
    return host


async def build(call: Call) -> None:
    check_powers(
        ["--network host"] if call.head.asked("networkmode") == "host" else [], privileged=call.caller.privileged
    )
    _check_network(call, call.head.asked("networkmode"))
    host = builder(call)
    comes_along = not call.head.asked("remote") and not call.head.asked("session")
    overheard = Context(call, host) if comes_along and not call.head.wants("pull") else None
    await come_to(call, host, Asked(host=HostId(host.id), overheard=overheard, instead=auths_for_build(call)))


def _check_network(call: Call, mode: str) -> None:
    """Raises `ApiProblem` for the cluster's, which would be there or not as containers come and go."""
    if mode in ("", "default", *OF_ENGINES) or mode.startswith("container:"):
        return
    network = network_called(call.cluster.snapshot(), call.environment, mode)
    raise ApiProblem(
        400,
        f"the steps of a build cannot join network {network.name}: networks of the cluster are for containers that it "
        "has placed. Build with --network default, host or none",
    )


async def cancel(call: Call) -> None:
    await forward(call, Asked(host=HostId(builder(call).id)))


async def buildkit(call: Call) -> None:
    """What comes of it cannot be seen from outside: when the connection has ended, the host is looked at.

    Nor what is asked: engines let a BuildKit build into the host's network, so a caller without that right has none.
    """
    check_powers(["BuildKit (DOCKER_BUILDKIT=0 builds without)"], privileged=call.caller.privileged)
    host = builder(call)
    before = names_on(call, host)
    passing = _Session(call, host).passing if call.path == "/session" else None
    await forward(call, Asked(host=HostId(host.id), hijack=True, versioned=False, passing=passing))
    if call.path == "/grpc":
        await known_from_now_on(call, host, before)


class _Session:
    """Base images that only other hosts have are there before the builder reads the Dockerfile that names them."""

    def __init__(self, call: Call, host: Host) -> None:
        self._call = call
        self._host = host
        self._ear = SessionEar()

    async def passing(self, data: bytes) -> None:
        for text in self._ear.feed(data):
            for image in base_images(text, {}):
                if self._call.cluster.images.holders(self._call.environment, image):
                    await self._bring(image)

    async def _bring(self, image: str) -> None:
        try:
            await bring_image(self._call, self._host, image)
        except PaddockError as error:
            self._call.cluster.world.log.info("a base image was not brought", image=image, reason=error.message)


async def prune(call: Call) -> Answer:
    query = {name: values[0] for name, values in call.head.query.items()}
    pruned = await pruned_on_engines(call, "/build/prune", "CachesDeleted", query)
    return Answer(200, {"CachesDeleted": pruned.deleted or None, "SpaceReclaimed": pruned.reclaimed_bytes})
