from __future__ import annotations

import msgspec
import pytest

from named import Named, records_of
from paddock.core.names.packet import AAAA, ANY, NOERROR, NXDOMAIN, PTR, REFUSED, A, Query, address_record, name_record
from paddock.core.names.records import NamedContainer, NamedNetwork, NameRecords
from paddock.core.names.zone import Answer, Asker, Zone, asker_of
from paddock.model.assignment import AddressAssignment
from paddock.model.objects import NetworkId

FRONT_NET, BACK_NET = NetworkId("front"), NetworkId("back")


def name(network: str, text: str, *addresses: str, reverse: bool = False) -> Named:
    return Named(NetworkId(network), text, addresses, reverse)


NAMES = (
    name("front", "Web", "10.90.0.8", "10.90.0.7"),
    name("front", "web.shop", "10.90.0.7", "10.90.0.8"),
    name("front", "shop-web-1", "10.90.0.7", reverse=True),
    name("front", "starting"),
    name("front", "db"),
    name("back", "db", "10.91.0.5"),
    name("elsewhere", "ghost", "10.99.0.1"),
)
SIX = AddressAssignment(
    network=BACK_NET, ipv4="10.91.0.6", ipv6="fd00::5", container="shop-six-1", names=("six", "starting")
)
NETWORKS = (
    NamedNetwork(network=FRONT_NET, gateway="10.90.0.1", subnet="10.90.0.0/24"),
    NamedNetwork(network=BACK_NET, gateway="10.91.0.1", subnet="10.91.0.0/24", internal=True),
)


def records(*more: Named) -> NameRecords:
    made = records_of(NETWORKS, (*NAMES, *more))
    return msgspec.structs.replace(made, addresses=(*made.addresses, SIX))


RECORDS = records()
FRONT = Asker(networks=(FRONT_NET,))
BACK = Asker(networks=(BACK_NET,))
BOTH = Asker(networks=(FRONT_NET, BACK_NET), links=(("database", "db"),))


def found(*records: bytes) -> Answer:
    return Answer(code=NOERROR, records=records)


NONE = Answer(code=NXDOMAIN)
WEB = found(address_record("10.90.0.7"), address_record("10.90.0.8"))
DB = found(address_record("10.91.0.5"))
CASES: list[tuple[str, Asker, str, int, Answer | None]] = [
    ("a service", FRONT, "web", A, WEB),
    ("with its stack", FRONT, "web.shop", A, WEB),
    ("no AAAA, but the name is there", FRONT, "web", AAAA, found()),
    ("nor mail", FRONT, "web", 15, found()),
    ("everything there is", FRONT, "web", ANY, WEB),
    ("known, nothing ready", FRONT, "starting", A, found()),
    ("not ours", FRONT, "example.org", A, None),
    ("on a network the asker is not on", FRONT, "six", A, None),
    ("ready only on the second network", BOTH, "db", A, DB),
    ("by a link", BOTH, "database", A, DB),
    ("a link of somebody else", FRONT, "database", A, None),
    ("outside, asked from an internal network", BACK, "example.org", A, NONE),
    ("outside, asked from both", BOTH, "example.org", A, None),
    ("IPv6", BACK, "six", AAAA, found(address_record("fd00::5"))),
    ("IPv4 of both kinds", BACK, "six", A, found(address_record("10.91.0.6"))),
    ("a network this host has not", FRONT, "ghost", A, None),
    ("reverse", FRONT, "7.0.90.10.in-addr.arpa", PTR, found(name_record("shop-web-1"))),
    ("reverse, other type", FRONT, "7.0.90.10.in-addr.arpa", A, found()),
    ("reverse of ours without a name", FRONT, "9.0.90.10.in-addr.arpa", PTR, NONE),
    ("reverse on another network of ours", FRONT, "5.0.91.10.in-addr.arpa", PTR, NONE),
    ("reverse outside", FRONT, "1.1.1.1.in-addr.arpa", PTR, None),
    ("reverse, not an address", FRONT, "999.0.90.10.in-addr.arpa", PTR, None),
    ("reverse of a whole zone", FRONT, "90.10.in-addr.arpa", PTR, None),
]


@pytest.mark.parametrize(("asker", "text", "kind", "answer"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_look_up(asker: Asker, text: str, kind: int, answer: Answer | None) -> None:
    query = Query(flags=0, name=text, kind=kind, class_=1)
    assert Zone.of(RECORDS).look_up(asker, query) == answer


def test_other_classes_are_refused() -> None:
    query = Query(flags=0, name="version.bind", kind=16, class_=3)
    assert Zone.of(RECORDS).look_up(FRONT, query) == Answer(code=REFUSED)


def test_an_asker_is_its_networks_and_links_in_order() -> None:
    container = NamedContainer(addresses={BACK_NET: "10.91.0.9", FRONT_NET: "10.90.0.9"}, links={"Z": "web", "a": "DB"})
    assert asker_of(container) == Asker(networks=(BACK_NET, FRONT_NET), links=(("a", "db"), ("z", "web")))


def test_only_networks_that_mean_something_else_are_changed() -> None:
    zone = Zone.of(RECORDS)
    assert zone.changed_since(Zone.of(RECORDS)) == frozenset()
    assert Zone.of(records(name("back", "new", "10.91.0.7"))).changed_since(zone) == {"back"}
    assert Zone().changed_since(zone) == {"front", "back"}
