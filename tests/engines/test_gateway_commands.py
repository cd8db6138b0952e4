"""The docker command line says the same to three hosts as to one engine: exit code and output, line by line.

`tests/conformance/docker` has the lines. What is marked as different there must differ, and end with the same code.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import Lab
from docker_client import Docker, compose_plugin, missing
from docker_lines import Endpoint, Line, Said, lines_of
from engines.one_engine import Machine, shared_machine
from paddock.playground import images
from waiting import until

__all__ = ["shared_machine"]
pytestmark = [pytest.mark.engines, pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]
LINES = Path(__file__).resolve().parents[1] / "conformance" / "docker"
SUBJECTS = ("builds", "files", "networks", "run", "streams", "swarm", "system")
PROJECT = {"APP": str(LINES / "app"), "COMPOSE_PROJECT_NAME": "app"}
REGISTRY = "127.0.0.1:5055"
"""Engines trust what is on their loopback addresses, so each namespace has one."""


class Sides:
    """One engine and a cluster, each with the same image and a registry of its own."""

    def __init__(self, plain: Docker, cluster: Docker) -> None:
        self.plain = plain
        self.cluster = cluster

    def differences(self, lines: list[Line], folder: Path, more: Mapping[str, str]) -> str:
        def all_on(docker: Docker) -> list[Said]:
            own = folder / docker.path.parent.name
            compose_plugin(own / "docker")
            endpoint = Endpoint(f"unix://{docker.path}", own, {"REGISTRY": REGISTRY, **more})
            return [endpoint.say(line.text) for line in lines]

        with ThreadPoolExecutor(2) as pool:
            told = zip(lines, *pool.map(all_on, (self.plain, self.cluster)), strict=True)
        return "\n".join(_difference(*one) for one in told if _wrong(*one))


@pytest.fixture(scope="module")
def sides(session_lab: Lab, shared_machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("commands")
    hosts = [session_lab.pid(host, "engine") for host in session_lab.hosts]
    plain = Docker(shared_machine.socket, folder / "d1")
    plain.done("load", "-i", str(images.build("busybox", cluster_lab.cache())))
    with registries([shared_machine.holder], folder / "r1"), registries(hosts, folder / "r2"):
        yield Sides(plain, Docker(session_lab.ground.root / "server" / "docker.sock", folder / "d2"))
    plain("rmi", "-f", "busybox")


@contextlib.contextmanager
def registries(pids: list[int], storage: Path) -> Iterator[None]:
    """In the network namespaces of these processes, with one storage."""
    storage.mkdir()
    config = storage / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {storage}}}}}\n"
        f"http: {{addr: {REGISTRY}}}\n"
    )
    with contextlib.ExitStack() as stack:
        for pid in pids:
            command = ["nsenter", "-t", str(pid), "-n", "docker-registry", "serve", str(config)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(process.send_signal, signal.SIGTERM)
        for pid in pids:
            until(lambda pid=pid: _listens(pid), "the registry listens")  # type: ignore[misc]
        yield


def _listens(pid: int) -> bool:
    return f"{int(REGISTRY.partition(':')[2]):04X} " in Path(f"/proc/{pid}/net/tcp").read_text()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_cluster_says_what_one_engine_says(subject: str, sides: Sides, lab: Lab, tmp_path: Path) -> None:
    wrong = sides.differences(lines_of(LINES / f"{subject}.sh"), tmp_path, {})
    assert not wrong, f"on one engine (-) and in a cluster (+):\n{wrong}"


@pytest.mark.parametrize("file", ["compose.sh", "compose2.sh"])
def test_docker_compose(file: str, sides: Sides, lab: Lab, tmp_path: Path) -> None:
    if why := compose_plugin(tmp_path / "docker"):
        pytest.skip(why)
    wrong = sides.differences(lines_of(LINES / file), tmp_path, {**PROJECT, "COMPOSE": "docker compose"})
    assert not wrong, f"on one engine (-) and in a cluster (+):\n{wrong}"


def test_docker_compose_of_old(sides: Sides, lab: Lab, tmp_path: Path) -> None:
    """1.29, the last of those in Python."""
    program = os.environ.get("PADDOCK_TEST_COMPOSE_1") or shutil.which("docker-compose")
    if program is None:
        pytest.skip("DOCKER-COMPOSE 1.29 NOT TRIED: it is not installed")
    wrong = sides.differences(lines_of(LINES / "compose.sh"), tmp_path, {**PROJECT, "COMPOSE": program})
    assert not wrong, f"on one engine (-) and in a cluster (+):\n{wrong}"


def _wrong(line: Line, plain: Said, cluster: Said) -> bool:
    if line.why:
        return plain.code != cluster.code or plain == cluster
    return plain != cluster


def _difference(line: Line, plain: Said, cluster: Said) -> str:
    if plain == cluster:
        return f"$ {line.text}\n  does not differ any more: {line.why}"
    before, after = (
        [f"exit {said.code}", *said.out.splitlines(), *(f"2> {text}" for text in said.err.splitlines())]
        for said in (plain, cluster)
    )
    return "\n".join([f"$ {line.text}", *list(unified_diff(before, after, lineterm="", n=0))[2:]])
