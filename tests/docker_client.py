"""The real docker command line against a cluster's gateway, and bytes sent to it by hand."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT_S = 60.0
Done = subprocess.CompletedProcess[str]


def missing() -> str:
    """Why these tests cannot be run here; "" when they can."""
    return "" if shutil.which("docker") else "the docker command line is not installed"


def compose_plugin(config: Path) -> str:
    """Makes docker's plugins known to that configuration; why there is no `docker compose` for it, "" when there is.

    `PADDOCK_TEST_CLI_PLUGINS` names a directory with the plugins, if docker does not find them by itself.
    """
    plugins = os.environ.get("PADDOCK_TEST_CLI_PLUGINS", "")
    config.mkdir(parents=True, exist_ok=True)
    if plugins and not (config / "cli-plugins").exists():
        (config / "cli-plugins").symlink_to(plugins)
    told = subprocess.run(
        ["docker", "compose", "version"], env={**os.environ, "DOCKER_CONFIG": str(config)}, capture_output=True,
        timeout=COMMAND_TIMEOUT_S, check=False,
    )  # fmt: skip
    return "" if told.returncode == 0 else "DOCKER COMPOSE NOT TRIED: the plugin is not installed"


class Docker:
    """`docker …` with the given socket and a configuration of its own."""

    def __init__(self, path: Path, config: Path) -> None:
        self.path = path
        config.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM") if name in os.environ}
        self.environment = {**kept, "DOCKER_HOST": f"unix://{path}", "DOCKER_CONFIG": str(config)}

    def __call__(self, *arguments: str, stdin: str = "", timeout_s: float = COMMAND_TIMEOUT_S) -> Done:
        return subprocess.run(
            ["docker", *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=timeout_s,
            env=self.environment,
        )  # fmt: skip

    def done(self, *arguments: str, stdin: str = "") -> str:
        """What it printed, without the last newline."""
        answer = self(*arguments, stdin=stdin)
        assert answer.returncode == 0, (arguments, answer.returncode, answer.stdout, answer.stderr)
        return answer.stdout.rstrip("\n")

    def refused(self, *arguments: str, code: int = 1) -> str:
        answer = self(*arguments)
        assert answer.returncode == code, (arguments, answer.returncode, answer.stdout, answer.stderr)
        return answer.stderr

    def inspect(self, name: str, *kind: str) -> dict[str, Any]:
        found = json.loads(self.done(*kind, "inspect", name))
        assert isinstance(found[0], dict)
        return found[0]

    def host_of(self, name: str) -> str:
        return str(self.inspect(name)["Node"]["Name"])

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["docker", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.environment,
        )  # fmt: skip


class Raw:
    """One connection to a socket, byte by byte."""

    def __init__(self, path: Path, timeout_s: float = 10.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(str(path))
        self.pending = b""

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.replace("\n", "\r\n").encode() if isinstance(text, str) else text)

    def request(self, method: str, target: str, body: object = None, headers: str = "") -> None:
        data = b"" if body is None else json.dumps(body).encode()
        kind = "Content-Type: application/json\n" if body is not None else ""
        self.send(f"{method} {target} HTTP/1.1\nHost: docker\n{kind}{headers}Content-Length: {len(data)}\n\n")
        if data:
            self.send(data)

    def some(self) -> bytes:
        """One read: what arrived as a segment of its own stays apart. b"" at the end."""
        data, self.pending = self.pending or self.socket.recv(65536), b""
        return data

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers with lower-case names."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.some()
            assert more, f"the connection ended inside a head: {data!r}"
            data += more
        text, _, self.pending = data.partition(b"\r\n\r\n")
        first, *rest = text.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in rest)
        return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}

    def body(self, headers: dict[str, str]) -> bytes:
        data = b""
        length = int(headers["content-length"])
        while len(data) < length:
            data += self.some()
        self.pending = data[length:]
        return data[:length]

    def rest(self) -> bytes:
        data = b""
        while more := self.some():
            data += more
        return data

    def answer(self) -> tuple[int, Any]:
        status, headers = self.head()
        body = self.body(headers) if "content-length" in headers else b""
        return status, json.loads(body) if body.strip().startswith((b"{", b"[")) else body

    def until(self, wanted: bytes) -> bytes:
        data = b""
        while wanted not in data:
            more = self.some()
            assert more, f"the connection ended before {wanted!r}: {data!r}"
            data += more
        return data

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)
