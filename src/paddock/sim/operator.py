"""Somebody who wishes for things, changes their mind, and presses the wrong button now and then."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

from paddock.core import commands
from paddock.core.stacks import Sealed, SealedFiles, apply_stack
from paddock.model.changes import Change
from paddock.model.errors import PaddockError, Transient, UserError
from paddock.model.objects import Environment, Host, HostState, Revision, Service, Stack, Unit
from paddock.model.snapshot import Snapshot
from paddock.model.specs import StackSpec
from paddock.server.committing import commit_decision
from paddock.sim import adopted, runner
from paddock.sim.joiner import Joiner
from paddock.sim.machine import Machine
from paddock.sim.oracle import Oracle
from paddock.sim.scenario import Scenario
from paddock.sim.server import SimulatedServer
from paddock.sim.stage import Stage
from paddock.sim.wishes import changed, mended, random_stack

Decide = Callable[[Snapshot], tuple[Change, ...]]
STACKS = ("s1", "s2", "s3")
AGAIN_S = 1.0
RUN_TRIES = 60


class Operator:
    """`wishes`: stack name -> the spec asked for last."""

    def __init__(
        self, stage: Stage, server: SimulatedServer, oracle: Oracle, scenario: Scenario, machines: Sequence[Machine]
    ) -> None:
        self.stage = stage
        self.server = server
        self.oracle = oracle
        self.scenario = scenario
        self.chance = stage.chance("operator")
        self.wishes: dict[str, StackSpec] = {}
        self._making: dict[str, None] = {}
        self._version = 1
        self.environment = ""
        self.joiner = Joiner(self, machines)

    async def work(self) -> None:
        """Until cancelled."""
        acts = self._acts()
        names = [name for name in sorted(acts) if self.scenario.operators.get(name, 0) > 0]
        weights = [self.scenario.operators[name] for name in names]
        while True:
            await asyncio.sleep(self.chance.uniform(*self.scenario.operator_every_s))
            name = self.chance.choices(names, weights)[0]
            await self._try(name, acts[name])

    def _acts(self) -> dict[str, Callable[[Snapshot], Decide | None]]:
        """What can be done; None when there is nothing to do it to."""
        return {
            "up": self._up,
            "run": self._run,
            "adopt": self._adopt,
            "change": lambda view: self._change(view, bad=False),
            "bad-change": lambda view: self._change(view, bad=True),
            "down": self._down,
            "scale": self._scale,
            "restart": lambda view: self._on_service(view, lambda _, service: commands.restart(service)),
            "stop": lambda view: self._on_service(view, lambda _, service: commands.stop(service)),
            "start": lambda view: self._on_service(view, lambda _, service: commands.start(service)),
            "pause": lambda view: self._on_service(view, lambda _, service: commands.pause(service)),
            "resume": lambda view: self._on_service(view, lambda _, service: commands.resume(service)),
            "rollback": lambda view: self._on_service(
                view, lambda now, service: commands.rollback(now, service, self.server.clock.now_s())
            ),
            "drain": lambda view: self._on_host(view, commands.drain),
            "activate": lambda view: self._on_host(view, commands.activate),
            "remove-container": self._remove_container,
            "remove-host": self._remove_host,
            "reinstall": self._reinstall,
            "override": lambda view: lambda now: commands.override_breaker(now.table(Environment)[self.environment]),
        }

    async def attempt(self, name: str, decide: Decide) -> bool:
        """Whether it is acknowledged."""
        return await self._try(name, lambda view: decide)

    async def _try(self, name: str, act: Callable[[Snapshot], Decide | None]) -> bool:
        view = self.server.snapshot()
        decide = act(view) if view is not None else None
        if decide is None:
            return False
        try:
            version = await self.ask(decide)
        except UserError as error:
            self.stage.trace.note("operator", f"{name} is refused", why=error.message)
        except (PaddockError, TimeoutError) as error:
            self.stage.trace.note("operator", f"{name} has no answer", why=str(error))
        else:
            self.stage.trace.note("operator", f"{name} is acknowledged", version=version)
            return True
        return False

    async def ask(self, decide: Decide) -> int:
        """As the API does; the version that holds it. Raises `Transient` when the server dies before it answers."""
        plane = self.server.plane
        if plane is None:
            raise Transient("the server is not there")
        deciding = commit_decision(plane.store, lambda snapshot: (decide(snapshot), None))
        _, version = await self.server.call(deciding)
        self.oracle.acknowledged = max(self.oracle.acknowledged, version)
        return version

    # Wishes

    def _up(self, view: Snapshot) -> Decide:
        name = self.chance.choice(STACKS)
        wish = random_stack(self.chance, name, self.scenario.hosts)
        self.wishes[name] = wish
        orphans = self.chance.random() < 0.7
        return lambda now: self._applied(now, wish, remove_orphans=orphans)

    def _applied(self, now: Snapshot, wish: StackSpec, *, remove_orphans: bool) -> tuple[Change, ...]:
        sealed = self._sealed(wish)
        at_s = self.server.clock.now_s()
        return apply_stack(now, self.environment, wish, at_s, sealed=sealed, remove_orphans=remove_orphans)

    @staticmethod
    def _sealed(wish: StackSpec) -> SealedFiles:
        """Configs are kept as they are."""
        found: dict[tuple[str, str], Sealed] = {}
        for key, file in wish.configs.items():
            content = file.content or b""
            found[("config", key)] = Sealed(content, hashlib.sha256(content).hexdigest())
        return found

    def _change(self, view: Snapshot, *, bad: bool) -> Decide | None:
        known = [name for name in (*STACKS, *adopted.NAMES) if name in self.wishes]
        if not known:
            return None
        name = self.chance.choice(known)
        self._version += 1
        wish = changed(self.chance, self.wishes[name], self._version, bad=bad)
        self.wishes[name] = wish
        return lambda now: self._applied(now, wish, remove_orphans=False)

    def _down(self, view: Snapshot) -> Decide | None:
        stacks = sorted(stack.name for stack in view.table(Stack).values())
        if not stacks:
            return None
        name, volumes = self.chance.choice(stacks), self.chance.random() < 0.5
        self.wishes.pop(name, None)
        return lambda now: commands.remove_stack(now, self.environment, name, volumes=volumes)

    def _run(self, view: Snapshot) -> Decide | None:
        spec = runner.wished(self.chance, view)
        if spec is None:
            return None
        self._making[spec.name] = None
        making = self.stage.spawn(self._make(spec.name), f"whoever runs {spec.name}")
        making.add_done_callback(lambda done: self._making.pop(spec.name, None))
        return lambda now: runner.wish(now, self.environment, spec, self.server.clock.now_s())

    async def _make(self, name: str) -> None:
        """The other half of `run`, or its end when the container cannot be had."""
        for _ in range(RUN_TRIES):
            await asyncio.sleep(AGAIN_S)
            view = self.server.snapshot()
            unit = runner.prepared(view, self.environment, name) if view is not None else None
            if view is None or unit is None:
                continue
            machine = self.joiner.machine(unit.host)
            if machine is None:
                continue
            try:
                await runner.make(view, unit, machine, self.stage.group)
            except runner.GIVES_UP_ON as error:
                self.stage.trace.note("operator", f"{name} is not made", why=str(error))
                break
            self.stage.trace.note("operator", f"{name} is made")
            return
        await self._insist("never made", lambda now: self._never_made(now, name))

    def _never_made(self, now: Snapshot, name: str) -> tuple[Change, ...]:
        """Or made, and removed by somebody with a shell before its agent could say so: then it is for us to tell."""
        return runner.never_made(now, self.environment, name)

    def _adopt(self, view: Snapshot) -> Decide | None:
        name = adopted.free_name(view, self.wishes)
        machine = self.chance.choice(self.joiner.machines)
        left = any(one.project == name for each in self.joiner.machines for one in each.engine.containers.values())
        if not name or left or machine.engine.state != "up":
            return None
        wish = adopted.project(self.chance, name)
        seen = adopted.start(wish, machine)
        self.wishes[name] = wish

        def decide(now: Snapshot) -> tuple[Change, ...]:
            try:
                return adopted.adoption(now, wish, seen, self.server.clock.now_s())
            except UserError:
                adopted.take_down(name, machine)
                raise

        return decide

    def _scale(self, view: Snapshot) -> Decide | None:
        replicas = self.chance.randint(0, 4)
        return self._on_service(view, lambda now, service: commands.scale(now, service, replicas))

    def _on_service(self, view: Snapshot, act: Callable[[Snapshot, Service], tuple[Change, ...]]) -> Decide | None:
        ids = sorted(id for id, service in view.table(Service).items() if service.stack_name)
        if not ids:
            return None
        chosen = view.table(Service)[self.chance.choice(ids)]
        return lambda now: act(now, commands.find_service(now, self.environment, chosen.stack_name, chosen.name))

    def _on_host(self, view: Snapshot, act: Callable[[Host], tuple[Change, ...]]) -> Decide | None:
        name = self.chance.choice(sorted(host.name for host in view.table(Host).values()))
        return lambda now: act(commands.find_host(now, self.environment, name))

    def _remove_container(self, view: Snapshot) -> Decide | None:
        ids = sorted(id for id, unit in view.table(Unit).items() if unit.live)
        if not ids:
            return None
        id = self.chance.choice(ids)

        def decide(now: Snapshot) -> tuple[Change, ...]:
            unit = now.get(Unit, id)
            return commands.remove_container(unit) if unit is not None else ()

        return decide

    def _remove_host(self, view: Snapshot) -> Decide | None:
        """Never the last one."""
        hosts = sorted(host.name for host in view.table(Host).values())
        if len(hosts) < 2:
            return None
        name = self.chance.choice(hosts)
        return lambda now: self.taken_out(now, commands.find_host(now, self.environment, name))

    def taken_out(self, now: Snapshot, host: Host) -> tuple[Change, ...]:
        return commands.remove_host(now, host, self.server.clock.now_s(), force=True)

    def _reinstall(self, view: Snapshot) -> None:
        self.joiner.reinstall(self.chance.choice(self.joiner.machines))

    # After the storm

    async def mend(self) -> None:
        """Wishes everything that cannot work away, and insists until it is acknowledged."""
        for name in (*STACKS, *adopted.NAMES):
            if name in self.wishes:
                self._version += 1
                self.wishes[name] = wish = mended(self.wishes[name], self._version)
                await self._insist(
                    "mend",
                    lambda now, wish=wish: self._applied(now, wish, remove_orphans=True),  # type: ignore[misc]
                )
            else:
                await self._insist("down", lambda now, name=name: self._gone(now, name))  # type: ignore[misc]
        await self._insist("activate all", self._all_active)

    def _gone(self, now: Snapshot, name: str) -> tuple[Change, ...]:
        stack = now.named(Stack, self.environment, name)
        if stack is None or stack.removing:
            return ()
        return commands.remove_stack(now, self.environment, name)

    @staticmethod
    def _all_active(now: Snapshot) -> tuple[Change, ...]:
        return tuple(change for _, host in sorted(now.table(Host).items()) for change in commands.activate(host))

    async def unpause(self) -> None:
        """What the storm made pause goes on; what went back, or tries to and fails, is wished again."""
        view = self.server.snapshot()
        if view is None:
            return
        for id, service in sorted(view.table(Service).items()):
            rollout = service.rollout
            unmade = not service.stack_name and bool(self._never_made(view, service.name))
            if unmade and service.name not in self._making:
                await self._insist("gone unseen", lambda now, name=service.name: self._never_made(now, name))  # type: ignore[misc]
            if rollout is None:
                continue
            back = rollout.state == "rolled-back" or (rollout.state == "rolling-back" and rollout.failures)
            if back or (rollout.state == "completed" and self._is_otherwise(view, service)):
                await self._wish_again(service.stack_name)
            if rollout.state == "paused":
                await self._insist("resume", lambda now, id=id: self._resumed(now, id))  # type: ignore[misc]

    def _is_otherwise(self, view: Snapshot, service: Service) -> bool:
        """It went back, and then on from there for another reason."""
        wish = self.wishes.get(service.stack_name)
        spec = wish.services.get(service.name) if wish is not None else None
        return spec is not None and view.table(Revision)[service.revision].spec != spec

    async def _wish_again(self, name: str) -> None:
        wish = self.wishes.get(name)
        if wish is not None:
            await self._insist("wish again", lambda now: self._applied(now, wish, remove_orphans=True))

    @staticmethod
    def _resumed(now: Snapshot, id: str) -> tuple[Change, ...]:
        service = now.get(Service, id)
        paused = service is not None and service.rollout is not None and service.rollout.state == "paused"
        return commands.resume(service) if service is not None and paused else ()

    async def _insist(self, name: str, decide: Decide) -> None:
        while not self.stage.over.is_set():
            if await self.attempt(name, decide):
                return
            await asyncio.sleep(AGAIN_S)

    @property
    def hosts_there(self) -> bool:
        view = self.server.snapshot()
        if view is None:
            return False
        return all(host.state is HostState.ACTIVE for host in view.table(Host).values())
