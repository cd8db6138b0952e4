"""Networks with IPv6: subnets as asked for or of the environment's own prefix, addresses that follow from IPv4."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import msgspec
import pytest

from paddock.core.subnets6 import free_subnet6
from paddock.model.assignment import AddressAssignment, NetworkAssignment, PeerAssignment, UnitAssignment
from paddock.model.errors import Invalid
from paddock.model.objects import Network, NetworkId
from paddock.model.specs import Attachment, NetworkSpec
from pretend_cluster import ENVIRONMENT, Cluster, make_service, make_stack


def spec(*subnets: str, **more: str) -> NetworkSpec:
    made = NetworkSpec(name="shop_default", enable_ipv6=True, subnets=subnets)
    return msgspec.structs.replace(made, **more)


def up(network: NetworkSpec, *, asked: str = "", replicas: int = 2, hosts: int = 2) -> Cluster:
    cluster = Cluster.of(hosts)
    attachment = Attachment(network="default", ipv6_address=asked)
    service = make_service("web", replicas=replicas, networks=(attachment,))
    cluster.up(make_stack(service, networks={"default": network}))
    cluster.settle()
    return cluster


def network_of(cluster: Cluster) -> Network:
    found = cluster.snapshot.named(Network, ENVIRONMENT, "shop_default")
    assert found is not None
    return found


def sixes(cluster: Cluster) -> list[str]:
    id = NetworkId(network_of(cluster).id)
    return [unit.addresses6[id] for unit in cluster.running("web")]


def test_a_subnet_as_written_and_addresses_in_it() -> None:
    cluster = up(spec("10.9.0.0/24", "2001:db8:7::/64"))
    network = network_of(cluster)
    assert (network.subnet, network.subnet6) == ("10.9.0.0/24", "2001:db8:7::/64")
    assert sixes(cluster) == ["2001:db8:7::1:0:80", "2001:db8:7::1:0:81"]
    items = list(cluster.assignment("h1").values())
    told = next(item for item in items if isinstance(item, NetworkAssignment))
    assert (told.gateway, told.gateway6, told.ip_range6) == (
        "10.9.0.1", "2001:db8:7::1:0:1", "2001:db8:7::1:0:0/124"
    )  # fmt: skip
    own = next(item for item in items if isinstance(item, UnitAssignment)).containers[0].endpoints[0]
    peer = next(item for item in items if isinstance(item, PeerAssignment))
    answered = {item.ipv6 for item in items if isinstance(item, AddressAssignment)}
    assert {own.ipv6, peer.ipv6} == answered == set(sixes(cluster))


def test_without_a_subnet_it_is_of_the_environments_own_prefix() -> None:
    cluster = up(spec())
    subnet = IPv6Network(network_of(cluster).subnet6)
    assert subnet.prefixlen == 64
    assert subnet.subnet_of(IPv6Network("fd00::/8"))
    assert all(IPv6Address(one) in subnet for one in sixes(cluster))
    assert str(subnet) == free_subnet6(ENVIRONMENT, [])
    assert free_subnet6(ENVIRONMENT, [subnet]) not in ("", str(subnet))


def test_an_address_asked_for_is_given_and_kept_from_others() -> None:
    cluster = up(spec("2001:db8:7::/64"), asked="2001:db8:7::10", replicas=1)
    assert sixes(cluster) == ["2001:db8:7::10"]
    attachment = Attachment(network="default", ipv6_address="2001:db8:7:0::10")
    both = [make_service(name, networks=(attachment,)) for name in ("web", "db")]
    cluster.up(make_stack(*both, networks={"default": spec("2001:db8:7::/64")}))
    waiting = cluster.units("db")[0].waiting
    assert waiting is not None
    assert "2001:db8:7:0::10 on network shop_default is held by" in waiting.reason


def test_gateways_as_asked_for_go_to_the_first_host() -> None:
    cluster = up(spec("10.9.0.0/24", "2001:db8:7::/64", gateway6="2001:db8:7::1"))
    told = [cluster.assignment(host).values() for host in ("h1", "h2")]
    gateways = [item.gateway6 for items in told for item in items if isinstance(item, NetworkAssignment)]
    assert gateways == ["2001:db8:7::1", "2001:db8:7::1:0:11"] or gateways == ["2001:db8:7::1", "2001:db8:7::1:0:10"]


@pytest.mark.parametrize(
    ("network", "asked", "words"),
    [
        (spec("10.9.0.0/16", "2001:db8::/120"), "", "fewer addresses than 10.9.0.0/16"),
        (spec("2001:db8::/64", "2001:db9::/64"), "", "one IPv6 subnet"),
        (spec("2001:db8::/64"), "2001:db9::1", "is not in 2001:db8::/64"),
        (spec("2001:db8::/64"), "10.0.0.1", "is not an IPv6 address"),
        (msgspec.structs.replace(spec(), enable_ipv6=False), "2001:db8::1", "has no IPv6"),
        (spec("2001:db8::/64", ip_range6="2001:db9::/96"), "", "is not in 2001:db8::/64"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_starts(network: NetworkSpec, asked: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        up(network, asked=asked, replicas=1)


def test_hosts_without_it_are_passed_over_and_a_cluster_of_them_refuses() -> None:
    cluster = Cluster.of(2)
    for name in ("h1", "h2"):
        host = cluster.host(name)
        cluster.set_host(name, facts=msgspec.structs.replace(host.facts, ipv6=False))
        wished = make_stack(
            make_service("web", networks=(Attachment(network="default"),), replicas=2), networks={"default": spec()}
        )
        if name == "h1":
            cluster.up(wished)
            cluster.settle()
            assert cluster.where("web") == ["h2", "h2"]
            cluster.up(make_stack(name="shop"), remove_orphans=True)
            cluster.settle()
    with pytest.raises(Invalid, match="no host of this environment has IPv6 in its kernel"):
        cluster.up(make_stack(make_service("web"), networks={"six": spec()}, name="other"))
