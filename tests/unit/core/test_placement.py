from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from paddock.core.dry_run import dry_run
from paddock.core.explain import explain
from paddock.core.schedule.expressions import host_satisfies, parse, problem_with_affinity, problem_with_constraint
from paddock.core.stacks import apply_stack
from paddock.core.status import service_status, stack_state
from paddock.model.objects import HostFacts, HostState, Unit
from paddock.model.specs import Placement, PortSpec, Resources, VolumeMount, VolumeSpec
from pretend_cluster import ENVIRONMENT, GIB, Cluster, make_host, make_service, make_stack

HOST = make_host(
    "h1",
    labels={"zone": "a1"},
    facts=HostFacts(os="Debian GNU/Linux 12", architecture="x86_64", address="10.0.0.1", engine_labels={"gpu": "yes"}),
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("node.labels.zone==a1", True),
        ("node.labels.zone == a1", True),
        ("node.labels.zone!=a1", False),
        ("node.labels.zone==a*", True),
        ("node.labels.zone==/^a[0-9]$/", True),
        ("node.labels.zone==/^b/", False),
        ("node.labels.rack==r1", False),
        ("node.labels.rack!=r1", True),
        ("node.hostname==h1", True),
        ("node.id!=host-h1", False),
        ("node.platform.os==linux", True),
        ("node.platform.arch==amd64", True),
        ("engine.labels.gpu==yes", True),
        ("node.role==manager", False),
    ],
)
def test_constraints_read_as_docker_writes_them(text: str, holds: bool) -> None:
    expression = parse(text)
    assert expression is not None
    assert problem_with_constraint(text) == ""
    assert host_satisfies(HOST, expression) is holds


@pytest.mark.parametrize("text", ["zone==a", "node.labels.zone", "node.hostname==/(/", "node.label.zone==a"])
def test_constraints_that_mean_nothing_are_said(text: str) -> None:
    assert text.split("==")[0] in problem_with_constraint(text)


def test_affinities_that_mean_nothing_are_said() -> None:
    assert problem_with_affinity("label:tier!=~db") == ""
    assert "container, service, image" in problem_with_affinity("host==h1")


def reason(cluster: Cluster, name: str = "web") -> str:
    waiting = [unit.waiting for unit in cluster.live(name) if unit.waiting is not None]
    return waiting[0].reason if waiting else ""


def placed(hosts: Any, **fields: Any) -> Cluster:
    cluster = Cluster.of(hosts)
    cluster.up(make_stack(make_service(**fields)))
    return cluster


def test_every_filter_explains_itself() -> None:
    hosts = [
        make_host("h1", availability="drained"),
        make_host("h2", state=HostState.JOINING),
        make_host("h3", labels={"zone": "b"}),
        make_host("h4", labels={"zone": "a"}),
    ]
    cluster = placed(
        hosts, reservation=Resources(memory_bytes=9 * GIB), placement=Placement(constraints=("node.labels.zone==a",))
    )
    assert reason(cluster) == (
        "no host can take it: 1 host: constraint (node.labels.zone==a), 1 host: drained, 1 host: joining, "
        "1 host: memory (need 9 GiB, most free is 8 GiB on h4)"
    )
    why = explain(cluster.snapshot, ENVIRONMENT, "shop-web-1").hosts
    assert why == {
        "h1": "drained",
        "h2": "joining",
        "h3": "constraint (node.labels.zone==a)",
        "h4": "memory (need 9 GiB, most free is 8 GiB on h4)",
    }


def test_ports_are_the_schedulers_to_avoid() -> None:
    cluster = placed(2, replicas=3, ports=(PortSpec(target=80, published="8080"),))
    assert cluster.where() == ["h1", "h2"]
    assert reason(cluster) == "no host can take it: 2 hosts: ports (8080/tcp in use)"
    other = make_service("udp", ports=(PortSpec(target=80, published="8080", protocol="udp"),))
    cluster.up(make_stack(other, name="other"))
    assert len(cluster.where("udp", "other")) == 1


def test_a_port_of_one_address_leaves_the_others_free() -> None:
    cluster = Cluster.of(1)
    one = PortSpec(target=80, published="80", host_ip="10.0.0.1")
    cluster.up(
        make_stack(
            make_service("a", ports=(one,)),
            make_service("b", ports=(PortSpec(target=80, published="80", host_ip="10.0.0.2"),)),
            make_service("c", ports=(PortSpec(target=80, published="80"),)),
        )
    )
    assert [len(cluster.where(name)) for name in ("a", "b", "c")] == [1, 1, 0]


def test_a_range_has_as_many_units_as_ports() -> None:
    cluster = placed(1, replicas=5, ports=(PortSpec(target=80, published="8000-8003"),))
    assert len(cluster.where()) == 4
    assert "8000-8003/tcp in use" in reason(cluster)


