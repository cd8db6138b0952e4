"""A host's own Docker engine: its settings, whether it answers, and loading images into it."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path
from typing import BinaryIO

import msgspec

from paddock.model.errors import UserError
from paddock.playground import plan

LABEL = "engine"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
PING_TIMEOUT_S = 2.0
ASK_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 180.0
LOG_LINES = 5
MACHINE_CONFIG = Path("/etc/docker/daemon.json")
CARRIED_OVER = ("registry-mirrors", "insecure-registries")
"""What the machine's own engine is told about the way to registries holds for the hosts' engines as well."""


def settings(subnet: str, host: str, cgroup: str) -> bytes:
    """daemon.json of the host."""
    chosen: dict[str, object] = {key: value for key, value in _machine_settings().items() if key in CARRIED_OVER}
    chosen |= {
        "hosts": ["unix:///run/docker.sock"],
        "data-root": "/var/lib/docker",
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "storage-driver": "overlay2",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{cgroup}",
        "bip": plan.docker0(subnet, host),
        "default-address-pools": [{"base": base, "size": 26} for base in plan.pools(subnet, host)],
        "userland-proxy": False,
        "live-restore": True,
    }
    return msgspec.json.format(msgspec.json.encode(chosen), indent=2)


def environment(path: str) -> dict[str, str]:
    """Of dockerd. The machine's proxies are passed on, for it pulls through them."""
    proxies = {
        key: value for key, value in os.environ.items() if key.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    return {"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", **proxies}


def answers(engine_socket: Path) -> bool:
    """One `_ping`."""
    try:
        return ask(engine_socket, "GET", "/_ping", timeout_s=PING_TIMEOUT_S) == b"OK"
    except (OSError, http.client.HTTPException, UserError):
        return False


def ask(
    engine_socket: Path,
    method: str,
    path: str,
    body: BinaryIO | bytes | None = None,
    timeout_s: float = ASK_TIMEOUT_S,
) -> bytes:
    """One call of the engine's API, to its end. A body is JSON if bytes, a tar if a file. Status 400 on: UserError."""
    headers = {}
    if isinstance(body, bytes):
        headers = {"Content-Type": "application/json"}
    elif body is not None:
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(os.fstat(body.fileno()).st_size)}
    connection = _UnixConnection(engine_socket, timeout_s)
    try:
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise UserError(f"the engine said {response.status}: {answer.decode(errors='replace').strip()}")
    return answer


def load(engine_socket: Path, image: Path) -> None:
    """Streams an image tar into the engine. Raises UserError with what the engine says against it."""
    try:
        with image.open("rb") as file:
            answer = ask(engine_socket, "POST", "/images/load?quiet=1", file, LOAD_TIMEOUT_S)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename or engine_socket} is not there", hint="is the host running?") from None
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"{engine_socket} did not take {image.name}: {error}", hint="is the host running?") from None
    for line in answer.splitlines():
        said = msgspec.json.decode(line)
        if "error" in said:
            raise UserError(
                f"the engine refused {image.name}: {said['error']}", hint="give a tar written by `docker save`"
            )


def has_image(engine_socket: Path, name: str) -> bool:
    try:
        return bool(ask(engine_socket, "GET", f"/images/{name}/json"))
    except UserError:
        return False


def last_words(log: Path) -> str:
    """The end of a log, on one line."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "it wrote no log"
    return " | ".join(line.strip() for line in lines[-LOG_LINES:]) or "it said nothing"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("engine", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _machine_settings() -> dict[str, object]:
    try:
        return msgspec.json.decode(MACHINE_CONFIG.read_bytes(), type=dict[str, object])
    except (OSError, msgspec.DecodeError):
        return {}
