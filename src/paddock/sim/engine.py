"""A container engine in memory: honest about clashes, latencies, half-done work, and what survives which death.

Requests run as tasks of the engine's own, so that a client that dies does not stop what it asked for. `down` without
`live_restore` ends containers when the engine is back, as dockerd does; `power_off` ends them at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, TypeVar

from paddock.model.assignment import NetworkAssignment
from paddock.model.errors import PaddockError, Transient
from paddock.sim.container import FOREVER, Container, Mood, bindings, first_health, life_s, next_health, program
from paddock.sim.world import SimulatedClock

T = TypeVar("T")
FIRST_RESTART_S, MOST_RESTART_S = 0.1, 60.0
STEADY_S = 10.0
POWER_LOSS_CODE = 255
NOT_FOUND_YET = 0
"""The number of a network that was not there when its container was made: it is looked for at the start."""


@dataclass
class EngineNetwork:
    """`number` is the engine's own id: one made again under the same name is another network."""

    number: int
    wanted: NetworkAssignment


class Events:
    """One follower's stream. `ended` says why it is over."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.changed = asyncio.Event()
        self.ended = ""

    def put(self, container: str) -> None:
        if not self.ended:
            self.waiting.append(container)
            self.changed.set()

    def end(self, reason: str) -> None:
        """What was not read yet is lost with the stream."""
        self.ended = reason
        self.waiting.clear()
        self.changed.set()


class SimulatedEngine:
    """`state`: "up", "stalled" (takes requests, answers none), "down"."""

    def __init__(self, name: str, chance: random.Random, clock: SimulatedClock, mood: Mood) -> None:
        self.name = name
        self.chance = chance
        self.clock = clock
        self.mood = mood
        self.state = "up"
        self.live_restore = True
        self.refusals = 0.0
        """Chance that a step fails for no reason of its own."""
        self.registry_down = False
        self.containers: dict[str, Container] = {}
        self.networks: dict[str, EngineNetwork] = {}
        self.volumes: dict[str, str] = {}
        """name -> our volume id, "" when the engine made it by itself"""
        self.images: dict[str, None] = {}
        self.followers: list[Events] = []
        self.changed: Callable[[], None] = lambda: None
        self._requests: dict[asyncio.Task[None], asyncio.Future[Any]] = {}
        self._moving = asyncio.Event()
        self._moving.set()
        self._next_network = 0

    # Requests

    def request(self, work: Coroutine[Any, Any, T], group: asyncio.TaskGroup) -> asyncio.Future[T]:
        """Answers through a future; `Transient` when the engine goes down meanwhile."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        task = group.create_task(self._serve(work, answer))
        self._requests[task] = answer
        task.add_done_callback(lambda done: self._requests.pop(done, None))
        task.add_done_callback(lambda done: work.close())
        task.add_done_callback(lambda done: None if answer.done() else answer.set_exception(Transient("went away")))
        return answer

    async def _serve(self, work: Coroutine[Any, Any, T], answer: asyncio.Future[T]) -> None:
        try:
            result = await work
        except PaddockError as error:
            if not answer.done():
                answer.set_exception(error)
        except asyncio.CancelledError:
            if not answer.done():
                answer.set_exception(Transient(f"the engine of {self.name} went away"))
            raise
        else:
            if not answer.done():
                answer.set_result(result)

    async def pace(self, low_s: float, high_s: float) -> None:
        """A latency out of the range; as long as the engine is stalled, no end."""
        await asyncio.sleep(self.chance.uniform(low_s, high_s))
        while self.state == "stalled":
            self._moving.clear()
            await self._moving.wait()

    # What becomes of the engine

    def stall(self) -> None:
        if self.state == "up":
            self.state = "stalled"

    def resume(self) -> None:
        if self.state == "stalled":
            self.state = "up"
            self._moving.set()

    def go_down(self) -> None:
        """Its process is killed. Containers run on, for now."""
        if self.state == "down":
            return
        self.state = "down"
        self._moving.set()
        for task in list(self._requests):
            task.cancel()
        self.break_streams("the engine went away")

    def come_up(self) -> None:
        if self.state != "down":
            return
        self.state = "up"
        for container in list(self.containers.values()):
            if container.state == "removing":
                self.remove_now(container)
            elif container.running and not self.live_restore:
                self._stopped(container, 137)
            if container.state in ("exited", "restarting") and container.run:
                self._restart_after_boot(container)
            elif container.running:
                self._watch_health(container)

    def power_off(self) -> None:
        self.go_down()
        for container in self.containers.values():
            if container.state in ("running", "restarting"):
                self._stopped(container, POWER_LOSS_CODE)

    def _restart_after_boot(self, container: Container) -> None:
        if container.state == "restarting" or container.restarted_by_engine(container.exit_code or 0):
            container.state = "exited"
            container.restarts += 1
            self.start_now(container)

    def break_streams(self, reason: str) -> None:
        for follower in self.followers:
            follower.end(reason)
        self.followers.clear()

    # Containers

    def find(self, name_or_id: str) -> Container | None:
        if name_or_id in self.containers:
            return self.containers[name_or_id]
        return next((one for one in self.containers.values() if one.name == name_or_id), None)

    def add(self, container: Container) -> None:
        self.containers[container.id] = container
        self.tell(container)

    def new_id(self) -> str:
        return f"{self.chance.getrandbits(256):064x}"

    def new_network(self, wanted: NetworkAssignment) -> None:
        self._next_network += 1
        self.networks[wanted.engine_name] = EngineNetwork(self._next_network, wanted)

    def overlapping(self, wanted: NetworkAssignment) -> bool:
        subnet = ip_network(wanted.subnet)
        return any(subnet.overlaps(ip_network(there.wanted.subnet)) for there in self.networks.values())

    def tell(self, container: Container) -> None:
        self.changed()
        if container.unit is None and not container.project:
            return
        for follower in self.followers:
            follower.put(container.id)

    def start_now(self, container: Container) -> str:
        """Why it cannot be started; "" when it runs."""
        ports: list[str] = []
        self._find_networks(container)
        why = self._network_fault(container) or self._ports_fault(container, ports)
        if why:
            container.error, container.exit_code = why, 128
            self.tell(container)
            return why
        container.bound = tuple(ports)
        container.state, container.exit_code, container.error = "running", None, ""
        container.run += 1
        container.told_to_stop = False
        container.started_at_s = self.clock.now_s()
        container.health = "starting" if container.has_healthcheck else ""
        self._live(container)
        self.tell(container)
        return ""

    def _find_networks(self, container: Container) -> None:
        for name, (number, address) in container.networks.items():
            if number == NOT_FOUND_YET and name in self.networks:
                container.networks[name] = (self.networks[name].number, address)

    def _network_fault(self, container: Container) -> str:
        if container.mode.startswith("container:"):
            partner = self.find(container.mode.partition(":")[2])
            if partner is None:
                return f"No such container: {container.mode}"
            return "" if partner.running else f"cannot join network of a non running container: {partner.id}"
        for name, (number, address) in container.networks.items():
            network = self.networks.get(name)
            if network is None or network.number != number:
                return f"network {number} not found"
            for other in self.containers.values():
                if other is not container and other.running and other.networks.get(name) == (number, address):
                    return "Address already in use"
        return ""

    def _ports_fault(self, container: Container, ports: list[str]) -> str:
        taken = {port for other in self.containers.values() if other.running for port in other.bound}
        for protocol, _, asked in bindings(container):
            if not asked:
                continue
            first, _, last = asked.partition("-")
            for number in range(int(first), int(last or first) + 1):
                if f"{number}/{protocol}" not in taken and f"{number}/{protocol}" not in ports:
                    ports.append(f"{number}/{protocol}")
                    break
            else:
                return f"Bind for 0.0.0.0:{asked} failed: port is already allocated"
        return ""

    def _live(self, container: Container) -> None:
        loop, run = asyncio.get_running_loop(), container.run
        after_s, code = life_s(container.image, self.mood, self.chance)
        if after_s != FOREVER:
            loop.call_later(after_s, self._end, container, run, code)
        self._watch_health(container)

    def _watch_health(self, container: Container) -> None:
        if container.has_healthcheck:
            after_s, health = first_health(container.image, self.chance)
            asyncio.get_running_loop().call_later(after_s, self._health, container, container.run, health)

    def _health(self, container: Container, run: int, health: str) -> None:
        if not container.running or container.run != run or self.state == "down":
            return
        container.health = health
        self.tell(container)
        following = next_health(container, self.mood, self.chance)
        if following is not None:
            asyncio.get_running_loop().call_later(following[0], self._health, container, run, following[1])

    def _end(self, container: Container, run: int, code: int) -> None:
        """The program ended by itself."""
        if container.running and container.run == run:
            self.end(container, code)

    def end(self, container: Container, code: int) -> None:
        ran_s = self.clock.now_s() - container.started_at_s
        again = container.restarted_by_engine(code)
        self._stopped(container, code)
        if again and self.state != "down":
            container.state = "restarting"
            container.quick_ends = 0 if ran_s > STEADY_S else container.quick_ends + 1
            wait_s = min(MOST_RESTART_S, FIRST_RESTART_S * 2.0 ** min(container.quick_ends, 16))
            asyncio.get_running_loop().call_later(wait_s, self._restart, container, container.run)
        self.tell(container)

    def _restart(self, container: Container, run: int) -> None:
        if container.state == "restarting" and container.run == run and self.state != "down":
            container.state = "exited"
            container.restarts += 1
            self.start_now(container)

    def _stopped(self, container: Container, code: int) -> None:
        container.state, container.exit_code = "exited", code
        container.finished_at_s = self.clock.now_s()
        self.tell(container)

    def remove_now(self, container: Container) -> None:
        self.containers.pop(container.id, None)
        self.tell(container)

    def attached(self, network: str) -> list[Container]:
        """Running containers on it."""
        return [one for one in self.containers.values() if one.running and network in one.networks]

    def has_image(self, image: str) -> bool:
        return image in self.images

    def can_be_pulled(self, image: str) -> bool:
        return program(image) != "nowhere"
