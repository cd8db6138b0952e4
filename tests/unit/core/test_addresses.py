from __future__ import annotations

from ipaddress import IPv4Network

import msgspec
import pytest

from paddock.core import commands
from paddock.core.subnets import free_subnet, layout, lowest_free, mac_of, text
from paddock.model.errors import Invalid
from paddock.model.objects import HostFacts, Network, NetworkId, UnitState
from paddock.model.specs import Attachment, NetworkSpec, ServiceSpec, StackSpec
from pretend_cluster import ENVIRONMENT, Cluster, make_host, make_service, make_stack


def network(cluster: Cluster, name: str = "shop_default") -> Network:
    found = cluster.snapshot.named(Network, ENVIRONMENT, name)
    assert found is not None
    return found


def stack(*services: ServiceSpec, subnet: str = "", **fields: str) -> StackSpec:
    spec = NetworkSpec(name="shop_default", subnets=(subnet,) if subnet else ())
    return make_stack(*services, networks={"default": msgspec.structs.replace(spec, **fields)})


def attached(name: str = "web", address: str = "", **fields: object) -> ServiceSpec:
    return make_service(name, networks=(Attachment(network="default", ipv4_address=address),), **fields)


def addresses(cluster: Cluster, name: str = "web") -> list[str]:
    id = NetworkId(network(cluster).id)
    return [unit.addresses[id] for unit in cluster.live(name) if id in unit.addresses]


@pytest.mark.parametrize(
    ("subnet", "blocks", "second_gateway", "first_range", "first_unit"),
    [
        ("10.1.0.0/16", 2048, "10.1.0.16", "10.1.0.0/28", "10.1.128.0"),
        ("10.1.0.0/24", 8, "10.1.0.16", "10.1.0.0/28", "10.1.0.128"),
        ("10.1.0.0/26", 8, "10.1.0.4", "10.1.0.0/30", "10.1.0.32"),
        ("10.1.0.0/28", 7, "10.1.0.2", "10.1.0.1/32", "10.1.0.8"),
    ],
)
def test_a_subnet_is_halved_between_hosts_and_units(
    subnet: str, blocks: int, second_gateway: str, first_range: str, first_unit: str
) -> None:
    plan = layout(subnet)
    assert plan.blocks == blocks
    assert text(plan.gateway(1)) == second_gateway
    assert plan.block_range(0) == first_range
    assert text(plan.first_unit) == first_unit


def test_the_lowest_free_subnet_avoids_what_is_taken() -> None:
    taken = [IPv4Network("10.128.0.0/20"), IPv4Network("10.128.16.0/24"), IPv4Network("10.128.48.0/20")]
    assert free_subnet(["10.128.0.0/10"], 20, taken) == "10.128.32.0/20"
    assert free_subnet(["10.128.0.0/20"], 20, taken) == ""
    assert lowest_free([4096, 4098], 4096) == 4097
    assert mac_of("10.128.8.255") == "02:42:0a:80:08:ff"


def test_networks_avoid_each_other_and_the_hosts_own() -> None:
    facts = HostFacts(address="10.77.0.2", subnets=("10.128.0.0/20", "172.17.0.0/16"))
    cluster = Cluster.of([make_host("h1", facts=facts)])
    cluster.up(stack(attached()))
    other = make_stack(
        make_service("web", networks=(Attachment(network="default"),)),
        name="other",
        networks={"default": NetworkSpec(name="other_default")},
    )
    cluster.up(other)
    assert network(cluster).subnet == "10.128.16.0/20"
    assert network(cluster, "other_default").subnet == "10.128.32.0/20"
    assert (network(cluster).vni, network(cluster, "other_default").vni) == (4096, 4097)


def test_an_address_that_is_asked_for_is_given_and_kept_free_for_its_owner() -> None:
    cluster = Cluster.of(2)
    cluster.up(stack(attached("a", replicas=3), attached("z", address="10.5.0.128"), subnet="10.5.0.0/24"))
    assert addresses(cluster, "z") == ["10.5.0.128"]
    assert addresses(cluster, "a") == ["10.5.0.129", "10.5.0.130", "10.5.0.131"]


def test_an_asked_address_in_the_first_block_moves_the_gateways_away() -> None:
    cluster = Cluster.of(1)
    cluster.up(stack(attached(address="10.5.0.10"), subnet="10.5.0.0/24", gateway="10.5.0.254"))
    assert network(cluster).gateways == {"host-h1": "10.5.0.254"}
    other = Cluster.of(1)
    other.up(stack(attached(address="10.5.0.1"), subnet="10.5.0.0/24"))
    assert network(other).gateways == {"host-h1": "10.5.0.16"}


def test_a_slot_keeps_its_address_and_a_live_holder_is_never_robbed() -> None:
    cluster = Cluster.of(2)
    cluster.up(stack(attached(replicas=2)))
    cluster.settle()
    before = addresses(cluster)
    cluster.report(cluster.running()[1], UnitState.REMOVED)
    cluster.settle()
    assert addresses(cluster) == before
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("web"), 3))
    cluster.settle()
    assert len(set(addresses(cluster))) == 3


def test_an_exhausted_subnet_is_said() -> None:
    cluster = Cluster.of(1)
    cluster.up(stack(attached(replicas=9), subnet="10.5.0.0/28"))
    waiting = [unit.waiting.reason for unit in cluster.live() if unit.waiting is not None]
    assert waiting == ["network shop_default (10.5.0.0/28) has no free address left"] * 2


def test_a_network_with_too_few_blocks_takes_in_no_more_hosts() -> None:
    cluster = Cluster.of(10)
    cluster.up(stack(attached(replicas=7, placement=make_service().placement), subnet="10.5.0.0/29"))
    cluster.settle()
    assert len(network(cluster).gateways) <= 4
    for unit in cluster.running():
        assert unit.host in network(cluster).gateways


def test_hosts_leave_a_network_with_their_last_unit_and_it_goes_with_its_stack() -> None:
    cluster = Cluster.of(3)
    cluster.up(stack(attached(replicas=3)))
    cluster.settle()
    assert len(network(cluster).gateways) == 3
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("web"), 1))
    cluster.settle()
    assert list(network(cluster).gateways) == ["host-h1"]
    cluster.commit(commands.remove_stack(cluster.snapshot, ENVIRONMENT, "shop"))
    cluster.settle()
    assert not cluster.snapshot.table(Network)


def test_what_cannot_be_is_refused_with_every_problem() -> None:
    cluster = Cluster.of(1)
    with pytest.raises(Invalid) as raised:
        cluster.up(stack(attached(address="10.6.0.1", replicas=2), subnet="10.5.0.0/31"))
    assert [problem.field for problem in raised.value.problems] == [
        "networks.default.ipam.config[0].subnet",
        "services.web.networks.default.ipv4_address",
        "services.web.networks.default.ipv4_address",
    ]
