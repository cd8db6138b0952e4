"""Whatever happens to a cluster, it is safe at every commit, and at rest as wished once it is quiet."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from paddock.core import commands
from paddock.core.address_book import holds
from paddock.core.converge import Scope, converge
from paddock.core.draft import Draft
from paddock.core.revisions import current
from paddock.core.rolling import start_first_obstacle
from paddock.core.schedule.ports import claims
from paddock.core.stacks import apply_stack
from paddock.model.errors import Conflict, Invalid
from paddock.model.objects import (
    KINDS,
    Host,
    HostId,
    HostState,
    Network,
    NetworkId,
    Revision,
    Service,
    ServiceId,
    Unit,
    UnitDesired,
    UnitState,
    Volume,
)
from paddock.model.snapshot import Snapshot
from paddock.model.specs import (
    Attachment,
    Dependency,
    NetworkSpec,
    Placement,
    PortSpec,
    Resources,
    RestartPolicy,
    ServiceSpec,
    Sharing,
    StackSpec,
    UpdatePolicy,
    VolumeMount,
    VolumeSpec,
)
from pretend_cluster import ENVIRONMENT, GIB, Cluster, make_service, make_stack

# No shrinking: it takes minutes here, and the storm that is printed can be cut down by hand.
QUICK = settings(
    max_examples=60, phases=[Phase.reuse, Phase.generate], deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


# What must hold at every commit


def safe(snapshot: Snapshot) -> None:
    for _, host in sorted(snapshot.table(Host).items()):
        there = [unit for unit in snapshot.units_on_host(HostId(host.id)) if unit.live and unit.state != UnitState.NEW]
        _capacity(snapshot, host, there)
        _ports(snapshot, host, there)
        names = Counter(unit.name for unit in snapshot.units_on_host(HostId(host.id)) if _may_exist(unit))
        assert not [name for name, count in names.items() if count > 1], f"names clash on {host.name}: {names}"
    for _, service in sorted(snapshot.table(Service).items()):
        _slots(snapshot, service)
    for id, network in sorted(snapshot.table(Network).items()):
        _addresses(snapshot, network, NetworkId(id))
    for _, volume in sorted(snapshot.table(Volume).items()):
        _volume(snapshot, volume)


def _may_exist(unit: Unit) -> bool:
    return unit.state not in (UnitState.NEW, UnitState.ORPHANED, UnitState.REMOVED)


def _revision(snapshot: Snapshot, unit: Unit) -> Revision:
    found = snapshot.get(Revision, unit.revision)
    assert found is not None, f"the revision of {unit.id} is gone"
    return found


def _capacity(snapshot: Snapshot, host: Host, units: list[Unit]) -> None:
    memory = sum(_revision(snapshot, unit).spec.reservation.memory_bytes for unit in units)
    cpu = sum(_revision(snapshot, unit).spec.reservation.cpu_milli for unit in units)
    assert memory <= host.facts.memory_bytes, f"{host.name} has more reserved than it has"
    assert cpu <= host.facts.cpus * 1000


def _ports(snapshot: Snapshot, host: Host, units: list[Unit]) -> None:
    held = [claim for unit in units for claim in claims(_revision(snapshot, unit).spec) if claim.single]
    for at, claim in enumerate(held):
        assert not any(claim.clashes(other) for other in held[:at]), f"{claim} twice on {host.name}"


def _slots(snapshot: Snapshot, service: Service) -> None:
    spec = _spec(snapshot, service)
    live = Counter(unit.slot for unit in snapshot.units_of_service(ServiceId(service.id)) if unit.live)
    for slot, count in live.items():
        assert count <= 2, f"{count} live units in slot {slot} of {service.name}"
    if start_first_obstacle(Draft(snapshot, 0.0), service) and not spec.mode.startswith("global"):
        revisions = {unit.revision for unit in snapshot.units_of_service(ServiceId(service.id))}
        if revisions == {service.revision}:
            assert all(count == 1 for count in live.values()), f"two at once in a slot of {service.name}"


def _spec(snapshot: Snapshot, service: Service) -> ServiceSpec:
    found = snapshot.get(Revision, service.revision)
    assert found is not None
    return found.spec


def _addresses(snapshot: Snapshot, network: Network, id: NetworkId) -> None:
    taken = list(network.gateways.values())
    taken += [unit.addresses[id] for unit in snapshot.units_on_network(id) if holds(unit)]
    assert len(taken) == len(set(taken)), f"an address twice on {network.name}: {sorted(taken)}"


def _volume(snapshot: Snapshot, volume: Volume) -> None:
    for service in snapshot.in_environment(Service, volume.environment):
        for unit in snapshot.units_of_service(ServiceId(service.id)):
            if unit.live and unit.state != UnitState.NEW and volume.id in _revision(snapshot, unit).volumes.values():
                assert unit.host == volume.host, f"{unit.name} is not where its volume is"


# What may happen


images = st.sampled_from(["one", "two", "three"])
policies = st.builds(
    UpdatePolicy,
    parallelism=st.integers(0, 2),
    order=st.sampled_from(["stop-first", "start-first"]),
    failure_action=st.sampled_from(["pause", "continue", "rollback"]),
    delay_s=st.sampled_from([0.0, 3.0]),
)


def services(name: str) -> st.SearchStrategy[ServiceSpec]:
    return st.builds(
        make_service,
        st.just(name),
        image=images,
        replicas=st.integers(0, 4),
        mode=st.sampled_from(["replicated", "replicated", "replicated", "global"]),
        update=policies,
        restart=st.sampled_from([RestartPolicy(), RestartPolicy(condition="any"), RestartPolicy(max_attempts=3)]),
        reservation=st.sampled_from([Resources(), Resources(memory_bytes=GIB, cpu_milli=500)]),
        ports=st.sampled_from([(), (), (PortSpec(target=80, published="80"),)]),
        networks=st.sampled_from([(), (Attachment(network="default"),)]),
        volumes=st.sampled_from([(), (), (VolumeMount(volume="data", target="/d"),)]),
        placement=st.sampled_from([Placement(), Placement(max_per_host=2), Placement(strategy="binpack")]),
    )


@st.composite
def stacks(draw: st.DrawFn) -> StackSpec:
    web, db = draw(services("web")), draw(services("db"))
    if draw(st.booleans()):
        web = msgspec.structs.replace(web, depends_on=(Dependency(service="db"),))
    return make_stack(
        web,
        db,
        networks={"default": NetworkSpec(name="shop_default", subnets=draw(st.sampled_from([(), ("10.9.0.0/27",)])))},
        volumes={"data": VolumeSpec(name="shop_data")},
    )


single_events = st.one_of(
    st.tuples(st.just("up"), stacks()),
    st.tuples(st.just("scale"), st.tuples(st.sampled_from(["web", "db"]), st.integers(0, 5))),
    st.tuples(st.sampled_from(["silent", "back", "drain", "activate"]), st.integers(1, 4)),
    st.tuples(st.sampled_from(["fail", "complete", "vanish", "reject"]), st.integers(0, 20)),
    st.tuples(st.sampled_from(["restart", "stop", "start"]), st.sampled_from(["web", "db"])),
    st.tuples(st.just("time"), st.sampled_from([0.2, 1.0, 11.0, 100.0])),
    st.tuples(st.just("step"), st.none()),
)
at_once = st.tuples(st.just("at once"), st.lists(single_events, min_size=2, max_size=3))
events = st.one_of(single_events, single_events, at_once)
"""`at once`: nothing is decided in between, so decisions of one pass meet."""


def happen(cluster: Cluster, event: tuple[str, Any]) -> None:
    for one in event[1] if event[0] == "at once" else [event]:
        _happen(cluster, *one)
    cluster.decide()


def _happen(cluster: Cluster, kind: str, what: Any) -> None:
    match kind:
        case "up":
            try:
                cluster.up(what)
            except (Conflict, Invalid):
                return
        case "scale":
            if _spec(cluster.snapshot, cluster.service(what[0])).mode == "replicated":
                cluster.commit(commands.scale(cluster.snapshot, cluster.service(what[0]), what[1]))
        case "silent" | "back" | "drain" | "activate":
            _to_host(cluster, kind, f"h{what}")
        case "fail" | "complete" | "vanish" | "reject":
            _to_unit(cluster, kind, what)
        case "restart" | "stop" | "start":
            command = {"restart": commands.restart, "stop": commands.stop, "start": commands.start}[kind]
            cluster.commit(command(cluster.service(what)))
        case "time":
            cluster.now_s += what
        case "step":
            cluster.step()


def _to_host(cluster: Cluster, kind: str, name: str) -> None:
    host = cluster.host(name)
    if kind == "silent" and host.state is HostState.ACTIVE:
        cluster.dead.add(host.id)
        cluster.set_host(name, state=HostState.SILENT, since_s=cluster.now_s)
    elif kind == "back" and host.state is not HostState.ACTIVE:
        cluster.bring_back(name)
    elif kind == "drain":
        cluster.commit(commands.drain(host))
    elif kind == "activate":
        cluster.commit(commands.activate(host))


def _to_unit(cluster: Cluster, kind: str, which: int) -> None:
    running = [unit for name in ("web", "db") for unit in cluster.live(name) if unit.state >= UnitState.PLACED]
    running = [unit for unit in running if unit.host not in cluster.dead]
    if not running:
        return
    unit = running[which % len(running)]
    state = {
        "fail": UnitState.FAILED,
        "complete": UnitState.COMPLETE,
        "vanish": UnitState.REMOVED,
        "reject": UnitState.REJECTED,
    }[kind]
    if (unit.state == UnitState.RUNNING) == (kind != "reject"):
        cluster.report(unit, state, kind)


def calm(cluster: Cluster) -> None:
    """Every host is back and taken into use, everything stopped is started, paused rollouts go on."""
    for at in range(1, 5):
        _to_host(cluster, "back", f"h{at}")
        _to_host(cluster, "activate", f"h{at}")
    for name in ("web", "db"):
        cluster.commit(commands.start(cluster.service(name)))
    for _ in range(3):
        cluster.settle(most=400)
        for name in ("web", "db"):
            rollout = cluster.service(name).rollout
            if rollout is not None and rollout.state == "paused":
                cluster.commit(commands.resume(cluster.service(name)))
        cluster.decide()


def as_wished(cluster: Cluster, name: str) -> None:
    service = cluster.service(name)
    spec = _spec(cluster.snapshot, service)
    slots = {unit.slot for unit in cluster.units(name) if unit.state != UnitState.REMOVED}
    if spec.mode == "replicated":
        assert slots == set(range(1, service.replicas + 1))
    else:
        assert len(slots) == 4
    for slot in sorted(slots):
        there = [unit for unit in cluster.units(name) if unit.slot == slot]
        newest = current(Draft(cluster.snapshot, cluster.now_s), service, there)
        given_up = newest.state in (UnitState.COMPLETE, UnitState.FAILED, UnitState.REJECTED)
        waits = newest.state == UnitState.NEW or newest.desired == UnitDesired.READY
        assert newest.state == UnitState.RUNNING or given_up or (waits and newest.waiting is not None), newest
        if newest.state == UnitState.RUNNING:
            assert newest.waiting is None
    rollout = service.rollout
    stuck = any(unit.state == UnitState.NEW for unit in cluster.units(name))
    assert rollout is None or stuck or rollout.state in ("completed", "rolled-back", "paused", "updating"), rollout


@QUICK
@given(stacks(), st.lists(events, max_size=14))
def test_after_any_storm_it_is_as_wished_and_was_safe_all_along(stack: StackSpec, storm: list[tuple[str, Any]]) -> None:
    cluster = Cluster.of(4)
    cluster.check = safe
    cluster.up(stack)
    for event in storm:
        happen(cluster, event)
    calm(cluster)
    for name in ("web", "db"):
        as_wished(cluster, name)


def test_two_drains_and_no_third_unit_in_a_slot() -> None:
    """Found by the storm: the successor's host was drained as well, and while it went there was a successor again."""
    cluster = Cluster.of(4)
    cluster.check = safe
    update = UpdatePolicy(parallelism=0, order="start-first")
    cluster.up(make_stack(make_service("db", replicas=3, placement=Placement(max_per_host=2), update=update)))
    for event in [("drain", 3), ("drain", 4), ("time", 0.2), ("step", None)]:
        happen(cluster, event)
    cluster.settle()
    assert cluster.where("db") in (["h1", "h1", "h2"], ["h1", "h2", "h2"])


