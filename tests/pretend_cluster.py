"""A cluster without a world: hosts that do what their assignment says, in as many steps as the test asks for.

Reports go through the same rule as a server's (states only climb, and only of the host that has the unit). Time moves
only by `pass_time`. `untidy` hands the tables out in another order at every call of `converge`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from paddock.core.assignment import assignment
from paddock.core.commands import find_host, find_service
from paddock.core.converge import Plan, Scope, converge
from paddock.core.stacks import SealedFiles, apply_stack
from paddock.model.assignment import Assignment, UnitAssignment
from paddock.model.changes import Change, Put
from paddock.model.check import problems
from paddock.model.objects import (
    AnyObject,
    ContainerStatus,
    Environment,
    Host,
    HostFacts,
    HostId,
    HostState,
    Service,
    ServiceId,
    Unit,
    UnitDesired,
    UnitState,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec, ServiceSpec, StackSpec

ENVIRONMENT = "env-1"
GIB = 1 << 30


def make_host(name: str, **fields: object) -> Host:
    number = int("".join(letter for letter in name if letter.isdigit()) or 1)
    facts = HostFacts(
        address=f"10.77.{number // 250}.{number % 250 + 1}",
        cpus=4,
        memory_bytes=8 * GIB,
        os="linux",
        architecture="x86_64",
    )
    host = Host(
        id=f"host-{name}",
        environment=ENVIRONMENT,
        name=name,
        state=HostState.ACTIVE,
        session=1,
        facts=facts,
        since_s=1.0,
    )
    return msgspec.structs.replace(host, **fields)


def make_service(name: str = "web", **fields: object) -> ServiceSpec:
    """`image` and what else belongs to the container may be given beside the fields of the service."""
    container = {key: fields.pop(key) for key in list(fields) if key in ContainerSpec.__struct_fields__}
    spec = ServiceSpec(name=name, container=ContainerSpec(image="busybox"))
    spec = msgspec.structs.replace(spec, container=msgspec.structs.replace(spec.container, **container))
    return msgspec.structs.replace(spec, **fields)


def make_stack(*services: ServiceSpec, name: str = "shop", **fields: object) -> StackSpec:
    stack = StackSpec(name=name, services={service.name: service for service in services})
    return msgspec.structs.replace(stack, **fields)


@dataclass
class Cluster:
    """`behave(unit)` says what a started unit's containers do: "run", "exit 0", "exit 1", "reject" or "sick"."""

    snapshot: Snapshot
    now_s: float = 1000.0
    behave: Callable[[Unit], str] = lambda unit: "run"
    dead: set[str] = field(default_factory=set)
    stay_silent: set[str] = field(default_factory=set)
    check: Callable[[Snapshot], None] = lambda snapshot: None

    @staticmethod
    def of(hosts: int | Sequence[Host] = 3, **fields: object) -> Cluster:
        there = [make_host(f"h{at + 1}") for at in range(hosts)] if isinstance(hosts, int) else list(hosts)
        environment = msgspec.structs.replace(Environment(id=ENVIRONMENT, name="default"), **fields)
        things: list[AnyObject] = [environment, *there]
        return Cluster(Snapshot.empty().with_changes([Put(object=thing, reason="") for thing in things]))

    @staticmethod
    def checked(hosts: int = 3) -> Cluster:
        """One in which every commit keeps what must always hold."""
        cluster = Cluster.of(hosts)
        cluster.check = _check
        return cluster

    # Writing

    def commit(self, changes: Sequence[Change]) -> None:
        if changes:
            self.snapshot = self.snapshot.with_changes(changes)
            self.check(self.snapshot)

    def up(self, stack: StackSpec, sealed: SealedFiles | None = None, *, remove_orphans: bool = False) -> None:
        self.commit(
            apply_stack(self.snapshot, ENVIRONMENT, stack, self.now_s, sealed=sealed, remove_orphans=remove_orphans)
        )
        self.decide()

    def decide(self) -> Plan:
        """Converge once and hold that a second call has nothing to add."""
        plan = converge(self.snapshot, self.now_s, Scope.everything())
        self.commit(plan.changes)
        again = converge(self.snapshot, self.now_s, Scope.everything())
        assert not again.changes, [f"{change.reason}: {change.object}" for change in again.changes[:3]]
        return plan

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.decide()

    # Hosts

    def host(self, name: str) -> Host:
        return find_host(self.snapshot, ENVIRONMENT, name)

    def assignment(self, name: str) -> Assignment:
        return assignment(self.snapshot, HostId(self.host(name).id))

    def set_host(self, name: str, **fields: object) -> None:
        host = msgspec.structs.replace(self.host(name), **fields)
        self.commit([Put(object=host, reason="test")])

    def lose(self, *names: str) -> None:
        """Power failure: silent at once, lost when ten seconds have passed."""
        for name in names:
            self.dead.add(self.host(name).id)
            self.set_host(name, state=HostState.SILENT, since_s=self.now_s)
        self.decide()
        self.pass_time(10.0)

    def bring_back(self, *names: str) -> None:
        for name in names:
            self.dead.discard(self.host(name).id)
            self.set_host(name, state=HostState.ACTIVE, since_s=self.now_s, session=self.host(name).session + 1)
        self.decide()

    def step(self) -> bool:
        """Every live host takes each of its units one step further, and reports. False when none had anything to do."""
        before = self.snapshot.version
        for _, host in sorted(self.snapshot.table(Host).items()):
            if host.id in self.dead:
                continue
            for item in assignment(self.snapshot, HostId(host.id)).values():
                if isinstance(item, UnitAssignment):
                    self._step(item)
        self.decide()
        return self.snapshot.version != before

    def settle(self, most: int = 80) -> None:
        """Until nothing moves any more, time included (waits of up to two minutes are waited for)."""
        self.decide()
        for _ in range(most):
            moved = self.step()
            if not moved:
                plan = self.decide()
                if plan.wake_at_s is None or plan.wake_at_s > self.now_s + 120.0:
                    return
                self.now_s = plan.wake_at_s
                self.decide()
        raise AssertionError("it does not come to rest")

    def _step(self, item: UnitAssignment) -> None:
        unit = self.snapshot.get(Unit, item.unit)
        state = self._next_state(unit) if unit is not None else None
        if unit is not None and state is not None:
            self.report(unit, state)

    def _next_state(self, unit: Unit) -> UnitState | None:
        if unit.desired == UnitDesired.REMOVED:
            return UnitState.REMOVED
        if unit.desired == UnitDesired.STOPPED:
            return UnitState.SHUTDOWN if unit.live else None
        behaviour = self.behave(unit)
        if not unit.live:
            return None
        if unit.state < UnitState.READY:
            return UnitState.REJECTED if behaviour == "reject" else UnitState.READY
        if unit.desired == UnitDesired.RUN and unit.state < UnitState.RUNNING:
            return UnitState.RUNNING
        if unit.state == UnitState.RUNNING and behaviour.startswith("exit"):
            return UnitState.COMPLETE if behaviour == "exit 0" else UnitState.FAILED
        if unit.state == UnitState.RUNNING and behaviour == "sick" and unit.containers[0].health != "unhealthy":
            return UnitState.RUNNING
        return None

    def report(self, unit: Unit, state: UnitState, message: str = "") -> None:
        """As a server takes an agent's report."""
        current = self.snapshot.get(Unit, unit.id)
        if current is None or state < current.state:
            return
        behaviour = self.behave(unit)
        sick = behaviour == "sick" and current.state == UnitState.RUNNING
        final = state >= UnitState.COMPLETE
        changed = msgspec.structs.replace(
            current,
            state=state,
            healthy=state == UnitState.RUNNING and behaviour != "sick",
            containers=(ContainerStatus(name=current.name, health="unhealthy" if sick else ""),),
            message=message or current.message or (behaviour if final and behaviour != "run" else ""),
            state_since_s=self.now_s if state != current.state else current.state_since_s,
            running_since_s=current.running_since_s or (self.now_s if state == UnitState.RUNNING else 0.0),
            finished_at_s=current.finished_at_s or (self.now_s if final else 0.0),
        )
        self.commit([Put(object=changed, reason="reported")])

    # Looking

    def service(self, name: str, stack: str = "shop") -> Service:
        return find_service(self.snapshot, ENVIRONMENT, stack, name)

    def units(self, name: str = "web", stack: str = "shop") -> list[Unit]:
        """All that are kept, by slot and generation."""
        return self.snapshot.units_of_service(ServiceId(self.service(name, stack).id))

    def live(self, name: str = "web", stack: str = "shop") -> list[Unit]:
        return [unit for unit in self.units(name, stack) if unit.live]

    def running(self, name: str = "web", stack: str = "shop") -> list[Unit]:
        return [unit for unit in self.units(name, stack) if unit.state == UnitState.RUNNING]

    def where(self, name: str = "web", stack: str = "shop") -> list[str]:
        """Names of the hosts of live units, sorted."""
        return sorted(name for unit in self.live(name, stack) if (name := self.host_of(unit)))

    def host_of(self, unit: Unit) -> str:
        """Its name; "" when it has none, or one that is no more."""
        host = self.snapshot.get(Host, unit.host or "")
        return host.name if host is not None else ""

    def called(self, name: str) -> Unit:
        """The newest unit with containers of that name."""
        return self.snapshot.units_named(ENVIRONMENT, name)[-1]


def _check(snapshot: Snapshot) -> None:
    assert problems(snapshot) == []
