"""Server, agents and engines that end or are killed: what runs is not disturbed, what is wished is there once."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, Stack, nothing_double, settled
from waiting import until

pytestmark = pytest.mark.engines

ECHO = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer(("", 5000), Echo).serve_forever()
"""


class Line:
    """An open TCP connection to an echo server."""

    def __init__(self, address: str, port: int) -> None:
        until(lambda: self._connected(address, port), f"{address}:{port} answers")

    def _connected(self, address: str, port: int) -> bool:
        try:
            self._socket = socket.create_connection((address, port), timeout=5)
            self.echo("are you there")
        except OSError:
            return False
        return True

    def echo(self, text: str) -> None:
        self._socket.sendall(text.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = self._socket.recv(1000)
            if not part:
                raise ConnectionResetError("the line is dead")
            answer += part
        assert answer.decode() == text + "\n"

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def identities(stack: Stack, service: str = "") -> dict[str, tuple[str, str, str]]:
    """Name -> id, host, and when the engine started it."""
    return {
        view.name: (view.id, view.host, stack.lab.inspect(view)["State"]["StartedAt"])
        for view in stack.running(service)
    }


"""Restarting or killing what is ours disturbs no container and no connection."""

TALK = """
services:
  server:
    image: python:3-slim
    command: ["python3", "-u", "-c", ECHO]
    init: true
    ports: ["15000:5000"]
    restart: always
  other:
    image: busybox:latest
    command: ["sleep", "100000"]
    init: true
    deploy: {replicas: 3}
"""


@pytest.fixture(scope="module")
def talk(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    text = TALK.replace("ECHO", json.dumps(ECHO))
    with cluster_lab.stack(session_lab, "talk", tmp_path_factory.mktemp("talk"), text) as this:
        this.runs()
        yield this


@pytest.fixture
def line(talk: Stack) -> Iterator[Line]:
    talk.lab.all_active()
    with Line(talk.lab.addresses[talk.one("server").host], 15000) as this:
        yield this


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("which", ["server", "agents"])
def test_end_of_server_or_agents(talk: Stack, line: Line, which: str, how: signal.Signals) -> None:
    before = identities(talk)
    places = [None] if which == "server" else list(talk.lab.hosts)
    for place in places:
        talk.lab.end(place, "server" if place is None else "agent", how)
    line.echo("while it is away")
    for place in places:
        talk.lab.revive(place)
    talk.lab.all_active()
    until(lambda: settled(talk, "other", 3) and settled(talk, "server", 1), "all is well", 20)
    line.echo("after it")
    assert identities(talk) == before
    assert nothing_double(talk, 4)
    assert talk.up("--json").stdout.count('"action"') == 0


def test_an_engine_killed_and_restarted(talk: Stack) -> None:
    host = talk.one("server").host
    before = identities(talk)
    talk.lab.end(host, "engine")
    talk.lab.revive(host)
    talk.lab.all_active()
    until(lambda: settled(talk, "other", 3) and settled(talk, "server", 1), "all is well", 60)
    until(lambda: nothing_double(talk, 4), "the engines hold what is wished", 20)
    assert identities(talk) == before
    with Line(talk.lab.addresses[talk.one("server").host], 15000) as line:
        line.echo("a new line")


def test_a_container_that_dies_while_the_server_is_away(talk: Stack) -> None:
    """The agent starts it again by itself; the server hears of it later."""
    before = talk.one("server")
    talk.lab.end(None, "server", signal.SIGKILL)
    talk.lab.docker(before.host, "kill", before.id)

    def again() -> bool:
        state = talk.lab.docker(before.host, "inspect", "-f", "{{.State.Running}} {{.State.StartedAt}}", before.id)
        return state.startswith("true")

    until(again, "it runs again without the server", 20)
    talk.lab.revive(None)
    talk.lab.all_active()
    until(lambda: settled(talk, "server", 1) and nothing_double(talk, 4), "all is well", 30)
    assert talk.one("server").id == before.id


def test_of_an_up(lab: Lab, tmp_path: Path) -> None:
    """Again and again, at different moments; what was asked for is there once at the end."""
    text = f"services:\n  many:{SLEEP}    deploy: {{replicas: 6}}\n"
    with cluster_lab.stack(lab, "middle", tmp_path, text) as stack:
        going = subprocess.Popen(
            lab.argv("up", "-d", "-f", str(stack.file)), env=lab.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for seen in (1, 3):
            until(partial(_at_least, lab, seen), f"{seen} containers run", 60)
            lab.end(None, "server", signal.SIGKILL)
            lab.revive(None)
        going.wait(90)
        lab.all_active()
        stack.runs()
        until(lambda: settled(stack, "many", 6), "all run", 60)
        until(lambda: nothing_double(stack, 6), "none is double", 20)


def _at_least(lab: Lab, number: int) -> bool:
    return len(lab.on_engines("middle")) >= number
