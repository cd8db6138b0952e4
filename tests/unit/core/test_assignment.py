from __future__ import annotations

from typing import Any

from named import meaning
from paddock.core.assignment import assignments
from paddock.core.concerned import hosts_concerned
from paddock.core.stacks import Sealed
from paddock.model.assignment import FileAssignment, NetworkAssignment, PeerAssignment, UnitAssignment
from paddock.model.changes import Put
from paddock.model.objects import Host, HostId, HostState, Network, UnitState
from paddock.model.specs import (
    Attachment,
    FileMount,
    FileSpec,
    NetworkSpec,
    PortSpec,
    Sharing,
    StackSpec,
    VolumeMount,
    VolumeSpec,
)
from pretend_cluster import ENVIRONMENT, Cluster, make_host, make_service, make_stack

NETWORKS = {"default": NetworkSpec(name="shop_default")}
ON_DEFAULT = (Attachment(network="default", aliases=("www",)),)


def stack(replicas: int = 2) -> StackSpec:
    return make_stack(make_service(replicas=replicas, networks=ON_DEFAULT), networks=NETWORKS)


def started(hosts: int = 3, replicas: int = 2) -> Cluster:
    cluster = Cluster.of(hosts)
    cluster.up(stack(replicas))
    cluster.settle()
    return cluster


def test_a_host_holds_its_units_and_their_networks_and_nothing_else() -> None:
    cluster = started()
    there, elsewhere = cluster.assignment("h1"), cluster.assignment("h3")
    assert not elsewhere
    unit = there["unit/" + cluster.live()[0].id]
    assert isinstance(unit, UnitAssignment)
    container = unit.containers[0]
    assert container.name == "shop-web-1"
    assert container.body["Labels"]["io.paddock.stack"] == "shop"
    assert container.body["Labels"]["io.paddock.environment"] == "default"
    assert [(one.ipv4, one.mac) for one in container.endpoints] == [("10.128.8.0", "02:42:0a:80:08:00")]
    network = next(item for item in there.values() if isinstance(item, NetworkAssignment))
    assert (network.subnet, network.gateway, network.ip_range) == ("10.128.0.0/20", "10.128.0.1", "10.128.0.0/28")
    assert (network.vni, network.mtu, network.engine_name) == (4096, 1450, "shop_default")


def test_peers_are_the_live_units_of_the_other_hosts() -> None:
    cluster = started()
    peers = [item for item in cluster.assignment("h2").values() if isinstance(item, PeerAssignment)]
    assert [(peer.ipv4, peer.mac, peer.host_address) for peer in peers] == [
        ("10.128.8.0", "02:42:0a:80:08:00", "10.77.0.2")
    ]


def names(cluster: Cluster, host: str = "h1") -> dict[str, tuple[str, ...]]:
    return dict(meaning(cluster.assignment(host).values()))


def test_names_are_those_of_ready_units_only() -> None:
    cluster = started()
    both = ("10.128.8.0", "10.128.8.1")
    assert names(cluster) == {
        "shop-web-1": ("10.128.8.0",),
        "shop-web-2": ("10.128.8.1",),
        "tasks.web": both,
        "web": both,
        "web.shop": both,
        "www": both,
    }
    cluster.report(cluster.live()[0], UnitState.FAILED)
    assert names(cluster, "h2")["web"] == ("10.128.8.1",)


def test_names_of_a_lost_host_go_unless_the_breaker_is_open() -> None:
    moved = started(hosts=2)
    moved.lose("h1")
    assert names(moved, "h2")["web"] == ("10.128.8.1",)
    open_one = started(hosts=3, replicas=3)
    open_one.lose("h1", "h2")
    assert len(names(open_one, "h3")["web"]) == 3


def test_a_change_concerns_the_hosts_of_its_network_only() -> None:
    cluster = Cluster.of(4)
    other = make_stack(make_service("db"), name="other")
    cluster.up(stack())
    cluster.up(other)
    cluster.settle()
    before = cluster.snapshot
    cluster.report(cluster.live()[0], UnitState.FAILED)
    after = cluster.snapshot
    changes = [Put(object=cluster.units()[0], reason="")]
    assert hosts_concerned(changes, before, after) == ("host-h1", "host-h2")


