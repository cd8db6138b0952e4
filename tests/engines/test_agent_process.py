"""The agent as a process in a host's namespaces: mutual TLS, streams, real networks and names, kill -9, memory."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agent_peer import End, Peer, pair
from certificates import Authority
from engines.one_engine import IMAGE, Machine, machine, shared_machine
from paddock.agent.identity import KEY, Identity, save_identity
from paddock.agent.sealing import write_private
from paddock.model.assignment import (
    AddressAssignment,
    ContainerAssignment,
    Endpoint,
    FileAssignment,
    NetworkAssignment,
    UnitAssignment,
)
from paddock.model.objects import FileId, NetworkId, UnitDesired, UnitId, UnitState
from paddock.wire.channel import ChannelClosed
from paddock.wire.messages import Goodbye, OpenStream
from waiting import until, until_async

__all__ = ["machine", "shared_machine"]
pytestmark = pytest.mark.engines

ADDRESS = "10.123.0.2"
CLONE_NEWNET = 0x40000000
UNIT = UnitId("service-1.1.1")
MOST_RSS_KIB = 60 * 1024
NETWORK = NetworkAssignment(
    network=NetworkId("network-1"), engine_name="shop_default", subnet="10.98.0.0/20", gateway="10.98.0.1",
    ip_range="10.98.0.0/28", vni=77, mtu=1450,
)  # fmt: skip
NAME = AddressAssignment(network=NetworkId("network-1"), ipv4="10.98.4.2", names=("db",))
ITEM = UnitAssignment(
    unit=UNIT,
    desired=UnitDesired.RUN,
    containers=(
        ContainerAssignment(
            name="shop-api-1",
            image=IMAGE,
            body={"Cmd": ["sleep", "1000"]},
            stop_grace_s=0.0,
            endpoints=(Endpoint(network=NetworkId("network-1"), ipv4="10.98.1.5", mac="02:42:0a:62:01:05"),),
        ),
    ),
)
START = """
import sys
from paddock.agent.main import AgentConfig, run_agent
sys.exit(run_agent(AgentConfig(data=sys.argv[1], engine_socket=sys.argv[2], files=sys.argv[1] + "/files")))
"""


class Host:
    """An agent's data and process in the namespaces of `machine`, and the server it dials."""

    def __init__(self, machine: Machine, root: Path) -> None:
        self.machine = machine
        self.root = root
        self.data = root / "agent"
        self.peer = Peer()
        self.streams: dict[str, Callable[[ServerConnection], Awaitable[None]]] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._authority = Authority()
        self._socket = listening(machine.name)
        self.data.mkdir(mode=0o700)
        key, certificate = self._authority.host()
        write_private(self.data / KEY, key)
        port = self._socket.getsockname()[1]
        identity = Identity(host="host-1", name="h1", environment="default", server=ADDRESS, agents_port=port)
        save_identity(self.data, identity, certificate, self._authority.pem)

    def start(self) -> None:
        namespaces = ["nsenter", "-t", str(self.machine.holder), "-n", "-m", "--"]
        command = [*namespaces, sys.executable, "-c", START, str(self.data), str(self.machine.socket)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        with open(self.root / "agent.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=20)

    def memory_kib(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Peer]:
        tls = self._authority.server_tls(self.root / "server", ADDRESS, client_needed=True)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self.peer.serve())
            async with serve(self._serve, sock=self._socket, ssl=tls, ping_interval=None, close_timeout=1):
                yield self.peer
                if self.process is not None and self.process.poll() is None:
                    await asyncio.to_thread(self.end, signal.SIGTERM)
            serving.cancel()

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        path = connection.request.path
        if path.startswith("/streams/"):
            await self.streams[path.removeprefix("/streams/")](connection)
            return
        assert path == "/session"
        mine, theirs = pair()
        self.peer.accept(mine)
        async with asyncio.TaskGroup() as group:
            group.create_task(_inward(connection, theirs))
            group.create_task(_outward(connection, theirs))


async def _inward(connection: ServerConnection, end: End) -> None:
    try:
        while True:
            await end.send(await connection.recv(decode=False))
    except (ConnectionClosed, ChannelClosed) as closed:
        end.cut(str(closed))


async def _outward(connection: ServerConnection, end: End) -> None:
    try:
        while True:
            await connection.send(await end.receive(), text=True)
    except (ConnectionClosed, ChannelClosed):
        await connection.close()


def listening(namespace: str) -> socket.socket:
    """A listening socket that lives in a network namespace, made by a thread that went there."""
    made: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{namespace}") as handle:
            if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.create_server((ADDRESS, 0)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


Play = Callable[[Callable[[Host], Awaitable[None]]], None]


@pytest.fixture
def play(machine: Machine) -> Iterator[Play]:
    root = Path(tempfile.mkdtemp(prefix="pdk-agent-", dir="/dev/shm"))
    hosts: list[Host] = []

    def run(scene: Callable[[Host], Awaitable[None]]) -> None:
        async def begin() -> None:
            async with asyncio.timeout(90):
                await scene(hosts[0])

        hosts.append(Host(machine, root))
        asyncio.run(begin())

    yield run
    for host in hosts:
        if host.process is not None and host.process.poll() is None:
            host.process.kill()
            host.process.wait()
        print((host.root / "agent.log").read_text())
    shutil.rmtree(root, ignore_errors=True)


def test_a_host_with_a_real_network_and_names(play: Play) -> None:
    async def scene(host: Host) -> None:
        async with host.server() as peer:
            host.start()
            secret = FileAssignment(file=FileId("f"), purpose="secret", digest="d", content=b"x")
            await peer.assign(NETWORK, NAME, ITEM, secret)
            await peer.until_state(UNIT, UnitState.RUNNING, within_s=30)
            facts = peer.hellos[0].facts
            assert (facts.address, facts.mtu, facts.cpus > 0) == (ADDRESS, 1442, True)
            assert "10.123.0.0/24" in facts.subnets
            assert "10.98.0.0/20" not in facts.subnets
            answer = await asyncio.to_thread(host.machine.run_in, "shop-api-1", "nslookup", "db")
            assert "10.98.4.2" in answer, answer
            links = subprocess.run(["ip", "-n", host.machine.name, "link"], capture_output=True, text=True, check=True)
            assert "pdkv4d" in links.stdout
            assert "pdk4d" in links.stdout
            assert host.process is not None
            title = Path(f"/proc/{host.process.pid}/cmdline").read_bytes().rstrip(b"\0")
            assert title == b"paddock agent"
            print(f"agent: {host.memory_kib()} KiB")
            assert host.memory_kib() < MOST_RSS_KIB
            assert await asyncio.to_thread(host.end, signal.SIGTERM) == 0

    play(scene)


def test_killed_and_started_again_it_disturbs_nothing(play: Play) -> None:
    async def scene(host: Host) -> None:
        async with host.server() as peer:
            host.start()
            await peer.assign(NETWORK, NAME, ITEM)
            await peer.until_state(UNIT, UnitState.RUNNING, within_s=30)
            before = await asyncio.to_thread(host.machine.inspect, "shop-api-1")
            await asyncio.to_thread(host.end, signal.SIGKILL)
            peer.reports.clear()
            host.start()
            again = await peer.until_state(UNIT, UnitState.RUNNING, within_s=30)
            after = await asyncio.to_thread(host.machine.inspect, "shop-api-1")
            assert (before["Id"], before["State"]) == (after["Id"], after["State"])
            assert again.containers[0].id == before["Id"]

    play(scene)


def test_a_stream_is_joined_to_the_engine_byte_for_byte(play: Play) -> None:
    async def scene(host: Host) -> None:
        answers: dict[str, list[bytes | str]] = {}

        def talk(name: str, *said: bytes | str) -> Callable[[ServerConnection], Awaitable[None]]:
            async def conversation(connection: ServerConnection) -> None:
                heard: list[bytes | str] = []
                for piece in said:
                    await connection.send(piece)
                try:
                    while (piece := await connection.recv()) != "eof":
                        heard.append(piece)
                    heard.append("eof")
                finally:
                    answers[name] = heard

            return conversation

        async with host.server() as peer:
            host.start()
            body = {"Cmd": ["wc", "-c"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
            item = UnitAssignment(
                unit=UNIT,
                desired=UnitDesired.RUN,
                containers=(ContainerAssignment(name="counter", image=IMAGE, body=body, network_mode="none"),),
            )
            await peer.assign(item)
            await peer.until_state(UNIT, UnitState.RUNNING, within_s=30)
            host.streams["ping"] = talk("ping", b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head = (
                b"POST /v1.41/containers/counter/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
                b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            )
            content = b"y" * 3_000_000
            host.streams["attach"] = talk("attach", head, content, "eof")
            for name in ("ping", "attach"):
                await peer.say(OpenStream(stream=name))
            await until_async(lambda: len(answers) == 2, "both streams have ended", within_s=30)
            ping = b"".join(piece for piece in answers["ping"] if isinstance(piece, bytes))
            assert ping.startswith(b"HTTP/1.1 200 OK")
            assert ping.endswith(b"OK")
            counted = b"".join(piece for piece in answers["attach"] if isinstance(piece, bytes))
            assert b"101 UPGRADED" in counted
            assert b"3000000" in counted.split(b"\r\n\r\n", 1)[1]
            assert answers["attach"][-1] == "eof"

    play(scene)


def test_sent_away_for_good_it_exits_with_2(play: Play) -> None:
    async def scene(host: Host) -> None:
        async with host.server() as peer:
            peer.refusal = Goodbye(reason="host h1 was removed from its environment", final=True)
            host.start()
            assert host.process is not None
            assert await asyncio.to_thread(host.process.wait, 20) == 2
            assert "host h1 was removed" in (host.root / "agent.log").read_text()

    play(scene)


def test_two_agents_do_not_share_a_data_directory(play: Play) -> None:
    async def scene(host: Host) -> None:
        async with host.server() as peer:
            host.start()
            await until_async(lambda: bool(peer.hellos), "the first is connected")
            first, host.process = host.process, None
            host.start()
            second: Any = host.process
            assert await asyncio.to_thread(second.wait, 20) == 1
            assert first is not None
            assert f"another agent (process {first.pid})" in (host.root / "agent.log").read_text()
            host.process = first

    play(scene)


def test_without_its_server_it_keeps_what_it_has(play: Play) -> None:
    async def scene(host: Host) -> None:
        async with host.server() as peer:
            host.start()
            await peer.assign(NETWORK, NAME, ITEM)
            await peer.until_state(UNIT, UnitState.RUNNING, within_s=30)
            await asyncio.to_thread(host.end, signal.SIGKILL)
        await asyncio.to_thread(host.machine.api, "POST", "/containers/shop-api-1/restart", query={"t": 0})
        host.start()

        def named() -> bool:
            return "10.98.4.2" in host.machine.run_in("shop-api-1", "nslookup", "db")

        await asyncio.to_thread(until, named, "names are answered without a server", 30)
        found = await asyncio.to_thread(host.machine.inspect, "shop-api-1")
        assert found["State"]["Running"]

    play(scene)
