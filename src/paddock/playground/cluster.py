"""A playground with a server on the machine and an agent in every host: what `paddock playground up` makes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from paddock.client import config
from paddock.client.client import Client, Endpoint
from paddock.model.errors import PaddockError, UserError
from paddock.playground.playground import Playground
from paddock.playground.state import Reachable, Status
from paddock.playground.wait import until

CONTEXT = "playground"
SERVER_TIMEOUT_S = 30.0
HOSTS_TIMEOUT_S = 60.0
JOIN_TIMEOUT_S = 60.0
LONGEST_TAIL = 20

T = TypeVar("T")
Tell = Callable[[str], None]


class Cluster:
    """Every failure is a `UserError`. `tell` hears what is being done, one short line each."""

    def __init__(self, playground: Playground, tell: Tell = lambda line: None) -> None:
        self.playground = playground
        self._tell = tell
        self._data = playground.root / "server"

    def up(self, hosts: int = 3) -> Status:
        """Server, hosts and agents run when this returns, and the hosts are active. What runs is left alone."""
        self._tell(f"starting {hosts} hosts")
        self.playground.up(hosts)
        self._start_server()
        self._join_all(self.playground.hosts)
        self._point_here()
        return self.playground.status()

    def add(self) -> str:
        """One host more, joined and active."""
        name = self.playground.add()
        self._join_all((name,))
        return name

    def down(self) -> None:
        self.playground.down()
        self._point_away()

    # The server

    @property
    def server(self) -> str:
        return f"https://{self.playground.address}:7443"

    def endpoint(self) -> Endpoint:
        return Endpoint(
            server=self.server,
            ca=(self._data / "ca.crt").read_text(),
            key=(self._data / "admin.key").read_text().strip(),
            environment="default",
        )

    def _start_server(self) -> None:
        address = self.playground.address
        argv = (
            *_paddock(), "server", "run", "--data", str(self._data), "--listen", address, "--name", address,
            "--admin-key-file",
        )  # fmt: skip
        self._tell("starting the server")
        self.playground.run(None, argv, label="server", env=_environment())
        self.playground.record(
            Reachable(
                server=self.server,
                api_key_file=str(self._data / "admin.key"),
                environment="default",
                docker_host=f"unix://{self._data}/docker.sock",
            )
        )
        if not until(self._answers, SERVER_TIMEOUT_S):
            raise UserError(self._server_trouble())

    def _answers(self) -> bool:
        if self.playground.pid(None, "server") is None:
            raise UserError(self._server_trouble())
        if not (self._data / "admin.key").exists() or not (self._data / "ca.crt").exists():
            return False
        try:
            self._ask(lambda client: client.ping())
        except (PaddockError, OSError):
            return False
        return True

    def _server_trouble(self) -> str:
        log = self.playground.root / "machine" / "log" / "server.log"
        return f"the server does not answer at {self.server}; the end of {log}:\n{_tail(log)}"

    def _ask(self, question: Callable[[Client], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with Client(self.endpoint()) as client:
                return await question(client)

        return asyncio.run(ask())

    # The agents

    def _join_all(self, hosts: Sequence[str]) -> None:
        with ThreadPoolExecutor(max_workers=4) as pool:
            for _ in pool.map(self._join, hosts):
                pass
        self._tell("waiting for the hosts to be active")
        if not until(lambda: self._active(hosts), HOSTS_TIMEOUT_S):
            raise UserError(self._silent(hosts))

    def _join(self, host: str) -> None:
        env = _environment()
        if not self._joined(host):
            self._tell(f"{host} joins")
            token = self._ask(lambda client: client.create_join_token()).token
            own = (f"{name}={value}" for name, value in env.items())
            argv = ["env", *own, *_paddock(), "agent", "join", "-", "--name", host]
            done = self.playground.exec(host, argv, timeout_s=JOIN_TIMEOUT_S, stdin=token)
            if done.returncode != 0:
                raise UserError(f"{host} could not join: {done.stderr.strip() or done.stdout.strip()}")
        self.playground.run(host, (*_paddock(), "agent", "run"), label="agent", env=env)

    def _joined(self, host: str) -> bool:
        return self.playground.exec(host, ["test", "-e", "/var/lib/paddock/agent/identity.json"]).returncode == 0

    def _active(self, hosts: Sequence[str]) -> bool:
        known = {view.name: view.state for view in self._ask(lambda client: client.hosts())}
        return all(known.get(host) == "active" for host in hosts)

    def _silent(self, hosts: Sequence[str]) -> str:
        logs = "\n".join(
            f"{host}: {_tail(self.playground.root / 'hosts' / host / 'log' / 'agent.log', 5)}" for host in hosts
        )
        return f"not every host became active; their agents' last words:\n{logs}"

    # The command line's context

    def _point_here(self) -> None:
        path = config.config_file(os.environ)
        kept = config.load(path)
        here = config.Context(
            server=self.server,
            ca=(self._data / "ca.crt").read_text(),
            key_file=str(self._data / "admin.key"),
            environment="default",
        )
        name = self._context
        if kept.contexts.get(name) != here or kept.current != name:
            config.save(path, msgspec.structs.replace(kept, current=name, contexts={**kept.contexts, name: here}))

    def _point_away(self) -> None:
        path = config.config_file(os.environ)
        kept = config.load(path)
        if self._context in kept.contexts:
            rest = {name: context for name, context in kept.contexts.items() if name != self._context}
            current = kept.current if kept.current != self._context else next(iter(sorted(rest)), "default")
            config.save(path, msgspec.structs.replace(kept, current=current, contexts=rest))

    @property
    def _context(self) -> str:
        return CONTEXT if self.playground.name == "paddock" else f"{CONTEXT}-{self.playground.name}"


def _paddock() -> tuple[str, ...]:
    return (sys.executable, "-m", "paddock.main")


def _environment() -> dict[str, str]:
    """What our own processes get: where Python finds this very code, and nothing of the caller's secrets."""
    kept = {name: os.environ[name] for name in ("LANG", "VIRTUAL_ENV") if name in os.environ}
    if paths := os.environ.get("PYTHONPATH"):
        kept["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in paths.split(os.pathsep))
    return {"HOME": "/root", **kept}


def _tail(log: Path, lines: int = LONGEST_TAIL) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
