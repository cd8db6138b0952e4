"""Names and network together under real engines: what a container sees through the engine's resolver at 127.0.0.11."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from named import Named, records_of
from network_engines import IMAGE, Engine
from network_lab import MTU, Lab, command
from paddock.drivers.forwarder import Forwarder
from paddock.drivers.names import NamedContainer, NamedNetwork, NameRecords, Names
from paddock.drivers.resolv_conf import Resolvers
from paddock.model.objects import NetworkId
from paddock.world.world import machine_world
from waiting import until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: runs Docker engines in network namespaces"),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="no dockerd on this machine"),
]
NET, VAULT = NetworkId("net-1"), NetworkId("net-2")
BRIDGE = "pdkshop"
C1, C2, C3 = "10.96.1.1", "10.96.1.2", "10.96.1.3"
FULL = MTU - 28


class Nowhere(Resolvers):
    def current(self, now_s: float) -> tuple[str, ...]:
        return ()


class Cluster:
    """Two hosts with an engine, an overlay and a names server each: what an agent will hold together."""

    def __init__(self, folder: Path) -> None:
        self.lab = Lab.up(2, bridges=False)
        self.engines = {name: Engine(host, folder / name) for name, host in self.lab.hosts.items()}
        self.names = {name: host.inside.run(_names()) for name, host in self.lab.hosts.items()}
        self.records: tuple[Named, ...] = ()

    def up(self) -> None:
        for name, engine in self.engines.items():
            engine.start()
            engine.load_image()
            gateway = self.lab.hosts[name].gateway
            engine.docker(
                *("network", "create", "--driver=bridge", "--subnet=10.96.0.0/16", f"--gateway={gateway}"),
                *(f"--ip-range=10.96.{20 + int(name[1:])}.0/24", f"--opt=com.docker.network.bridge.name={BRIDGE}"),
                *(f"--opt=com.docker.network.driver.mtu={MTU}", "shop"),
            )

    def down(self) -> None:
        for name, host in self.lab.hosts.items():
            host.inside.run(self.names[name].close())
        for engine in self.engines.values():
            engine.remove()
        self.lab.where.clear()
        self.lab.down()

    def run(self, host: str, name: str, address: str) -> None:
        self.engines[host].docker(
            *("run", "-d", "--init", f"--name={name}", "--network=shop", f"--ip={address}"),
            *(f"--dns={self.lab.hosts[host].gateway}", IMAGE, "sleep", "3600"),
        )
        self.lab.where[address] = host

    def remove(self, name: str, address: str) -> None:
        self.engines[self.lab.where.pop(address)].docker("rm", "-f", name)

    def apply(self) -> None:
        for name, host in self.lab.hosts.items():
            applied = host.inside.run(host.overlay.apply([self.lab.wanted(name, BRIDGE)]))
            assert (applied.waiting, applied.problems) == ((), {})
            host.inside.run(self.names[name].update(self.records_of(name)))

    def records_of(self, host: str) -> NameRecords:
        return records_of(
            (NamedNetwork(network=NET, gateway=self.lab.hosts[host].gateway, subnet="10.96.0.0/16"),),
            self.records,
            tuple(
                NamedContainer(addresses={NET: address}, links={"database": "db"})
                for address, home in self.lab.where.items()
                if home == host
            ),
        )

    def inside(self, host: str, container: str, *words: str) -> str:
        return self.engines[host].docker("exec", container, *words)

    def resolves(self, host: str, container: str, name: str) -> set[str]:
        """Through glibc, the engine's resolver and ours."""
        try:
            lines = self.inside(host, container, "/usr/bin/getent", "ahostsv4", name).splitlines()
        except AssertionError:
            return set()
        return {line.split()[0] for line in lines}

    def pings(self, host: str, container: str, target: str, bytes_: int = 56) -> bool:
        try:
            self.inside(
                host, container, "/bin/ping", *("-q", "-M", "do", "-c", "1", "-W", "1", "-s"), str(bytes_), target
            )
        except AssertionError:
            return False
        return True


