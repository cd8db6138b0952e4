"""The network driver against the real kernel: hosts and containers are network namespaces."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator

import msgspec
import pytest

from network_lab import BRIDGE, DEADLINE_S, MTU, Lab, LabHost, ip, mac_of, ping
from paddock.drivers import rtnetlink
from paddock.drivers.network import Overlay
from paddock.drivers.vxlan import Entry, Peer, WantedNetwork
from paddock.model.objects import NetworkId
from waiting import until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: makes network namespaces"),
]
C1, C2, C3 = "10.96.1.1", "10.96.1.2", "10.96.1.3"
PORT = "pdkv5a01"
FULL = MTU - 28


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab.up(3)
    try:
        made.start(C1, "h1")
        made.start(C2, "h2")
        made.apply()
        yield made
    finally:
        made.down()


def apply(host: LabHost, *wanted: WantedNetwork) -> tuple[object, ...]:
    return host.inside.run(host.overlay.apply(wanted)).rules


def test_containers_on_two_hosts_reach_each_other_with_full_packets(lab: Lab) -> None:
    assert lab.ping(C1, C2, FULL)
    assert lab.ping(C2, C1, FULL)
    assert not lab.ping(C1, C2, FULL + 1)
    for name in ("h1", "h2"):
        names, numbers = (line.split() for line in lab.hosts[name].run("grep", "^Ip:", "/proc/net/snmp").splitlines())
        assert dict(zip(names, numbers, strict=True))["FragCreates"] == "0", "the encapsulated packet must fit as well"


def test_nothing_is_flooded(lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    sent = h1.run("cat", f"/sys/class/net/{PORT}/statistics/tx_packets")
    assert not lab.ping(C1, "10.96.9.9")
    ip("-n", lab.container(C1), "neigh", "add", "10.96.9.8", "lladdr", "02:42:00:00:00:99", "dev", "eth0")
    assert not lab.ping(C1, "10.96.9.8")
    assert h1.run("cat", f"/sys/class/net/{PORT}/statistics/tx_packets") == sent
    assert "00:00:00:00:00:00" not in h1.run("bridge", "fdb", "show", "dev", PORT)


def test_applying_again_after_an_agent_restart_changes_nothing(lab: Lab) -> None:
    h1 = lab.hosts["h1"]

    async def again() -> tuple[object, bytes]:
        """What an overlay that has just been born writes, and what the kernel told its listeners meanwhile."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE) as ears:
            ears.bind((0, 1 << 0 | 1 << 2))
            newborn = Overlay()
            try:
                applied = await newborn.apply([lab.wanted("h1")])
            finally:
                await newborn.close()
            try:
                return applied.rules, ears.recv(1 << 16)
            except BlockingIOError:
                return applied.rules, b""

    assert h1.inside.run(again())[0] == ()
    # Right after its start the kernel itself tells of addresses and ports; once it is quiet, only we could speak.
    until(lambda: h1.inside.run(again()) == ((), b""), "an agent's restart writes nothing")
    assert h1.inside.run(h1.overlay.apply([lab.wanted("h1")])).rules == ()


