"""`docker run -d`, `ps`, `logs`, `cp` through the gateway over three hosts, beside an engine's own socket in one run.

`run -d` twice: beside an engine's default network, and beside one that was made on it. The cluster's networks are such,
and an engine gives their containers a resolver, which takes its time.

Needs a playground that is up (PADDOCK_PLAYGROUND says where), with the image busybox on its hosts.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TIMES = 9
COPY_MIB = 64
MOST_S = 900
LINES = 20_000
NETWORK = "bench-network"
RUNS = ("run -d", "run -d, network")
ROOT = Path(os.environ.get("PADDOCK_PLAYGROUND", "/var/lib/paddock/playground"))
GATEWAY = ROOT / "server" / "docker.sock"
ENGINE = ROOT / "hosts" / "h1" / "run" / "docker.sock"
REACH = {"run -d": 1.15, "run -d, network": 1.15, "ps": 1.5, "logs": 1.15, "cp out": 1.15, "exec": 1.15}


Act = Callable[[Path, int], None]


def docker(socket: Path, *arguments: str) -> None:
    """Without a timeout of its own: waiting with one looks only every so often, up to 50 ms apart, and rounds what is
    measured. The whole run has an end instead."""
    subprocess.run(["docker", "-H", f"unix://{socket}", *arguments], check=True, stdout=subprocess.DEVNULL)


def name(socket: Path, number: int | None = None) -> str:
    """Its own on each side: the gateway's containers may be on that very engine."""
    return f"bench-{socket.parent.name}-{'talks' if number is None else number}"


def run_in_network(socket: Path, number: int) -> None:
    network = ["--network", NETWORK] if socket == ENGINE else []
    docker(socket, "run", "-d", "--name", name(socket, number), *network, "busybox", "sleep", "1000")


def scenes(folder: Path) -> dict[str, Act]:
    return {
        "run -d": lambda socket, n: docker(socket, "run", "-d", "--name", name(socket, n), "busybox", "sleep", "1000"),
        "run -d, network": run_in_network,
        "ps": lambda socket, _: docker(socket, "ps"),
        "logs": lambda socket, _: docker(socket, "logs", name(socket)),
        "exec": lambda socket, _: docker(socket, "exec", name(socket), "true"),
        "cp out": lambda socket, n: docker(socket, "cp", f"{name(socket)}:/big", str(folder / f"big-{n}")),
    }


def prepare(socket: Path) -> None:
    command = f"seq {LINES}; dd if=/dev/zero of=/big bs=1M count={COPY_MIB}; sleep 1000"
    docker(socket, "run", "-d", "--name", name(socket), "busybox", "sh", "-c", command)
    written = f"until [ -f /big ] && [ $(wc -c < /big) -eq {COPY_MIB << 20} ]; do sleep 0.1; done"
    docker(socket, "exec", name(socket), "sh", "-c", written)


def clean(socket: Path) -> None:
    names = [name(socket), *(name(socket, number) for number in range(TIMES))]
    for words in (["rm", "-f", *names], *([["network", "rm", NETWORK]] if socket == ENGINE else [])):
        subprocess.run(["docker", "-H", f"unix://{socket}", *words], check=False, capture_output=True, timeout=300)


def timed(act: Act, socket: Path, number: int) -> float:
    began = time.perf_counter()
    act(socket, number)
    return time.perf_counter() - began


def measure(scene: str, act: Act, sockets: dict[str, Path], spent: dict[tuple[str, str], list[float]]) -> None:
    for number in range(TIMES):
        for side, socket in sockets.items():
            spent.setdefault((scene, side), []).append(timed(act, socket, number))


def main() -> None:
    """One and the other take turns, so that whatever else the machine does falls on both."""
    signal.alarm(MOST_S)
    sockets = {"gateway": GATEWAY, "engine": ENGINE}
    with tempfile.TemporaryDirectory() as folder:
        found = scenes(Path(folder))
        spent: dict[tuple[str, str], list[float]] = {}
        for scene in RUNS:
            for socket in sockets.values():
                clean(socket)
            docker(ENGINE, "network", "create", NETWORK)
            measure(scene, found[scene], sockets, spent)
        for socket in sockets.values():
            clean(socket)
            prepare(socket)
        for scene in list(found)[len(RUNS) :]:
            measure(scene, found[scene], sockets, spent)
        for socket in sockets.values():
            clean(socket)
    for scene in found:
        gateway, engine = (statistics.median(spent[(scene, side)]) for side in ("gateway", "engine"))
        print(
            f"{scene:16} gateway {gateway * 1000:7.0f} ms   engine {engine * 1000:7.0f} ms   "
            f"ratio {gateway / engine:.2f} (reach {REACH[scene]})"
        )


if __name__ == "__main__":
    main()