async def _names() -> Names:
    world = machine_world()
    return Names(world, forwarder=Forwarder(world, Nowhere()))


def named(name: str, *addresses: str, reverse: bool = False) -> Named:
    return Named(NET, name, addresses, reverse)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("network-engines"))
    try:
        made.up()
        made.run("h1", "shop-web-1", C1)
        made.run("h2", "shop-web-2", C2)
        made.run("h2", "shop-db-1", C3)
        made.records = (
            named("web", C1, C2),
            named("web.shop", C1, C2),
            named("db", C3),
            named("starting"),
            named("shop-db-1", C3, reverse=True),
        )
        made.apply()
        yield made
    finally:
        made.down()


def test_containers_of_two_engines_reach_each_other_with_full_packets(cluster: Cluster) -> None:
    for host in cluster.lab.hosts.values():
        # As the engine itself sets it wherever it was the one to turn forwarding on.
        host.run("iptables", "-P", "FORWARD", "DROP")
    assert command("sysctl", "-n", "net.bridge.bridge-nf-call-iptables").strip() == "1"
    assert cluster.pings("h1", "shop-web-1", C3, FULL)
    assert cluster.pings("h2", "shop-db-1", C1, FULL)
    assert not cluster.pings("h1", "shop-web-1", C3, FULL + 1)
    rules = cluster.lab.hosts["h1"].run("iptables", "-t", "nat", "-nvxL", "POSTROUTING").splitlines()
    masquerading = [rule.split()[0] for rule in rules if "MASQUERADE" in rule and "10.96.0.0/16" in rule]
    assert masquerading == ["0"], "a container on the other host must see the container's own address"


def test_a_name_means_all_ready_containers_of_every_host(cluster: Cluster) -> None:
    for host, container in (("h1", "shop-web-1"), ("h2", "shop-web-2"), ("h2", "shop-db-1")):
        assert cluster.resolves(host, container, "web") == {C1, C2}
        assert cluster.resolves(host, container, "WEB.shop") == {C1, C2}
        assert cluster.resolves(host, container, "database") == {C3}
        assert cluster.resolves(host, container, "starting") == set()
        assert cluster.resolves(host, container, "nonsense") == set()
    assert cluster.pings("h1", "shop-web-1", "db", FULL)
    assert cluster.inside("h1", "shop-web-1", "/usr/bin/getent", "hosts", C3).split() == [C3, "shop-db-1"]


def test_codes_as_dig_sees_them(cluster: Cluster) -> None:
    def dig(*words: str) -> str:
        gateway = cluster.lab.hosts["h1"].gateway
        return cluster.inside("h1", "shop-web-1", "/usr/bin/dig", "+tries=1", "+time=3", f"@{gateway}", *words)

    assert sorted(dig("web", "+short").split()) == [C1, C2]
    assert sorted(dig("web", "+short", "+tcp").split()) == [C1, C2]
    assert "status: NOERROR" in (empty := dig("web", "AAAA"))
    assert "ANSWER: 0" in empty
    assert "status: NOERROR" in dig("starting")
    assert "status: NXDOMAIN" in dig("-x", "10.96.200.200")
    assert "status: SERVFAIL" in dig("example.org")
    assert dig("-x", C3, "+short").strip() == "shop-db-1."
    assert "udp: 1232" in dig("web", "+bufsize=4096")


def test_a_change_is_seen_through_the_engine_within_a_second(cluster: Cluster) -> None:
    before = cluster.records
    assert cluster.resolves("h1", "shop-web-1", "db") == {C3}
    cluster.records = (*(one for one in before if one.name != "db"), named("db", C2))
    cluster.apply()
    until(lambda: cluster.resolves("h1", "shop-web-1", "db") == {C2}, "db is C2", 1.0)
    cluster.records = before
    cluster.apply()