DAMAGE = {
    "forwarding entry removed": ["bridge", "fdb", "del", mac_of(C2), "dev", PORT, "self"],
    "seat removed": ["bridge", "fdb", "del", mac_of(C2), "dev", PORT, "master"],
    "neighbour removed": ["ip", "neigh", "del", C2, "dev", PORT],
    "neighbour altered": ["ip", "neigh", "replace", C2, "lladdr", "02:00:00:00:00:01", "dev", PORT],
    "entry sent elsewhere": ["bridge", "fdb", "replace", mac_of(C2), "dev", PORT, "dst", "10.66.0.13", "self"],
    "flooding added": ["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", PORT, "dst", "10.66.0.12"],
    "port down": ["ip", "link", "set", PORT, "down"],
    "port out of the bridge": ["ip", "link", "set", PORT, "nomaster"],
    "port mtu": ["ip", "link", "set", PORT, "mtu", "1300"],
    "port learning": ["bridge", "link", "set", "dev", PORT, "learning", "on", "flood", "on"],
    "port gone": ["ip", "link", "del", PORT],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_others_break_is_repaired(lab: Lab, damage: str) -> None:
    h1 = lab.hosts["h1"]
    h1.run(*DAMAGE[damage])
    assert apply(h1, lab.wanted("h1"))
    assert apply(h1, lab.wanted("h1")) == ()
    assert lab.ping(C1, C2, FULL)


def test_a_bridge_made_anew_is_noticed_and_joined(lab: Lab) -> None:
    h1 = lab.hosts["h1"]

    async def heal() -> None:
        """What an agent does: apply whenever something changed, until the bridge is back and nothing is left to do."""
        async with asyncio.timeout(DEADLINE_S):
            watching = h1.overlay.changes()
            await anext(watching)
            remade = asyncio.get_running_loop().run_in_executor(None, remake)
            async for _ in watching:
                applied = await h1.overlay.apply([lab.wanted("h1")])
                if remade.done() and not applied.waiting:
                    break
            await watching.aclose()

    def remake() -> None:
        ip("-n", h1.namespace, "link", "del", BRIDGE)
        h1.make_bridge()
        ip("-n", h1.namespace, "link", "set", "v600101", "master", BRIDGE)

    h1.inside.run(heal())
    until(lambda: lab.ping(C1, C2), "containers reach each other again")


def test_without_its_bridge_a_network_waits_and_others_go_on(lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    other = WantedNetwork(network=NetworkId("net-2"), bridge="pdkabsent", vni=9, mtu=MTU, local_address=h1.address)
    applied = h1.inside.run(h1.overlay.apply([other, lab.wanted("h1")]))
    assert (applied.waiting, applied.rules) == (("net-2",), ())


def test_a_vni_taken_by_a_stranger_is_told_and_others_go_on(lab: Lab) -> None:
    h1 = lab.hosts["h1"]
    h1.run("ip", "link", "add", "stranger", "type", "vxlan", "id", "9", "dstport", "4789", "local", h1.address)
    h1.run("ip", "link", "add", "pdktest1", "type", "bridge")
    taken = WantedNetwork(network=NetworkId("net-2"), bridge="pdktest1", vni=9, mtu=MTU, local_address=h1.address)
    free = WantedNetwork(network=NetworkId("net-3"), bridge="pdktest1", vni=10, mtu=MTU, local_address=h1.address)
    applied = h1.inside.run(h1.overlay.apply([taken, free, lab.wanted("h1")]))
    assert list(applied.problems) == ["pdkv9"]
    assert "VNI 9" in applied.problems["pdkv9"]
    assert set(h1.inside.run(h1.overlay.observe()).ports) == {PORT, "pdkva"}
    assert apply(h1)
    assert h1.inside.run(h1.overlay.observe()).ports == {}
    assert "stranger" in h1.run("ip", "-o", "link", "show", "type", "vxlan")


def test_an_address_that_moves_is_reached_at_once_with_old_arp_tables(lab: Lab) -> None:
    lab.start(C3, "h2")
    lab.apply()
    assert lab.ping(C1, C3)
    assert lab.ping(C2, C3)
    for host in ("h3", "h1", "h2"):
        lab.start(C3, host)
        lab.apply()
        assert lab.ping(C1, C3, FULL), f"from h1 to it on {host}"
        assert lab.ping(C2, C3, FULL), f"from h2 to it on {host}"
        assert lab.ping(C3, C1, FULL), f"from it on {host} to h1"


def test_a_local_peer_leaves_no_entry(lab: Lab) -> None:
    lab.start(C2, "h1")
    lab.apply()
    h1 = lab.hosts["h1"]
    assert mac_of(C2) not in h1.run("bridge", "fdb", "show", "dev", PORT)
    assert C2 not in h1.run("ip", "neigh", "show", "dev", PORT, "nud", "permanent")


def test_a_link_that_is_cut_and_healed_works_again_by_itself(lab: Lab) -> None:
    assert lab.ping(C1, C2)
    ip("-n", f"{lab.prefix}-lan", "link", "set", "h2", "down")
    assert not lab.ping(C1, C2)
    ip("-n", f"{lab.prefix}-lan", "link", "set", "h2", "up")
    until(lambda: lab.ping(C1, C2), "traffic after the link healed")
    for name, host in lab.hosts.items():
        assert apply(host, lab.wanted(name)) == ()


def test_a_hosts_own_processes_reach_containers_elsewhere(lab: Lab) -> None:
    lab.peer_gateways = True
    lab.apply()
    assert ping(lab.hosts["h1"].namespace, C2, FULL)
    assert ping(lab.hosts["h3"].namespace, C2)
    assert lab.ping(C2, lab.hosts["h1"].gateway)


def test_thousands_of_peers_are_programmed_and_changed_quickly(lab: Lab) -> None:
    """Far more than gc_thresh3 allows of ordinary neighbours, and no slower for those already there."""
    h1 = lab.hosts["h1"]
    crowd = tuple(
        Peer(
            ipv4=f"10.96.{one >> 8}.{one & 255}", mac=mac_of(f"10.96.{one >> 8}.{one & 255}"), host_address="10.66.0.13"
        )
        for one in range(0x1000, 0x1000 + 3000)
    )
    base = lab.wanted("h1")
    wanted = msgspec.structs.replace(base, peers=base.peers + crowd)
    took: list[float] = []
    for step, count in ((wanted, 9000), (wanted, 0), (msgspec.structs.replace(wanted, peers=wanted.peers[:-1]), 3)):
        begun = time.process_time()
        assert len(apply(h1, step)) == count
        took.append(time.process_time() - begun)
    print("3,000 peers: all, none, one:", [f"{one * 1000:.0f} ms" for one in took])
    assert h1.inside.run(h1.overlay.apply([wanted])).problems == {}
    assert lab.ping(C1, C2, FULL)
    rules = apply(h1, base)
    assert len([rule for rule in rules if isinstance(rule, Entry) and not rule.present]) == 9000


def test_the_underlay_may_be_ipv6(lab: Lab) -> None:
    """Its header is 20 bytes longer."""
    for name, host in lab.hosts.items():
        lab.hosts[name].address = f"FD00:66::0{name[1:]}"
        host.run("ip", "addr", "add", host.address, "dev", "eth0", "nodad")
        host.run("ip", "route", "add", "fd00:66::/64", "dev", "eth0")
    for name, host in lab.hosts.items():
        wanted = msgspec.structs.replace(lab.wanted(name), mtu=MTU - 20)
        assert apply(host, wanted)
        assert apply(host, wanted) == ()
    assert lab.ping(C1, C2, FULL - 20)


def test_every_refused_entry_is_told(lab: Lab) -> None:
    """One in the middle of a batch, so that the errors are matched with what caused them."""
    h1 = lab.hosts["h1"]

    async def write() -> list[tuple[int, int]]:
        kernel = rtnetlink.RouteSocket()
        index = socket.if_nametoindex(PORT)
        changes = [
            rtnetlink.forward(
                index if one % 100 != 50 else 99999, f"02:00:00:00:01:{one % 256:02x}", "10.66.0.13", present=True
            )
            for one in range(250)
        ]
        refused = kernel.change(changes)
        kernel.close()
        return [(changes.index(change), code) for change, code in refused]

    assert h1.inside.run(write()) == [(50, 19), (150, 19)]
