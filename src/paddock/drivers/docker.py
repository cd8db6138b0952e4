"""The Docker Engine, through its API on any stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, assert_never

import msgspec

from paddock.drivers.docker_body import (
    connect_body,
    create_body,
    network_body,
    observed,
    same_network,
    seconds,
    split_image,
)
from paddock.drivers.docker_endings import Endings
from paddock.drivers.docker_pull import PullProgress, pull_error
from paddock.drivers.engine import EngineFacts, ImageMissing, NameTaken, NetworkHeld, Say, StepRefused, say_nothing
from paddock.model.assignment import ContainerAssignment
from paddock.model.errors import PaddockError, Transient
from paddock.model.images import HeldImage
from paddock.model.objects import NetworkId, VolumeId
from paddock.model.observed import NETWORK_LABEL, UNIT_LABEL, VOLUME_LABEL, ObservedContainer
from paddock.model.steps import (
    AnyStep,
    ConnectNetwork,
    CreateContainer,
    EnsureNetwork,
    EnsureVolume,
    PointResolver,
    PrepareContainer,
    PullImage,
    RefuseUnit,
    RemoveContainer,
    RemoveNetwork,
    RemoveVolume,
    RenameContainer,
    StartContainer,
    StopContainer,
)
from paddock.wire.engine_errors import EngineBadRequest, EngineConflict, EngineError, EngineNotFound, EngineUnreachable
from paddock.wire.engine_http import EngineHttp
from paddock.wire.engine_images import held_images
from paddock.world.world import World

STARTS_AT_A_TIME = 4
"""8 at once start hardly more per second than 4 and double the latency of each."""
CREATES_AT_A_TIME = 8
INSPECTS_AT_A_TIME = 8
PULLS_AT_A_TIME = 3
CREATE_TIMEOUT_S = 120.0
START_TIMEOUT_S = 120.0
REMOVE_TIMEOUT_S = 120.0
NETWORK_TIMEOUT_S = 60.0
PULL_SILENCE_S = 300.0
STOP_SLACK_S = 30.0
EVENTS_OVERLAP_S = 2.0
"""Events are asked for from a little before now: the engine answers before it has subscribed us."""

ENGINES_NAMESERVER = "127.0.0.11"

_EVENTS = (
    "create", "start", "kill", "die", "oom", "stop", "destroy", "rename", "pause", "unpause", "restart", "update",
    "health_status",
)  # fmt: skip
_IMAGE_EVENTS = ("pull", "load", "import", "tag", "untag", "delete", "commit")
_PASSING = (
    "context canceled", "context deadline exceeded", "transport is closing", "ttrpc: closed", "connection refused",
    "shutting down", "is marked for removal", "removal of container", "connection error",
)  # fmt: skip
"""Words of an engine that is going down, coming up, or busy with the same container."""


class DockerEngine:
    """An `Engine` on `http`; bounds how much is asked of it at a time."""

    def __init__(self, http: EngineHttp, world: World) -> None:
        self._http = http
        self._world = world
        self._starts = asyncio.Semaphore(STARTS_AT_A_TIME)
        self._creates = asyncio.Semaphore(CREATES_AT_A_TIME)
        self._inspects = asyncio.Semaphore(INSPECTS_AT_A_TIME)
        self._pulls = asyncio.Semaphore(PULLS_AT_A_TIME)
        self._pulling: dict[str, asyncio.Lock] = {}
        self._minded: dict[str, None] = {}
        self._endings = Endings()

    # What is there

    async def facts(self) -> EngineFacts:
        info, version = await self._http.json("GET", "/info"), await self._http.json("GET", "/version")
        labels = dict(label.partition("=")[::2] for label in info.get("Labels") or ())
        return EngineFacts(
            version=version["Version"],
            api_version=version["ApiVersion"],
            engine_id=info["ID"],
            os=info["OperatingSystem"],
            kernel=info["KernelVersion"],
            architecture=info["Architecture"],
            cpus=info["NCPU"],
            memory_bytes=info["MemTotal"],
            labels=labels,
        )

    async def containers(self) -> tuple[ObservedContainer, ...]:
        query: dict[str, str | bool] = {"all": True, "filters": _filters(label=[UNIT_LABEL])}
        listed = await self._http.json("GET", "/containers/json", query=query)
        ids = dict.fromkeys([*(entry["Id"] for entry in listed), *self._minded])
        found = await asyncio.gather(*map(self.inspect, ids))
        return tuple(container for container in found if container is not None)

    def mind(self, container: str) -> None:
        self._minded[container] = None

    async def inspect(self, container: str) -> ObservedContainer | None:
        async with self._inspects:
            try:
                found = await self._http.json("GET", f"/containers/{container}/json")
                return observed(found, interrupted=self._endings.interrupted(found))
            except EngineNotFound:
                return None
            except EngineError as error:
                raise Transient(f"inspecting container {container[:12]}: {error}") from error

    async def follow(self) -> AsyncIterator[str]:
        query = {
            "since": f"{self._world.now_s() - EVENTS_OVERLAP_S:.3f}",
            "filters": _filters(type=["container"], event=list(_EVENTS)),
        }
        try:
            async with self._http.stream("GET", "/events", query=query) as answer:
                self._endings.engine_started_s = await self._engine_started_s()
                yield ""
                async for event in answer.json_lines():
                    actor = event["Actor"]
                    self._endings.note(event)
                    if actor["ID"] in self._minded or UNIT_LABEL in (actor.get("Attributes") or {}):
                        yield actor["ID"]
        finally:
            self._http.forget()
        raise EngineUnreachable("the engine ended its stream of events")

    async def _engine_started_s(self) -> float:
        """It makes its own bridge anew whenever it starts; 0.0 where it has none."""
        try:
            bridge = await self._http.json("GET", "/networks/bridge")
        except EngineNotFound:
            return 0.0
        except EngineError as error:
            raise Transient(f"looking at the engine's bridge: {error}") from error
        return seconds(bridge.get("Created", ""))

    async def networks(self) -> dict[NetworkId, str]:
        found = await self._http.json("GET", "/networks", query={"filters": _filters(label=[NETWORK_LABEL])})
        return {NetworkId(network["Labels"][NETWORK_LABEL]): network["Name"] for network in found}

    async def volumes(self) -> dict[VolumeId, str]:
        found = await self._http.json("GET", "/volumes", query={"filters": _filters(label=[VOLUME_LABEL])})
        return {VolumeId(volume["Labels"][VOLUME_LABEL]): volume["Name"] for volume in found["Volumes"] or ()}

    async def images(self, known: Mapping[str, HeldImage]) -> dict[str, HeldImage]:
        try:
            return await held_images(self._http, known)
        except EngineError as error:
            raise Transient(f"listing images: {error}") from error

    async def has_image(self, image: str) -> bool:
        try:
            await self._http.call("GET", f"/images/{image}/json")
        except EngineNotFound:
            return False
        except EngineError as error:
            raise _passing_or_refused(error) from error
        return True

    async def follow_images(self) -> AsyncIterator[None]:
        query = {
            "since": f"{self._world.now_s() - EVENTS_OVERLAP_S:.3f}",
            "filters": _filters(type=["image", "container"], event=list(_IMAGE_EVENTS)),
        }
        async with self._http.stream("GET", "/events", query=query) as answer:
            yield
            async for _ in answer.lines():
                yield
        raise EngineUnreachable("the engine ended its stream of events")

    # What is done

    async def apply(self, step: AnyStep, say: Say = say_nothing) -> str:
        try:
            return await self._apply(step, say)
        except EngineError as error:
            raise _passing_or_refused(error) from error

    async def _apply(self, step: AnyStep, say: Say) -> str:
        match step:
            case CreateContainer():
                return await self._create(step)
            case PrepareContainer():
                raise StepRefused("what a container needs is prepared by the keeper, not by the engine")
            case PullImage():
                await self._pull(step, say)
            case ConnectNetwork():
                await self._connect(step)
            case PointResolver():
                await self._point_resolver(step)
            case StartContainer():
                await self._start(step)
            case StopContainer():
                await self._stop(step)
            case RemoveContainer():
                await self._remove(step)
            case RenameContainer():
                await self._rename(step)
            case EnsureNetwork():
                await self._ensure_network(step)
            case EnsureVolume():
                await self._ensure_volume(step)
            case RemoveNetwork():
                await self._remove_unused(f"/networks/{step.name}")
            case RemoveVolume():
                await self._remove_unused(f"/volumes/{step.name}")
            case RefuseUnit():
                raise StepRefused(step.reason)
            case _:
                assert_never(step)
        return ""

    async def _create(self, step: CreateContainer) -> str:
        container = step.container
        query: dict[str, str] = {"name": container.name}
        if container.platform:
            query["platform"] = container.platform
        async with self._creates:
            body = create_body(step, await self._http.negotiate())
            body["Image"] = await self._image_to_run(container)
            try:
                made = await self._http.json(
                    "POST", "/containers/create", query=query, body=body, timeout_s=CREATE_TIMEOUT_S
                )
            except EngineNotFound as error:
                if "no such image" in error.message.lower():
                    raise ImageMissing(error.message, container.image) from error
                raise
            except EngineConflict as error:
                if "already in use" in error.message:
                    raise NameTaken(error.message, container.name) from error
                raise
        return str(made["Id"])

    async def _image_to_run(self, container: ContainerAssignment) -> str:
        """By its name where that means the image that was built for it, so that it is shown with it; else by its id."""
        if not container.image_id:
            return container.image
        found = await self._found(f"/images/{container.image}/json")
        return container.image if found is not None and found.get("Id") == container.image_id else container.image_id

    async def _connect(self, step: ConnectNetwork) -> None:
        body = connect_body(step, await self._http.negotiate())
        path = f"/networks/{step.network}/connect"
        try:
            await self._http.call("POST", path, body=body, timeout_s=NETWORK_TIMEOUT_S)
        except EngineError as error:
            if "already exists in network" not in error.message:
                raise

    async def _point_resolver(self, step: PointResolver) -> None:
        """In the file itself: the engine has it mounted, so it may be written but not replaced."""
        found: dict[str, Any] = await self._http.json("GET", f"/containers/{step.container}/json")
        path = str(found.get("ResolvConfPath") or "")
        try:
            await asyncio.to_thread(point_resolver, Path(path), step.nameserver)
        except OSError as error:
            raise StepRefused(f"{path}, which says where names are asked for, cannot be written: {error}") from error

    async def _start(self, step: StartContainer) -> None:
        async with self._starts:
            try:
                await self._http.call("POST", f"/containers/{step.container}/start", timeout_s=START_TIMEOUT_S)
            except EngineNotFound as error:
                if "no such container" in error.message.lower():
                    raise Transient(error.message) from error
                raise

    async def _stop(self, step: StopContainer) -> None:
        query = {"t": round(step.grace_s)}
        path = f"/containers/{step.container}/stop"
        try:
            await self._http.call("POST", path, query=query, timeout_s=step.grace_s + STOP_SLACK_S)
        except EngineNotFound:
            return

    async def _remove(self, step: RemoveContainer) -> None:
        query = {"v": True, "force": True}
        try:
            await self._http.call("DELETE", f"/containers/{step.container}", query=query, timeout_s=REMOVE_TIMEOUT_S)
        except EngineNotFound:
            return
        except EngineConflict as error:
            raise Transient(error.message) from error

    async def _rename(self, step: RenameContainer) -> None:
        try:
            await self._http.call("POST", f"/containers/{step.container}/rename", query={"name": step.name})
        except (EngineNotFound, EngineConflict) as error:
            raise Transient(error.message) from error

    async def _pull(self, step: PullImage, say: Say) -> None:
        lock = self._pulling.setdefault(step.image, asyncio.Lock())
        try:
            async with lock, self._pulls:
                if step.always or not await self.has_image(step.image):
                    await self._fetch(step, say)
        finally:
            if not lock.locked():
                self._pulling.pop(step.image, None)

    async def _fetch(self, step: PullImage, say: Say) -> None:
        query = split_image(step.image)
        if step.platform:
            query["platform"] = step.platform
        headers = (("X-Registry-Auth", step.auth),) if step.auth else ()
        progress = PullProgress(step.image)
        try:
            async with self._http.stream(
                "POST", "/images/create", query=query, headers=headers, idle_timeout_s=PULL_SILENCE_S
            ) as answer:
                async for line in answer.json_lines():
                    if "error" in line:
                        raise pull_error(step.image, str(line["error"]), StepRefused)
                    if words := progress.hear(line):
                        say(words)
        except EngineError as error:
            raise pull_error(step.image, error.message, StepRefused) from error

    async def _ensure_network(self, step: EnsureNetwork) -> None:
        wanted = step.network
        found = await self._found(f"/networks/{wanted.engine_name}")
        if found is not None:
            labelled = (found.get("Labels") or {}).get(NETWORK_LABEL)
            if not labelled:
                raise StepRefused(
                    f"this host has a network {wanted.engine_name} of its own (driver {found.get('Driver')}): remove "
                    "or rename it, or give the network in the compose file another name"
                )
            if labelled == wanted.network and same_network(found, wanted):
                return
            await self._remove_network_of_before(found, wanted.engine_name)
        await self._http.call("POST", "/networks/create", body=network_body(wanted), timeout_s=NETWORK_TIMEOUT_S)

    async def _remove_network_of_before(self, found: dict[str, Any], name: str) -> None:
        """Raises `NetworkHeld`: an engine keeps a network as it is for as long as a container is on it."""
        try:
            await self._http.call("DELETE", f"/networks/{found['Id']}", timeout_s=NETWORK_TIMEOUT_S)
        except EngineError as error:
            on_it = ", ".join(sorted(str(one.get("Name")) for one in (found.get("Containers") or {}).values()))
            raise NetworkHeld(
                f"network {name} is to be made anew on this host (another gateway, MTU or option), and cannot while "
                f"containers of before are on it{f': {on_it}' if on_it else ''} ({error.message}); it is tried again, "
                "and `paddock restart` or `stop` of their services frees it"
            ) from error

    async def _ensure_volume(self, step: EnsureVolume) -> None:
        volume = step.volume
        if await self._found(f"/volumes/{volume.engine_name}") is not None:
            return
        body: dict[str, Any] = {
            "Name": volume.engine_name,
            "Driver": volume.driver or "local",
            "DriverOpts": volume.driver_opts,
            "Labels": {**volume.labels, VOLUME_LABEL: volume.volume},
        }
        await self._http.call("POST", "/volumes/create", body=body, timeout_s=NETWORK_TIMEOUT_S)

    async def _found(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self._http.json("GET", path)
        except EngineNotFound:
            return None
        return found

    async def _remove_unused(self, path: str) -> None:
        try:
            await self._http.call("DELETE", path, timeout_s=NETWORK_TIMEOUT_S)
        except EngineNotFound:
            return
        except EngineError as error:
            if error.status in (403, 409):
                raise Transient(error.message) from error
            raise


def _filters(**filters: list[str]) -> str:
    return msgspec.json.encode(filters).decode()


def _passing_or_refused(error: EngineError) -> PaddockError:
    lowered = error.message.lower()
    if not isinstance(error, EngineBadRequest) and any(words in lowered for words in _PASSING):
        return Transient(error.message)
    return StepRefused(error.message)


def point_resolver(path: Path, nameserver: str) -> None:
    """The nameserver first, the engine's own after it; options and the like stay."""
    lines = path.read_text().splitlines()
    ours = [f"nameserver {nameserver}", f"nameserver {ENGINES_NAMESERVER}"]
    kept = [line for line in lines if line.split()[:1] != ["nameserver"]]
    wanted = "\n".join([*ours, *kept]) + "\n"
    if path.read_text() != wanted:
        with path.open("r+") as file:
            file.write(wanted)
            file.truncate()
