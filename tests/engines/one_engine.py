"""One real Docker engine in a network namespace of its own, with everything it writes in a directory of its own.

`PADDOCK_ENGINE_DIR` names a directory with another engine's programs (dockerd, containerd, …) to test with instead.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddock.wire.engine_errors import EngineUnreachable
from paddock.wire.engine_http import EngineHttp, unix_dial
from waiting import until

IMAGE = "paddock-test:1"
START_S = 60.0
APPLETS = ("sh", "sleep", "cat", "stat", "true", "false", "nc", "httpd", "ip", "ping", "nslookup", "wc", "echo", "kill")


_numbers = itertools.count()
"""Every module that imports the fixture has an engine of its own."""


class Machine:
    """A namespace with an engine in it that can be killed and started again."""

    def __init__(self, root: Path, name: str, *, live_restore: bool = True) -> None:
        self.root = root
        self.name = name
        self.socket = root / "docker.sock"
        self._live_restore = live_restore
        self._holder: subprocess.Popen[bytes] | None = None
        self._engine: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        _run("ip", "netns", "add", self.name)
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        _run("ip", "-n", self.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0p")
        _run("ip", "-n", self.name, "addr", "add", "10.123.0.2/24", "dev", "eth0")
        for device in ("eth0", "eth0p"):
            _run("ip", "-n", self.name, "link", "set", device, "mtu", "1442", "up")
        command = ["nsenter", f"--net=/run/netns/{self.name}", "unshare", "-m", "--propagation", "private"]
        self._holder = subprocess.Popen([*command, "sleep", "100000"])
        until(lambda: _in_namespace(self._holder), "the namespaces stand")
        self.start()

    def start(self) -> None:
        assert self._holder is not None
        command = [
            *("nsenter", "-t", str(self._holder.pid), "-n", "-m", "dockerd"),
            *("--data-root", str(self.root / "data"), "--exec-root", str(self.root / "exec")),
            *("--pidfile", str(self.root / "pid"), "-H", f"unix://{self.socket}", "--userland-proxy=false"),
            *("--config-file", str(self.root / "none.json"), "--bip", "172.29.0.1/24"),
            *(["--live-restore"] if self._live_restore else []),
        ]
        (self.root / "none.json").write_text("{}")
        # A killed engine's containerd may stay as a zombie that nobody reaps here, and would be waited for.
        for stale in ("pid", "exec/containerd/containerd.pid"):
            (self.root / stale).unlink(missing_ok=True)
        with open(self.root / "log", "ab") as log:
            self._engine = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_programs())
        until(self.answers, f"the engine answers, see {self.root}/log", within_s=START_S)

    def kill(self) -> None:
        """As a crash would: nothing is cleaned up."""
        assert self._engine is not None
        self._engine.send_signal(signal.SIGKILL)
        self._engine.wait()

    def stop(self) -> None:
        assert self._engine is not None
        self._engine.send_signal(signal.SIGTERM)
        self._engine.wait(timeout=START_S)

    def restart(self, *, live_restore: bool) -> None:
        self.stop()
        self._live_restore = live_restore
        self.start()

    def answers(self) -> bool:
        try:
            return asyncio.run(_ping(self.socket))
        except EngineUnreachable:
            return False

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/containers/{container}/json")
        return found

    def api(self, method: str, path: str, *, query: dict[str, str | int | bool] | None = None, body: Any = None) -> Any:
        async def ask() -> Any:
            http = EngineHttp(unix_dial(str(self.socket)))
            try:
                return await http.json(method, path, query=query, body=body, timeout_s=60.0)
            finally:
                await http.close()

        return asyncio.run(ask())

    @property
    def holder(self) -> int:
        """The process whose namespaces are the host's."""
        assert self._holder is not None
        return self._holder.pid

    def run_in(self, container: str, *command: str) -> str:
        """What a command in a container says."""
        body = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "Tty": True}

        async def run() -> str:
            http = EngineHttp(unix_dial(str(self.socket)))
            try:
                made = await http.json("POST", f"/containers/{container}/exec", body=body)
                hijacked = await http.upgrade("POST", f"/exec/{made['Id']}/start", body={"Tty": True})
                said = b"".join([chunk async for chunk in hijacked.chunks()])
                await hijacked.close()
                return said.decode()
            finally:
                await http.close()

        return asyncio.run(run())

    def import_image(self, name: str, files: dict[str, bytes] | None = None) -> None:
        async def send() -> None:
            http = EngineHttp(unix_dial(str(self.socket)))
            repo, _, tag = name.partition(":")
            query = {"fromSrc": "-", "repo": repo, "tag": tag, "changes": 'CMD ["sh"]'}
            async with http.stream("POST", "/images/create", query=query, body=_rootfs(files or {})) as answer:
                lines = [line async for line in answer.json_lines()]
            await http.close()
            assert "error" not in lines[-1], lines

        asyncio.run(send())

    def empty(self) -> None:
        """No containers, no networks of tests, no volumes."""
        for container in self.api("GET", "/containers/json", query={"all": True}):
            self.api("DELETE", f"/containers/{container['Id']}", query={"force": True, "v": True})
        for network in self.api("GET", "/networks"):
            if network["Name"] not in ("bridge", "host", "none"):
                self.api("DELETE", f"/networks/{network['Id']}")
        for volume in self.api("GET", "/volumes")["Volumes"] or ():
            self.api("DELETE", f"/volumes/{volume['Name']}")

    def remove(self) -> None:
        if self._engine is not None and self._engine.poll() is None:
            self.empty()
            self.stop()
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait()
        _run("ip", "netns", "del", self.name)
        shutil.rmtree(self.root, ignore_errors=True)