@QUICK
@given(st.integers(2, 5), st.integers(1, 8), st.integers(0, 3), st.sampled_from(["start-first", "stop-first"]))
def test_an_update_leaves_units_as_spread_as_they_were(hosts: int, replicas: int, parallelism: int, order: Any) -> None:
    cluster = Cluster.of(hosts)
    cluster.check = safe
    update = UpdatePolicy(parallelism=parallelism, order=order, monitor_s=1.0)
    for image in ("one", "two", "three"):
        cluster.up(make_stack(make_service("web", replicas=replicas, image=image, update=update)))
        cluster.settle()
        assert {_revision(cluster.snapshot, unit).spec.container.image for unit in cluster.live("web")} == {image}
        counts = Counter(cluster.where("web"))
        assert max(counts.values()) - min(counts.get(f"h{at + 1}", 0) for at in range(hosts)) <= 1, counts


@QUICK
@given(stacks(), st.lists(events, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_tables_means_nothing(stack: StackSpec, storm: list[tuple[str, Any]], random: Any) -> None:
    cluster = Cluster.of(4)
    cluster.up(stack)
    for event in storm:
        happen(cluster, event)
    cluster.now_s += 1.0
    wished = make_stack(make_service("web", replicas=7), make_service("db", replicas=2, image="other"))
    cluster.commit(apply_stack(cluster.snapshot, ENVIRONMENT, wished, cluster.now_s))
    things: list[Any] = [thing for kind in KINDS for thing in cluster.snapshot.table(kind).values()]
    plan = converge(cluster.snapshot, cluster.now_s, Scope.everything())
    random.shuffle(things)
    shuffled = Snapshot.of(things, version=cluster.snapshot.version)
    assert converge(shuffled, cluster.now_s, Scope.everything()) == plan


@st.composite
def linked_stacks(draw: st.DrawFn) -> StackSpec:
    """Four in a row, each depending on or sharing with the one before it, or with nobody."""
    spec = draw(stacks())
    linked = dict(spec.services)
    before = "web"
    for name in ("api", "edge"):
        service = draw(services(name))
        match draw(st.sampled_from(["nobody", "started", "healthy", "network"])):
            case "started":
                service = msgspec.structs.replace(service, depends_on=(Dependency(service=before),))
            case "healthy":
                needs = Dependency(service=before, condition="service_healthy")
                service = msgspec.structs.replace(service, depends_on=(needs,))
            case "network":
                shares = (Sharing(what="network", service=before),)
                inside = msgspec.structs.replace(service.container, sharing=shares, networks=(), ports=())
                service = msgspec.structs.replace(service, mode="replicated", container=inside)
        linked[name] = service
        before = name
    return msgspec.structs.replace(spec, services=linked)


@QUICK
@given(linked_stacks(), st.lists(events, max_size=10))
def test_a_scope_made_from_changes_of_linked_services_misses_nothing(
    stack: StackSpec, storm: list[tuple[str, Any]]
) -> None:
    cluster = Narrow(Cluster.of(4).snapshot)
    cluster.up(stack)
    for event in storm:
        happen(cluster, event)


@QUICK
@given(stacks(), st.lists(events, max_size=10))
def test_a_scope_made_from_the_changes_misses_nothing(stack: StackSpec, storm: list[tuple[str, Any]]) -> None:
    cluster = Narrow(Cluster.of(4).snapshot)
    cluster.up(stack)
    for event in storm:
        happen(cluster, event)


class Narrow(Cluster):
    """Decides with the scope of what was committed since, and holds that looking at everything finds nothing more."""

    def commit(self, changes: Any) -> None:
        super().commit(changes)
        self.__dict__.setdefault("pending", []).extend(changes)

    def decide(self) -> Any:
        pending = self.__dict__.setdefault("pending", [])
        for _ in range(5):
            scope = Scope.of(tuple(pending), self.snapshot)
            pending.clear()
            plan = converge(self.snapshot, self.now_s, scope)
            if not plan.changes:
                break
            self.commit(plan.changes)
        missed = converge(self.snapshot, self.now_s, Scope.everything())
        timed = self.__dict__.get("looked_at_s") != self.now_s
        assert timed or not missed.changes, missed.changes[:3]
        self.__dict__["looked_at_s"] = self.now_s
        self.commit(missed.changes)
        pending.clear()
        return missed
