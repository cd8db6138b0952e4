"""`paddock exec` in a process of its own on a real terminal, against the API's exec over a real WebSocket."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from paddock.server.authority import Authority
from paddock.wire.api import ExecEnd
from unit.cli.views import container
from waiting import until

TIMEOUT_S = 20.0
STARTED_S = 15.0

Play = Callable[[ServerConnection], Awaitable[None]]


class ExecServer:
    """Knows one container; every exec is answered by `play`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        authority = Authority.open(folder, time.time())
        authority.renew_server_certificate(["127.0.0.1"], time.time())
        self.play: Play = self.nothing
        self.heard: list[object] = []
        self._authority = authority
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)

    async def nothing(self, connection: ServerConnection) -> None:
        del connection

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PADDOCK_SERVER": f"https://127.0.0.1:{self.port}",
            "PADDOCK_CA_FILE": str(self._authority.ca_file),
            "PADDOCK_CONFIG": "/nonexistent",
        }

    async def _serve(self) -> None:
        tls = self._authority.api_tls()
        async with serve(self._handle, "127.0.0.1", 0, ssl=tls, process_request=self._plain) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._end.wait()

    def _plain(self, connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        return connection.respond(200, msgspec.json.encode([container(1)]).decode())

    async def _handle(self, connection: ServerConnection) -> None:
        self.heard.append(json.loads(await connection.recv()))
        await self.play(connection)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(TIMEOUT_S)
        self._loop.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ExecServer]:
    one = ExecServer(tmp_path / "server")
    yield one
    one.stop()


async def end(connection: ServerConnection, code: int, error: str = "") -> None:
    await connection.send(msgspec.json.encode(ExecEnd(exit_code=code, error=error)).decode())


def environment(server: ExecServer) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **server.variables}


def paddock(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "paddock.main", "exec", *arguments]


class OnTerminal:
    """A command on a terminal of its own; we sit at it."""

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(33, 111)
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        self.text = ""
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables, start_new_session=True
        )

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def shows(self, words: str) -> bool:
        while select.select([self.ours], [], [], 0)[0]:
            self.text += os.read(self.ours, 4096).decode()
        return words in self.text

    def close(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        os.close(self.ours)
        os.close(self.theirs)


def test_terminal(server: ExecServer) -> None:
    """Keys arrive as they are typed (Ctrl-C too), the window's size is told, and the terminal is given back."""

    async def play(connection: ServerConnection) -> None:
        await connection.send(b"\x01prompt$ ")
        async for message in connection:
            server.heard.append(json.loads(message) if isinstance(message, str) else message)
            if message == b"\x04":
                await connection.send(b"\x01bye\r\n")
                await end(connection, 7)
                return

    server.play = play
    terminal = OnTerminal(paddock("-it", "-e", "A=1", "-u", "root", "shop/api", "sh", "-l"), environment(server))
    try:
        until(lambda: terminal.shows("prompt$ "), "the command's output is on the terminal", STARTED_S)
        start = server.heard[0]
        assert isinstance(start, dict)
        assert (start["command"], start["tty"], start["stdin"]) == (["sh", "-l"], True, True)
        assert (start["rows"], start["columns"], start["user"], start["environment"]) == (33, 111, "root", ["A=1"])
        terminal.type(b"ls\x03")
        until(lambda: b"ls\x03" in b"".join(each for each in server.heard if isinstance(each, bytes)), "keys arrive")
        terminal.resize(50, 200)
        terminal.process.send_signal(signal.SIGWINCH)
        wanted = {"eof": False, "rows": 50, "columns": 200}
        until(lambda: wanted in server.heard, "the new size is told")
        terminal.type(b"\x04")
        assert terminal.process.wait(TIMEOUT_S) == 7
        assert terminal.shows("bye")
        assert termios.tcgetattr(terminal.theirs) == terminal.before
    finally:
        terminal.close()


def test_pipe(server: ExecServer) -> None:
    """Standard input to its end; output and errors kept apart, byte for byte."""

    async def play(connection: ServerConnection) -> None:
        async for message in connection:
            server.heard.append(json.loads(message) if isinstance(message, str) else message)
            if isinstance(message, str):
                await connection.send(b"\x01out\xff\n")
                await connection.send(b"\x02err\n")
                await end(connection, 3)
                return

    server.play = play
    done = subprocess.run(
        paddock("-i", "shop-api-1", "cat"), input=b"one\ntwo", capture_output=True, env=environment(server),
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\xff\n", b"err\n")
    start, *said = server.heard
    assert isinstance(start, dict)
    assert (start["tty"], start["stdin"]) == (False, True)
    assert b"".join(each for each in said if isinstance(each, bytes)) == b"one\ntwo"
    assert said[-1] == {"eof": True, "rows": 0, "columns": 0}


def test_file_as_standard_input(server: ExecServer, tmp_path: Path) -> None:
    async def play(connection: ServerConnection) -> None:
        size = 0
        async for message in connection:
            size += len(message) if isinstance(message, bytes) else 0
            if isinstance(message, str):
                await connection.send(b"\x01" + str(size).encode())
                await end(connection, 0)
                return

    server.play = play
    file = tmp_path / "big"
    file.write_bytes(b"x" * 1_000_000)
    with file.open("rb") as stream:
        done = subprocess.run(
            paddock("-i", "shop-api-1", "wc"), stdin=stream, capture_output=True, env=environment(server),
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"1000000")


def test_standard_input_is_left_alone_without_i(server: ExecServer) -> None:
    """So that a loop that reads lines and runs `paddock exec` reads them all."""

    async def play(connection: ServerConnection) -> None:
        await end(connection, 126, "exec: no such program")

    server.play = play
    read, write = os.pipe()
    try:
        done = subprocess.run(
            paddock("shop-api-1", "nope"), stdin=read, capture_output=True, env=environment(server), timeout=TIMEOUT_S,
            check=False,
        )  # fmt: skip
    finally:
        os.close(read)
        os.close(write)
    assert done.returncode == 126
    assert done.stderr == b"paddock: exec: no such program\n"


def test_no_running_container(server: ExecServer) -> None:
    done = subprocess.run(
        paddock("--index", "9", "shop/api", "sh"), capture_output=True, env=environment(server), timeout=TIMEOUT_S,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"shop/api has no running container 9 (shop-api-1 is running)" in done.stderr
