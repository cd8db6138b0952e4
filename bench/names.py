"""Names: questions answered per second, beside the least a Python server can do and beside dnsmasq, in one run.

`python bench/names.py [--seconds 3] [--services 2000]`. The load comes from another process over loopback and asks for
2,000 services of three addresses each. "per core" is answers by the server's own CPU time, which other load on the
machine does not change; the ratio is of that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import resource
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import uvloop

from paddock.drivers.names import NamedContainer, NamedNetwork, NameRecords, Names
from paddock.model.assignment import AddressAssignment
from paddock.model.objects import NetworkId
from paddock.world.world import machine_world

GATEWAY = "127.85.0.1"
CLIENT = "127.85.0.9"
PORT = 15353
WINDOW = 48
READY_S = 10.0


def question(name: str, number: int) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def addresses(service: int) -> tuple[str, ...]:
    return tuple(f"127.85.{1 + service % 250}.{1 + slot * 80 + service // 250}" for slot in range(3))


def records(services: int) -> NameRecords:
    return NameRecords(
        networks=(NamedNetwork(network=NetworkId("net-1"), gateway=GATEWAY, subnet="127.85.0.0/16"),),
        addresses=tuple(
            AddressAssignment(network=NetworkId("net-1"), ipv4=address, names=(f"service{one}.shop",))
            for one in range(services)
            for address in addresses(one)
        ),
        containers=(NamedContainer(addresses={NetworkId("net-1"): CLIENT}),),
    )


async def serve_names(services: int, ready: Connection) -> None:
    names = Names(machine_world(), port=PORT)
    problems = await names.update(records(services))
    assert not problems, problems
    ready.send(True)
    await asyncio.Event().wait()


class FixedAnswer(asyncio.DatagramProtocol):
    """The least: the same three addresses whatever is asked."""

    transport: asyncio.DatagramTransport
    tail = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + bytes([127, 85, 1, slot]) for slot in range(3))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data[:2] + b"\x85\x80\0\1\0\3\0\0\0\0" + data[12:] + self.tail, addr)


async def serve_fixed(_: int, ready: Connection) -> None:
    await asyncio.get_running_loop().create_datagram_endpoint(FixedAnswer, local_addr=(GATEWAY, PORT))
    ready.send(True)
    await asyncio.Event().wait()


def run_server(kind: str, services: int, ready: Connection) -> None:
    uvloop.run(serve_names(services, ready) if kind == "paddock" else serve_fixed(services, ready))


@contextlib.contextmanager
def python_server(kind: str, services: int) -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=run_server, args=(kind, services, theirs), daemon=True)
    process.start()
    try:
        assert ours.poll(READY_S), f"{kind} server did not start"
        assert process.pid
        yield process.pid
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def dnsmasq_server(services: int) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        hosts = Path(folder, "hosts")
        hosts.write_text(
            "".join(f"{address} service{one}.shop\n" for one in range(services) for address in addresses(one))
        )
        command = [
            *("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--addn-hosts={hosts}"),
            *(f"--port={PORT}", f"--listen-address={GATEWAY}", "--bind-interfaces", "--conf-file=/dev/null"),
            *("--user=root", "--local-ttl=1", "--pid-file"),
        ]
        process = subprocess.Popen(command)
        try:
            wait_until_answered()
            yield process.pid
        finally:
            process.kill()
            process.wait()


def wait_until_answered() -> None:
    deadline = time.monotonic() + READY_S
    with client() as asker:
        asker.settimeout(0.1)
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                asker.send(question("service0.shop", 1))
                asker.recv(2048)
                return
    raise TimeoutError("no answer")


def client() -> socket.socket:
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.bind((CLIENT, 0))
    asker.connect((GATEWAY, PORT))
    asker.settimeout(0.5)
    return asker


def ask(services: int, seconds: float) -> tuple[int, int]:
    """(answers, lost), with a fixed number of questions under way."""
    questions = [question(f"service{one}.shop", one) for one in range(services)]
    answered = lost = position = 0
    with client() as asker:
        stop = time.perf_counter() + seconds
        while time.perf_counter() < stop:
            for _ in range(WINDOW):
                asker.send(questions[position])
                position = (position + 1) % services
            for _ in range(WINDOW):
                try:
                    asker.recv(2048)
                    answered += 1
                except TimeoutError:
                    lost += 1
                    break
    return answered, lost


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int, services: int, seconds: float) -> tuple[float, float]:
    """(answers per second, answers per second of the server's CPU)"""
    ask(services, min(1.0, seconds))
    before, begun = cpu_s(pid), time.perf_counter()
    answered, lost = ask(services, seconds)
    took = time.perf_counter() - begun
    if lost:
        print(f"  ({lost} lost)")
    return answered / took, answered / max(cpu_s(pid) - before, 0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--services", type=int, default=2000)
    options = parser.parse_args()
    results: dict[str, tuple[float, float]] = {}
    for kind in ("fixed answer", "paddock"):
        with python_server(kind, options.services) as pid:
            results[kind] = measure(pid, options.services, options.seconds)
    if shutil.which("dnsmasq"):
        with dnsmasq_server(options.services) as pid:
            results["dnsmasq"] = measure(pid, options.services, options.seconds)
    ours = results["paddock"][1]
    for kind, (rate, per_core) in results.items():
        print(f"{kind:<14}{rate:>10,.0f} q/s {per_core:>10,.0f} q/s per core   paddock is {ours / per_core:.2f}x")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    print(f"load average {os.getloadavg()[0]:.1f}, generator used {used:.1f} s")


if __name__ == "__main__":
    main()