async def _ping(socket: Path) -> bool:
    http = EngineHttp(unix_dial(str(socket)))
    try:
        return (await http.ping(timeout_s=2.0)).status == 200
    finally:
        await http.close()


def _in_namespace(process: subprocess.Popen[bytes] | None) -> bool:
    assert process is not None
    return Path(f"/proc/{process.pid}/comm").read_text().strip() == "sleep"


def _programs() -> dict[str, str]:
    own = os.environ.get("PADDOCK_ENGINE_DIR", "")
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": f"{own}:{path}" if own else path, "HOME": "/root"}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


async def _rootfs(files: dict[str, bytes]) -> Any:
    """A tar with the machine's static busybox."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        program = Path("/bin/busybox").read_bytes()
        _add(tar, "bin/busybox", program, 0o755)
        for applet in APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        _add(tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\n", 0o644)
        for name, content in files.items():
            _add(tar, name, content, 0o644)
    data = buffer.getvalue()
    for start in range(0, len(data), 65536):
        yield data[start : start + 65536]


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def why_not() -> str:
    """Why no engine can be started here; "" when one can."""
    if os.geteuid() != 0:
        return "needs root: namespaces and a Docker engine"
    programs = _programs()["PATH"]
    for program in ("dockerd", "containerd", "runc", "ip", "nsenter", "unshare"):
        if shutil.which(program, path=programs) is None:
            return f"needs {program}"
    return "" if Path("/bin/busybox").exists() else "needs busybox-static for its image"


@pytest.fixture(scope="session")
def shared_machine() -> Iterator[Machine]:
    if reason := why_not():
        pytest.skip(reason)
    made = Machine(Path(tempfile.mkdtemp(prefix="pdk-agent-")), f"pdk-agent-{os.getpid()}-{next(_numbers)}")
    try:
        made.make()
        made.import_image(IMAGE)
        yield made
    finally:
        made.remove()


@pytest.fixture
def machine(shared_machine: Machine) -> Machine:
    """Empty before each test."""
    shared_machine.empty()
    return shared_machine