def test_resources_and_max_per_host_are_never_exceeded() -> None:
    cluster = placed(2, replicas=9, reservation=Resources(cpu_milli=1000))
    assert Counter(cluster.where()) == {"h1": 4, "h2": 4}
    assert "cpu (need 1 CPUs, most free is 0 CPUs on h1)" in reason(cluster)
    few = placed(2, replicas=5, placement=Placement(max_per_host=2))
    assert Counter(few.where()) == {"h1": 2, "h2": 2}
    assert "max per host (at most 2 of web on one host)" in reason(few)


def test_room_that_becomes_free_is_used() -> None:
    cluster = placed(1, replicas=3, reservation=Resources(cpu_milli=2000))
    assert len(cluster.where()) == 2
    cluster.commit([])
    cluster.set_host("h1", facts=HostFacts(cpus=6, memory_bytes=8 * GIB))
    cluster.decide()
    assert len(cluster.where()) == 3


def test_preferences_level_attributes_first() -> None:
    hosts = [make_host(f"h{at}", labels={"rack": "r1" if at < 4 else "r2"}) for at in range(1, 6)]
    cluster = placed(hosts, replicas=4, placement=Placement(preferences=("node.labels.rack",)))
    assert sum(host in ("h4", "h5") for host in cluster.where()) == 2


def test_binpack_fills_one_host_before_the_next() -> None:
    cluster = placed(
        3, replicas=5, reservation=Resources(memory_bytes=2 * GIB), placement=Placement(strategy="binpack")
    )
    assert sorted(Counter(cluster.where()).values()) == [1, 4]


def test_affinities_hard_and_soft() -> None:
    cluster = Cluster.of(3)
    cluster.up(
        make_stack(
            make_service("db"),
            make_service("near", replicas=2, placement=Placement(affinities=("service==db",))),
            make_service("far", replicas=2, placement=Placement(affinities=("service!=db",))),
            make_service("alone", replicas=4, placement=Placement(affinities=("service!=alone",))),
            make_service("wish", placement=Placement(affinities=("~container==shop-db-1",))),
            make_service("vain", placement=Placement(affinities=("~service==nothing",))),
        )
    )
    home = cluster.where("db")
    assert cluster.where("near") == home * 2
    assert home[0] not in cluster.where("far")
    assert cluster.where("alone") == ["h1", "h2", "h3"]
    assert "affinity (service!=alone)" in reason(cluster, "alone")
    assert cluster.where("wish") == home
    assert len(cluster.where("vain")) == 1


def test_soft_constraints_are_dropped_when_nobody_meets_them() -> None:
    hosts = [make_host("h1"), make_host("h2", labels={"disk": "ssd"})]
    assert placed(hosts, placement=Placement(constraints=("~node.labels.disk==ssd",))).where() == ["h2"]
    assert len(placed(hosts, placement=Placement(constraints=("~node.labels.disk==tape",))).where()) == 1


def test_a_volume_binds_to_the_host_of_its_first_unit() -> None:
    cluster = Cluster.of(3)
    mount = (VolumeMount(volume="data", target="/d"),)
    cluster.up(
        make_stack(
            make_service("a", replicas=3, volumes=mount),
            make_service("b", volumes=mount),
            volumes={"data": VolumeSpec(name="shop_data")},
        )
    )
    assert len({*cluster.where("a"), *cluster.where("b")}) == 1
    shared = Cluster.of(3)
    nfs = VolumeSpec(name="shop_data", driver="local", driver_opts={"type": "nfs", "o": "addr=10.0.0.9"})
    shared.up(make_stack(make_service("a", replicas=3, volumes=mount), volumes={"data": nfs}))
    assert len(set(shared.where("a"))) == 3


def test_where_a_unit_is_has_a_reason() -> None:
    cluster = placed(3, replicas=1)
    told = explain(cluster.snapshot, ENVIRONMENT, "shop-web-1")
    assert (
        told.placed_because == "3 of 3 hosts could take it; spread: fewest units of web, then fewest units for its size"
    )
    assert explain(cluster.snapshot, ENVIRONMENT, "web").kind == "service"
    assert explain(cluster.snapshot, ENVIRONMENT, "shop").kind == "stack"
    assert explain(cluster.snapshot, ENVIRONMENT, "h1").summary == "host h1 is active, with 1 units"


def test_a_dry_run_shows_what_up_commits() -> None:
    cluster = Cluster.of(2)
    wish = apply_stack(cluster.snapshot, ENVIRONMENT, make_stack(make_service(replicas=2)), cluster.now_s)
    plan = dry_run(cluster.snapshot, wish, cluster.now_s)
    assert plan[: len(wish)] == wish
    assert sum(isinstance(change.object, Unit) for change in plan) == 2
    assert all(change.reason for change in plan)


def test_one_word_says_how_a_service_is() -> None:
    cluster = placed(2, replicas=2)
    states = [service_status(cluster.snapshot, cluster.service("web")).state]
    cluster.settle()
    states.append(service_status(cluster.snapshot, cluster.service("web")).state)
    assert states == ["converging", "running"]
    assert stack_state(["running", "failed", "updating"]) == "failed"