def test_a_service_of_two_hundred_is_whole_through_the_engine(cluster: Cluster) -> None:
    """Too much for a datagram: the engine's resolver and glibc have to come back over TCP."""
    before = cluster.records
    many = {f"10.96.5.{one}" for one in range(1, 201)}
    cluster.records = (*before, named("many", *sorted(many)))
    cluster.apply()
    assert cluster.resolves("h1", "shop-web-1", "many") == many
    cluster.records = before
    cluster.apply()


def test_a_container_moves_to_the_other_host_with_its_address(cluster: Cluster) -> None:
    assert cluster.pings("h1", "shop-web-1", C3)
    assert cluster.pings("h2", "shop-web-2", C3)
    for host in ("h1", "h2"):
        cluster.remove("shop-db-1", C3)
        cluster.run(host, "shop-db-1", C3)
        cluster.apply()
        assert cluster.pings("h1", "shop-web-1", C3, FULL)
        assert cluster.pings("h2", "shop-web-2", C3, FULL)


def test_an_engine_that_restarts_is_repaired(cluster: Cluster) -> None:
    cluster.engines["h1"].stop()
    cluster.engines["h1"].start()
    cluster.engines["h1"].docker("start", "shop-web-1")
    cluster.apply()
    assert cluster.pings("h1", "shop-web-1", C2, FULL)
    assert cluster.resolves("h1", "shop-web-1", "web") == {C1, C2}


def test_the_last_known_is_answered_by_a_names_server_born_again(cluster: Cluster) -> None:
    host = cluster.lab.hosts["h1"]
    host.inside.run(cluster.names["h1"].close())
    assert cluster.resolves("h1", "shop-web-1", "db") == set()
    cluster.names["h1"] = host.inside.run(_names())
    assert host.inside.run(cluster.names["h1"].update(cluster.records_of("h1"))) == {}
    assert cluster.resolves("h1", "shop-web-1", "db") == {C3}


def test_names_are_answered_on_an_internal_network_and_nothing_leaves_it(cluster: Cluster) -> None:
    host, engine = cluster.lab.hosts["h1"], cluster.engines["h1"]
    engine.docker(
        *("network", "create", "--internal", "--subnet=10.97.0.0/16", "--gateway=10.97.0.1"),
        *("--opt=com.docker.network.bridge.name=pdkvault", "vault"),
    )
    base = cluster.records_of("h1")
    vault = records_of(
        (
            *base.networks,
            NamedNetwork(network=VAULT, gateway="10.97.0.1", subnet="10.97.0.0/16", internal=True),
        ),
        (*cluster.records, Named(VAULT, "safe", ("10.97.0.9", "10.97.9.9"))),
        (*base.containers, NamedContainer(addresses={VAULT: "10.97.0.9"})),
    )
    assert host.inside.run(cluster.names["h1"].update(vault)) == {}
    words = ("--name=vault-safe-1", "--network=vault", "--ip=10.97.0.9", "--dns=10.97.0.1", IMAGE, "sleep", "3600")
    engine.docker("run", "-d", "--init", *words)
    assert cluster.resolves("h1", "vault-safe-1", "safe") == {"10.97.0.9", "10.97.9.9"}
    outside = cluster.inside("h1", "vault-safe-1", "/usr/bin/dig", "+tries=1", "@10.97.0.1", "example.org")
    assert "status: NXDOMAIN" in outside
    engine.docker("rm", "-f", "vault-safe-1")
    cluster.apply()


def test_many_at_once_are_all_answered(cluster: Cluster) -> None:
    async def ask_all() -> list[str]:
        words = ("docker", "-H", f"unix://{cluster.engines['h1']._folder}/docker.sock", "exec", "shop-web-1")
        script = "for i in 1 2 3 4 5 6 7 8 9 10; do /usr/bin/getent ahostsv4 web >/dev/null || echo missed; done"
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = [group.create_task(_output(*words, "sh", "-c", script)) for _ in range(4)]
        return [task.result() for task in tasks]

    assert asyncio.run(ask_all()) == [""] * 4


async def _output(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()