def test_hosts_that_are_not_concerned_hold_what_they_held() -> None:
    cluster = started(hosts=5, replicas=3)
    hosts = [HostId(host) for host in sorted(cluster.snapshot.table(Host))]
    for event in range(6):
        before = cluster.snapshot
        collected: list[Any] = []
        match event:
            case 0:
                cluster.report(cluster.live()[1], UnitState.FAILED)
            case 1:
                cluster.settle()
            case 2:
                cluster.set_host("h1", state=HostState.SILENT, since_s=cluster.now_s)
            case 3:
                cluster.pass_time(10.0)
            case 4:
                cluster.bring_back("h1")
            case _:
                cluster.up(stack(5))
        for kind in ("unit", "host", "network"):
            table, earlier = cluster.snapshot._tables[kind], before._tables[kind]
            for id in sorted({*table, *earlier}):
                if table.get(id) != earlier.get(id):
                    thing: Any = table.get(id) or earlier.get(id)
                    collected.append(Put(object=thing, reason=""))
        concerned = hosts_concerned(collected, before, cluster.snapshot)
        old, new = assignments(before, hosts), assignments(cluster.snapshot, hosts)
        assert {host for host in hosts if old[host] != new[host]} <= set(concerned)


def test_secrets_are_on_the_hosts_that_use_them_only() -> None:
    cluster = Cluster.of(2)
    mount = FileMount(kind="secret", source="key", target="/run/secrets/key", mode=0o400)
    spec = make_stack(make_service(files=(mount,)), secrets={"key": FileSpec(name="shop_key", content=b"")})
    cluster.up(spec, {("secret", "key"): Sealed(b"sealed", "d1")})
    files = [item for host in ("h1", "h2") for item in cluster.assignment(host).values()]
    assert [item.digest for item in files if isinstance(item, FileAssignment)] == ["d1"]
    unit = next(item for item in cluster.assignment("h1").values() if isinstance(item, UnitAssignment))
    assert unit.containers[0].files[0].target == "/run/secrets/key"


def test_bodies_carry_ports_volumes_and_shared_namespaces() -> None:
    cluster = Cluster.of([make_host("h1")])
    web = make_service(
        ports=(
            PortSpec(target=80, published="8080"),
            PortSpec(target=53, published="53", protocol="udp", host_ip="10.77.0.2"),
        ),
        volumes=(VolumeMount(volume="data", target="/data", read_only=True),),
        config={"Cmd": ["sleep"], "Labels": {"a": "b"}, "HostConfig": {"Init": True}},
    )
    probe = make_service("probe", sharing=(Sharing(what="network", service="web"), Sharing(what="pid", service="web")))
    cluster.up(make_stack(web, probe, volumes={"data": VolumeSpec(name="shop_data")}))
    items = cluster.assignment("h1")
    bodies = {
        item.containers[0].name: item.containers[0] for item in items.values() if isinstance(item, UnitAssignment)
    }
    body = bodies["shop-web-1"].body
    assert body["HostConfig"] == {
        "Init": True,
        "PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}],
            "53/udp": [{"HostIp": "10.77.0.2", "HostPort": "53"}],
        },
        "Mounts": [{"Type": "volume", "Source": "shop_data", "Target": "/data", "ReadOnly": True}],
    }
    assert body["Labels"]["a"] == "b"
    shared = bodies["shop-probe-1"]
    assert shared.network_mode == "container:shop-web-1"
    assert shared.after == ("shop-web-1",)
    assert shared.body["HostConfig"] == {"NetworkMode": "container:shop-web-1", "PidMode": "container:shop-web-1"}
    assert "volume/" + next(iter(cluster.snapshot.table(Network)), "env-1.shop_data.1") in items


def test_an_environment_is_named_in_labels() -> None:
    cluster = started()
    assert cluster.live()[0].environment == ENVIRONMENT
