"""A running cluster for tests: the real command line, the real client, and every host's own engine to look at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from paddock.client.client import Client
from paddock.model.errors import PaddockError
from paddock.playground import images
from paddock.playground.cluster import Cluster
from paddock.playground.playground import Playground
from paddock.wire.api import ContainerView, EnvironmentView, Explanation, HostView, ServiceView
from waiting import until

COMMAND_TIMEOUT_S = 90.0
LOADED = ("busybox", "python")
REUSED = "PADDOCK_TEST_CLUSTER"
"""The folder of a playground that is up already, to be used and left as it is: for writing tests."""

SLEEP = """
    image: busybox:latest
    command: ["sleep", "100000"]
    init: true
    stop_grace_period: 1s
"""

T = TypeVar("T")
Done = subprocess.CompletedProcess[str]


class Going:
    """A command that goes on, and what it has said so far."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        # Tests that run in the background have it ignored, and so would what they start.
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        assert self.process.stdout is not None
        self._descriptor = self.process.stdout.fileno()
        os.set_blocking(self._descriptor, False)
        self.said = ""

    def says(self, text: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._descriptor, 65536):
                self.said += data.decode(errors="replace")
        return text in self.said

    def end(self, how: signal.Signals) -> int:
        """Its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(15)
        self.says("")
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class Lab:
    """`folder` is a test's own: compose files are written there."""

    def __init__(self, cluster: Cluster, config: Path) -> None:
        self.cluster = cluster
        self.ground = cluster.playground
        self.hosts = self.ground.hosts
        self._config = config
        self._runner = asyncio.Runner()
        self.addresses = {host.name: host.address for host in self.ground.status().hosts}

    def close(self) -> None:
        self._runner.close()

    # The command line

    @property
    def environment(self) -> dict[str, str]:
        here = Path(__file__).resolve().parents[1] / "src"
        return {**os.environ, "PYTHONPATH": str(here), "PADDOCK_CONFIG": str(self._config), "COLUMNS": "200"}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "paddock.main", *arguments]

    def paddock(
        self,
        *arguments: str,
        stdin: str | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
        folder: Path | None = None,
    ) -> Done:
        return subprocess.run(
            self.argv(*arguments), capture_output=True, text=True, env=self.environment, timeout=timeout_s,
            input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, cwd=folder,
        )  # fmt: skip

    def done(self, *arguments: str, stdin: str | None = None, folder: Path | None = None) -> str:
        """Standard output of a command that must end well."""
        result = self.paddock(*arguments, stdin=stdin, folder=folder)
        assert result.returncode == 0, (arguments, result.returncode, result.stdout[-2000:], result.stderr[-4000:])
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.done(*arguments, "--json"))

    def start(self, *arguments: str) -> Going:
        return Going(self.argv(*arguments), self.environment)

    # The API

    def ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with Client(self.cluster.endpoint()) as client:
                return await question(client)

        return self._runner.run(ask())

    def containers(self, stack: str, service: str = "", *, every: bool = False) -> list[ContainerView]:
        found = self.ask(lambda client: client.containers(stack=stack, service=service, all=every))
        return sorted(found, key=lambda view: (view.service, view.slot, view.generation, view.role))

    def running(self, stack: str, service: str = "") -> list[ContainerView]:
        return [view for view in self.containers(stack, service) if view.state == "running"]

    def service(self, stack: str, service: str) -> ServiceView:
        return self.ask(lambda client: client.service(stack, service))

    def explain(self, name: str) -> Explanation:
        return self.ask(lambda client: client.explain(name))

    def host(self, name: str) -> HostView:
        return self.ask(lambda client: client.host(name))

    def default_environment(self) -> EnvironmentView:
        return self.ask(lambda client: client.environments())[0]

    def server_answers(self) -> bool:
        try:
            self.ask(lambda client: client.ping())
        except (PaddockError, OSError):
            return False
        return True

    # Hosts and their engines

    def docker(self, host: str, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "-H", f"unix://{self.ground.socket(host)}", *arguments],
            capture_output=True, text=True, timeout=60, env={**os.environ, "DOCKER_CONFIG": "/nonexistent"},
        )  # fmt: skip
        assert done.returncode == 0 or not check, (host, arguments, done.stderr)
        return done.stdout

    def inspect(self, view: ContainerView) -> dict[str, Any]:
        found = json.loads(self.docker(view.host, "inspect", view.id))
        assert isinstance(found[0], dict)
        return found[0]

    def on_engines(self, stack: str, hosts: tuple[str, ...] = ()) -> dict[str, str]:
        """Id -> host of every running container of the stack, as the engines have them."""
        label = f"label=com.docker.compose.project={stack}"
        found = {}
        for host in hosts or self.hosts:
            for line in self.docker(host, "ps", "-q", "--no-trunc", "--filter", label).split():
                found[line] = host
        return found

    def inside(self, view: ContainerView, *command: str, check: bool = True) -> str:
        """Runs a command in a container by its own engine: what the container sees, with nothing of ours between."""
        return self.docker(view.host, "exec", view.id, *command, check=check)

    def pid(self, host: str | None, label: str) -> int:
        pid = self.ground.pid(host, label)
        assert pid is not None, f"no {label} runs on {host or 'the machine'}"
        return pid

    def end(self, host: str | None, label: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Ends the server (of the machine: None), an agent or an engine, and waits until it has gone."""
        pid = self.pid(host, label)
        os.kill(pid, how)
        until(lambda: self.ground.pid(host, label) is None, f"{label} is dead", 20)

    def revive(self, host: str | None) -> None:
        """Starts again what was killed: a host's processes, or the server."""
        if host is None:
            self.ground.up(len(self.hosts))
            until(self.server_answers, "the server answers", 30)
        else:
            self.ground.start(host)

    def active(self, *hosts: str) -> bool:
        known = {view.name: view.state for view in self.ask(lambda client: client.hosts())}
        return all(known.get(host) == "active" for host in hosts or self.hosts)

    def all_active(self) -> None:
        until(self.active, "all hosts are active", 60)


class Stack:
    """A compose file in a folder, and what runs of it. `text` may leave out `name`."""

    def __init__(self, lab: Lab, name: str, folder: Path, text: str) -> None:
        self.lab = lab
        self.name = name
        self.folder = folder
        self.file = folder / f"{name}.yaml"
        self.write(text)

    def write(self, text: str) -> None:
        self.file.write_text(f"name: {self.name}\n{text}")

    def command(self, *arguments: str) -> Done:
        return self.lab.paddock(*arguments)

    def up(self, *arguments: str) -> Done:
        return self.lab.paddock("up", "-d", "-f", str(self.file), *arguments)

    def runs(self, *arguments: str) -> Done:
        done = self.up(*arguments)
        assert done.returncode == 0, (done.stdout[-1000:], done.stderr[-4000:])
        return done

    def views(self, service: str = "", *, every: bool = False) -> list[ContainerView]:
        return self.lab.containers(self.name, service, every=every)

    def one(self, service: str) -> ContainerView:
        (view,) = self.lab.running(self.name, service)
        return view

    def running(self, service: str = "") -> list[ContainerView]:
        return self.lab.running(self.name, service)

    def down(self, *arguments: str) -> Done:
        return self.lab.paddock("down", self.name, *arguments)


@contextlib.contextmanager
def stack(lab: Lab, name: str, folder: Path, text: str) -> Iterator[Stack]:
    """Down again at the end, with all its volumes; a test that fails says first what it found."""
    this = Stack(lab, name, folder, text)
    try:
        yield this
    except BaseException:
        this.down("-v", "-t", "60")
        raise
    done = this.down("-v", "-t", "60")
    assert done.returncode == 0 or "no stack" in done.stderr, (done.stdout[-1000:], done.stderr[-3000:])


def settled(stack: Stack, service: str, number: int) -> bool:
    view = stack.lab.service(stack.name, service)
    return view.ready == number and view.running == number and view.state == "running"


def nothing_double(stack: Stack, number: int) -> bool:
    """The engines hold exactly the containers that the server knows to run, so many and no others."""
    known = {view.id for view in stack.running()}
    return len(known) == number and set(stack.lab.on_engines(stack.name)) == known


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    """Three hosts with agents, a server, and images. A fresh one is taken away again without a trace."""
    reused = os.environ.get(REUSED)
    root = Path(reused) if reused else Path(tempfile.mkdtemp(prefix="pd"))
    name = root.name
    config = (
        Path(os.environ.get("PADDOCK_CONFIG", "")) if reused else Path(tempfile.mkdtemp(prefix="pc")) / "config.json"
    )
    with _environ({"PADDOCK_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(sys.path)}):
        cluster = Cluster(Playground(root, name))
        try:
            cluster.up(3)
            if not reused:
                load(cluster)
            this = Lab(cluster, config)
            yield this
            this.close()
        finally:
            if not reused:
                cluster.down()
                for folder in (config.parent, root):
                    shutil.rmtree(folder, ignore_errors=True)


def cache() -> Path:
    return Path(os.environ.get("PADDOCK_TEST_CACHE") or "/var/cache/paddock-tests")


def load(cluster: Cluster) -> None:
    for image in LOADED:
        cluster.playground.load(images.build(image, cache()))


@contextlib.contextmanager
def _environ(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
