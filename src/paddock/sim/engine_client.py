"""A simulated engine as one agent process sees it: requests with timeouts, steps, events."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar, assert_never

from paddock.drivers.engine import EngineFacts, ImageMissing, NameTaken, NetworkHeld, Say, StepRefused, say_nothing
from paddock.model.errors import Transient
from paddock.model.images import HeldImage
from paddock.model.objects import NetworkId, VolumeId
from paddock.model.observed import ObservedContainer
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
from paddock.sim.container import Container, stop_s
from paddock.sim.engine import NOT_FOUND_YET, Events, SimulatedEngine

T = TypeVar("T")
ANSWER_TIMEOUT_S = 30.0
LONG_TIMEOUT_S = 120.0
STOP_SLACK_S = 30.0
MEMORY_BYTES = 8 << 30
CPUS = 4
OVERLAPS = "Pool overlaps with other one on this address space"


class EngineClient:
    """An `Engine`."""

    def __init__(self, engine: SimulatedEngine, group: asyncio.TaskGroup, alive: Callable[[], bool]) -> None:
        self._engine = engine
        self._group = group
        self._alive = alive
        self._minded: dict[str, None] = {}
        self.on_harm: Callable[[Container], None] = lambda container: None

    async def _asked(self, work: Coroutine[Any, Any, T], timeout_s: float = ANSWER_TIMEOUT_S) -> T:
        if not self._alive():
            work.close()
            raise asyncio.CancelledError
        if self._engine.state == "down":
            work.close()
            await asyncio.sleep(0.001)
            raise Transient(f"the engine of {self._engine.name} is not there")
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._engine.request(work, self._group))
        except TimeoutError:
            raise Transient(f"the engine of {self._engine.name} has not answered for {timeout_s:.0f} s") from None

    async def facts(self) -> EngineFacts:
        return await self._asked(self._facts())

    async def _facts(self) -> EngineFacts:
        await self._engine.pace(0.001, 0.01)
        return EngineFacts(
            version="24.0.7", api_version="1.43", engine_id=self._engine.name, os="simulated", kernel="6.1",
            architecture="x86_64", cpus=CPUS, memory_bytes=MEMORY_BYTES,
        )  # fmt: skip

    async def containers(self) -> tuple[ObservedContainer, ...]:
        return await self._asked(self._containers())

    def mind(self, container: str) -> None:
        self._minded[container] = None

    async def _containers(self) -> tuple[ObservedContainer, ...]:
        """As the real driver does: a list of ids first, then one look at each, and the world moves in between."""
        await self._engine.pace(0.002, 0.02)
        there = self._engine.containers.values()
        ids = [one.id for one in there if one.unit is not None or one.id in self._minded]
        self._engine.chance.shuffle(ids)
        await self._engine.pace(0.002, 0.02)
        found = [self._engine.containers[id] for id in ids if id in self._engine.containers]
        return tuple(container.observed() for container in found)

    async def inspect(self, container: str) -> ObservedContainer | None:
        return await self._asked(self._inspect(container))

    async def _inspect(self, name_or_id: str) -> ObservedContainer | None:
        await self._engine.pace(0.001, 0.01)
        found = self._engine.find(name_or_id)
        seen = found.observed() if found is not None else None
        await self._engine.pace(0.0005, 0.005)
        return seen

    def follow(self) -> AsyncIterator[str]:
        return _Following(self._engine)

    async def networks(self) -> dict[NetworkId, str]:
        return await self._asked(self._networks())

    async def _networks(self) -> dict[NetworkId, str]:
        await self._engine.pace(0.001, 0.01)
        return {network.wanted.network: name for name, network in self._engine.networks.items()}

    async def volumes(self) -> dict[VolumeId, str]:
        return await self._asked(self._volumes())

    async def _volumes(self) -> dict[VolumeId, str]:
        await self._engine.pace(0.001, 0.01)
        return {VolumeId(id): name for name, id in self._engine.volumes.items() if id}

    async def images(self, known: Mapping[str, HeldImage]) -> dict[str, HeldImage]:
        """None to copy to others: that takes byte streams, which are not simulated. All images are in a registry."""
        del known
        return await self._asked(self._no_images())

    async def _no_images(self) -> dict[str, HeldImage]:
        await self._engine.pace(0.001, 0.01)
        return {}

    async def has_image(self, image: str) -> bool:
        return await self._asked(self._has_image(image))

    async def _has_image(self, image: str) -> bool:
        await self._engine.pace(0.001, 0.01)
        return image in self._engine.images

    async def follow_images(self) -> AsyncIterator[None]:
        """With the containers' events: a pull is always followed by some."""
        async for _ in _Following(self._engine):
            yield

    # Steps

    async def apply(self, step: AnyStep, say: Say = say_nothing) -> str:
        timeout_s = step.grace_s + STOP_SLACK_S if isinstance(step, StopContainer) else LONG_TIMEOUT_S
        return await self._asked(self._apply(step, say), timeout_s)

    async def _apply(self, step: AnyStep, say: Say) -> str:
        await self._engine.pace(0.001, 0.02)
        self._maybe_refuse(step)
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
                await self._engine.pace(0.001, 0.01)
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
                await self._engine.pace(0.005, 0.05)
                self._engine.volumes.setdefault(step.volume.engine_name, step.volume.volume)
            case RemoveNetwork():
                await self._remove_network(step)
            case RemoveVolume():
                await self._remove_volume(step)
            case RefuseUnit():
                raise StepRefused(step.reason)
            case _:
                assert_never(step)
        return ""

    def _maybe_refuse(self, step: AnyStep) -> None:
        if self._engine.chance.random() >= self._engine.refusals:
            return
        if isinstance(step, CreateContainer | StartContainer) and self._engine.chance.random() < 0.3:
            raise StepRefused("OCI runtime create failed: the simulator wished so")
        raise Transient("rpc error: transport is closing")

    async def _create(self, step: CreateContainer) -> str:
        asked, engine = step.container, self._engine
        await engine.pace(0.02, 0.3)
        if not engine.has_image(asked.image):
            raise ImageMissing(f"No such image: {asked.image}", asked.image)
        if engine.find(asked.name) is not None:
            raise NameTaken(f'The container name "/{asked.name}" is already in use', asked.name)
        made = Container(
            id=engine.new_id(),
            name=asked.name,
            image=asked.image,
            unit=step.unit,
            role=asked.role,
            body=copy.deepcopy(asked.body),
            mode=asked.network_mode,
        )
        for endpoint in asked.endpoints[:1]:
            name = step.networks[endpoint.network].engine_name
            there = engine.networks.get(name)
            made.networks[name] = (there.number if there else NOT_FOUND_YET, endpoint.ipv4)
        for volume in made.volumes:
            engine.volumes.setdefault(volume, "")
        engine.add(made)
        await engine.pace(0.005, 0.05)
        return made.id

    async def _pull(self, step: PullImage, say: Say) -> None:
        engine = self._engine
        if not step.always and engine.has_image(step.image):
            return
        for part in ("pulling", "extracting"):
            say(f"{part} {step.image}")
            await engine.pace(0.2, 3.0)
            if engine.registry_down:
                raise Transient("the registry does not answer")
        if not engine.can_be_pulled(step.image):
            raise StepRefused(f"pull access denied for {step.image}")
        engine.images[step.image] = None

    async def _connect(self, step: ConnectNetwork) -> None:
        container = self._engine.find(step.container)
        await self._engine.pace(0.005, 0.05)
        network = self._engine.networks.get(step.network)
        if container is None or network is None:
            raise StepRefused(f"network {step.network} or container {step.container[:12]} not found")
        container.networks.setdefault(step.network, (network.number, step.ipv4))
        self._engine.tell(container)

    async def _start(self, step: StartContainer) -> None:
        await self._engine.pace(0.03, 0.5)
        container = self._engine.find(step.container)
        if container is None or container.state == "removing":
            raise Transient(f"No such container: {step.container}")
        if container.running:
            return
        if why := self._engine.start_now(container):
            raise StepRefused(why)
        await self._engine.pace(0.005, 0.05)

    async def _stop(self, step: StopContainer) -> None:
        container = self._engine.find(step.container)
        if container is None or not (container.running or container.state == "restarting"):
            return
        self.on_harm(container)
        container.told_to_stop = True
        if container.state == "restarting":
            container.state = "exited"
            self._engine.tell(container)
            return
        run = container.run
        takes_s, code = stop_s(container.image, step.grace_s, self._engine.chance)
        await self._engine.pace(takes_s, takes_s + 0.01)
        if container.running and container.run == run:
            self._engine.end(container, code)

    async def _remove(self, step: RemoveContainer) -> None:
        container = self._engine.find(step.container)
        if container is None:
            return
        if container.state == "removing":
            raise Transient(f"removal of container {container.id} is already in progress")
        self.on_harm(container)
        if container.running:
            container.told_to_stop = True
            self._engine.end(container, 137)
        container.state = "removing"
        self._engine.tell(container)
        await self._engine.pace(0.01, 0.2)
        self._engine.remove_now(container)

    async def _rename(self, step: RenameContainer) -> None:
        await self._engine.pace(0.002, 0.02)
        container = self._engine.find(step.container)
        if container is None or self._engine.find(step.name) is not None:
            raise Transient(f"{step.container[:12]} cannot be renamed to {step.name}")
        container.name = step.name
        self._engine.tell(container)

    async def _ensure_network(self, step: EnsureNetwork) -> None:
        wanted, engine = step.network, self._engine
        await engine.pace(0.01, 0.2)
        found = engine.networks.get(wanted.engine_name)
        if found is not None:
            if found.wanted == wanted:
                return
            if engine.attached(wanted.engine_name):
                raise NetworkHeld(f"error while removing network: {wanted.engine_name} has active endpoints")
            del engine.networks[wanted.engine_name]
            await engine.pace(0.005, 0.05)
        if engine.overlapping(wanted):
            raise StepRefused(OVERLAPS)
        engine.new_network(wanted)

    async def _remove_network(self, step: RemoveNetwork) -> None:
        await self._engine.pace(0.01, 0.1)
        if self._engine.attached(step.name):
            raise Transient(f"network {step.name} has active endpoints")
        self._engine.networks.pop(step.name, None)

    async def _remove_volume(self, step: RemoveVolume) -> None:
        await self._engine.pace(0.01, 0.1)
        if any(step.name in container.volumes for container in self._engine.containers.values()):
            raise Transient(f"volume {step.name} is in use")
        self._engine.volumes.pop(step.name, None)


class _Following:
    """The engine's events, from "" on."""

    def __init__(self, engine: SimulatedEngine) -> None:
        self._engine = engine
        self._events: Events | None = None

    def __aiter__(self) -> _Following:
        return self

    async def __anext__(self) -> str:
        if self._events is None:
            await self._engine.pace(0.001, 0.02)
            if self._engine.state == "down":
                raise Transient(f"the engine of {self._engine.name} is not there")
            self._events = Events()
            self._engine.followers.append(self._events)
            return ""
        while not self._events.waiting:
            if self._events.ended:
                raise Transient(self._events.ended)
            self._events.changed.clear()
            await self._events.changed.wait()
        await asyncio.sleep(0.001)
        while self._engine.state == "stalled":
            await self._engine.pace(0.0, 0.01)
        if not self._events.waiting:
            raise Transient(self._events.ended or "the stream of events broke")
        return self._events.waiting.pop(0)
