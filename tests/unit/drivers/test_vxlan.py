from __future__ import annotations

import msgspec
import pytest

from paddock.drivers.vxlan import (
    AddPort,
    AnyRule,
    DropPort,
    Entry,
    Observed,
    ObservedPort,
    Peer,
    SetBridge,
    SetPort,
    Tunnel,
    WantedNetwork,
    difference,
    without_bridge,
)
from paddock.model.objects import NetworkId

TUNNEL = Tunnel(vni=42, local_address="10.77.0.11", destination_port=4789)
PORT = "pdkv2a"
REMOTE = Peer(ipv4="10.90.0.7", mac="02:42:0A:5a:00:07", host_address="10.77.0.12")
MAC = "02:42:0a:5a:00:07"


def network(*peers: Peer, mtu: int = 1450, bridge_mac: str = "") -> WantedNetwork:
    return WantedNetwork(
        network=NetworkId("net-1"),
        bridge="pdk1",
        vni=42,
        mtu=mtu,
        local_address="10.77.0.11",
        peers=peers,
        bridge_mac=bridge_mac,
    )


def port(
    forwards: dict[str, tuple[str, ...]] | None = None,
    seats: tuple[str, ...] = (),
    neighbours: dict[str, str] | None = None,
) -> ObservedPort:
    return ObservedPort(
        tunnel=TUNNEL,
        mtu=1450,
        bridge="pdk1",
        up=True,
        quiet=True,
        forwards=forwards or {},
        seats=seats,
        neighbours=neighbours or {},
    )


def observed(one: ObservedPort | None, **bridges: str) -> Observed:
    return Observed(ports={PORT: one} if one else {}, bridges=bridges or {"pdk1": "02:42:00:00:00:01"})


RIGHT = port({MAC: ("10.77.0.12",)}, (MAC,), {"10.90.0.7": MAC})
SET = SetPort(port=PORT, bridge="pdk1", mtu=1450)
FORWARD = Entry(port=PORT, table="forward", key=MAC, value="10.77.0.12")
SEAT = Entry(port=PORT, table="seat", key=MAC)
NEIGHBOUR = Entry(port=PORT, table="neighbour", key="10.90.0.7", value=MAC)
ADD = AddPort(port=PORT, tunnel=TUNNEL, mtu=1450)


def gone(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, present=False, value="")


CASES: dict[str, tuple[WantedNetwork | None, Observed, tuple[AnyRule, ...]]] = {
    "right already": (network(REMOTE), observed(RIGHT), ()),
    "from nothing": (network(REMOTE), observed(None), (ADD, SET, FORWARD, SEAT, NEIGHBOUR)),
    "no bridge yet": (network(REMOTE), Observed(), ()),
    "no longer wanted": (None, observed(RIGHT), (DropPort(port=PORT),)),
    "peer gone": (network(), observed(RIGHT), (gone(NEIGHBOUR), gone(SEAT), gone(FORWARD))),
    "peer is on this host now": (
        network(msgspec.structs.replace(REMOTE, host_address="10.77.0.11")),
        observed(RIGHT),
        (gone(NEIGHBOUR), gone(SEAT), gone(FORWARD)),
    ),
    "peer moved to a third host": (
        network(msgspec.structs.replace(REMOTE, host_address="10.77.0.13")),
        observed(RIGHT),
        (msgspec.structs.replace(FORWARD, value="10.77.0.13"),),
    ),
    "somebody added a flooding entry": (
        network(REMOTE),
        observed(port({MAC: ("10.77.0.12",), "00:00:00:00:00:00": ("10.77.0.13",)}, (MAC,), {"10.90.0.7": MAC})),
        (Entry(port=PORT, table="forward", key="00:00:00:00:00:00", present=False),),
    ),
    "somebody added a second destination": (
        network(REMOTE),
        observed(port({MAC: ("10.77.0.12", "10.77.0.13")}, (MAC,), {"10.90.0.7": MAC})),
        (gone(FORWARD), FORWARD),
    ),
    "somebody took it out of the bridge": (
        network(REMOTE),
        observed(msgspec.structs.replace(RIGHT, bridge="")),
        (SET, SEAT),
    ),
    "somebody set it down": (network(REMOTE), observed(msgspec.structs.replace(RIGHT, up=False)), (SET,)),
    "somebody let it learn": (network(REMOTE), observed(msgspec.structs.replace(RIGHT, quiet=False)), (SET,)),
    "mtu changed": (network(REMOTE, mtu=1370), observed(RIGHT), (msgspec.structs.replace(SET, mtu=1370),)),
    "this host's address changed": (
        network(REMOTE),
        observed(msgspec.structs.replace(RIGHT, tunnel=msgspec.structs.replace(TUNNEL, local_address="10.77.0.99"))),
        (DropPort(port=PORT), ADD, SET, FORWARD, SEAT, NEIGHBOUR),
    ),
    "bridge has another MAC": (
        network(REMOTE, bridge_mac="02:42:0A:5A:00:01"),
        observed(RIGHT),
        (SetBridge(port=PORT, bridge="pdk1", mac="02:42:0a:5a:00:01"),),
    ),
    "neighbour at another MAC": (
        network(REMOTE),
        observed(port({MAC: ("10.77.0.12",)}, (MAC,), {"10.90.0.7": "02:00:00:00:00:01"})),
        (NEIGHBOUR,),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_difference(case: str) -> None:
    wanted, there, rules = CASES[case]
    assert difference([wanted] if wanted else [], there) == rules


def test_a_network_without_its_bridge_waits() -> None:
    assert without_bridge([network()], Observed()) == ("net-1",)
    assert without_bridge([network()], observed(None)) == ()


def test_a_change_of_one_peer_among_thousands_is_one_peers_rules() -> None:
    peers = tuple(
        Peer(ipv4=f"10.90.{one >> 8}.{one & 255}", mac=f"02:42:0a:5a:{one >> 8:02x}:{one & 255:02x}", host_address="h")
        for one in range(4000)
    )
    there = observed(
        port(
            {peer.mac: ("h",) for peer in peers},
            tuple(peer.mac for peer in peers),
            {peer.ipv4: peer.mac for peer in peers},
        )
    )
    assert difference([network(*peers)], there) == ()
    rules = difference([network(*peers[:-1])], there)
    assert [rule.table for rule in rules if isinstance(rule, Entry)] == ["neighbour", "seat", "forward"]
