"""Overlay: TCP throughput between containers of two hosts, ours beside a hand-made VXLAN, in one run.

`python bench/overlay.py [--seconds 3] [--rounds 4]` as root. Both run over the same veth links between the same network
namespaces. The hand-made one is what `ip link add type vxlan` gives, learning and flooding; rounds alternate.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyroute2 import netns

from paddock.drivers.network import Overlay
from paddock.drivers.vxlan import Peer, WantedNetwork
from paddock.model.objects import NetworkId

PREFIX = f"bench-overlay-{os.getpid()}"
HOSTS = (1, 2)
MTU = 1450
CROWD = 1000
"""Peers besides those measured, so that the tables are those of a large network."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=30)


def host(number: int) -> str:
    return f"{PREFIX}-h{number}"


def container(kind: str, number: int) -> str:
    return f"{PREFIX}-{kind}{number}"


def address(kind: str, number: int) -> str:
    return f"10.{97 if kind == 'ours' else 98}.0.{number}"


def mac(ipv4: str) -> str:
    return "02:42:" + ":".join(f"{int(part):02x}" for part in ipv4.split("."))


@contextmanager
def lan() -> Iterator[None]:
    names = [host(number) for number in HOSTS]
    names += [container(kind, number) for kind in ("ours", "hand") for number in HOSTS]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", host(1), "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", host(2))
        for number in HOSTS:
            ip("-n", host(number), "addr", "add", f"10.66.1.{number}/24", "dev", "eth0")
            ip("-n", host(number), "link", "set", "eth0", "up")
            for kind in ("ours", "hand"):
                start_container(kind, number)
        yield
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=30)


def start_container(kind: str, number: int) -> None:
    bridge, inside, ipv4 = f"br-{kind}", container(kind, number), address(kind, number)
    ip("-n", host(number), "link", "add", bridge, "type", "bridge")
    ip("-n", host(number), "link", "set", bridge, "up")
    ip("-n", host(number), "link", "add", f"v-{kind}", "type", "veth", "peer", "name", "eth0", "netns", inside)
    ip("-n", host(number), "link", "set", f"v-{kind}", "master", bridge, "up")
    ip("-n", inside, "link", "set", "eth0", "address", mac(ipv4), "mtu", str(MTU))
    ip("-n", inside, "addr", "add", f"{ipv4}/16", "dev", "eth0")
    ip("-n", inside, "link", "set", "eth0", "up")


def make_by_hand() -> None:
    for number, other in ((1, 2), (2, 1)):
        words = ("type", "vxlan", "id", "98", "local", f"10.66.1.{number}", "dstport", "4789", "dev", "eth0")
        ip("-n", host(number), "link", "add", "vx", *words)
        ip("-n", host(number), "link", "set", "vx", "mtu", str(MTU), "master", "br-hand", "up")
        flood = ("fdb", "append", "00:00:00:00:00:00", "dev", "vx", "dst", f"10.66.1.{other}")
        subprocess.run(["bridge", "-n", host(number), *flood], check=True, timeout=30)


def make_ours() -> None:
    for number, other in ((1, 2), (2, 1)):
        crowd = [f"10.97.{1 + one // 250}.{1 + one % 250}" for one in range(CROWD)]
        wanted = WantedNetwork(
            network=NetworkId("bench"),
            bridge="br-ours",
            vni=97,
            mtu=MTU,
            local_address=f"10.66.1.{number}",
            peers=tuple(
                Peer(ipv4=one, mac=mac(one), host_address=f"10.66.1.{other}")
                for one in [address("ours", other), *crowd]
            ),
        )
        thread = threading.Thread(target=apply_in, args=(host(number), wanted))
        thread.start()
        thread.join()


def apply_in(namespace: str, wanted: WantedNetwork) -> None:
    async def apply() -> None:
        overlay = Overlay()
        applied = await overlay.apply([wanted])
        assert not applied.problems
        await overlay.close()

    netns.setns(namespace)
    asyncio.run(apply())


def measure(kind: str, seconds: int) -> float:
    """Gbit/s."""
    server = subprocess.Popen(
        ["ip", "netns", "exec", container(kind, 2), "iperf3", "-s", "-1", "--forceflush"],
        stdout=subprocess.PIPE,
    )
    assert server.stdout
    while b"listening" not in server.stdout.readline():
        continue
    words = ["ip", "netns", "exec", container(kind, 1), "iperf3", "-J", "-t", str(seconds), "-c", address(kind, 2)]
    done = subprocess.run(words, capture_output=True, check=True, timeout=seconds + 30)
    server.wait(10)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"hand": [], "ours": []}
    with lan():
        make_by_hand()
        make_ours()
        for _ in range(options.rounds):
            for kind, found in rates.items():
                found.append(measure(kind, options.seconds))
    ours, by_hand = statistics.median(rates["ours"]), statistics.median(rates["hand"])
    for kind, found in rates.items():
        print(f"{kind:<6}{statistics.median(found):6.2f} Gbit/s  ({', '.join(f'{one:.2f}' for one in found)})")
    print(f"paddock's overlay is {ours / by_hand:.2f}x the hand-made one; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
