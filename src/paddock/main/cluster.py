"""A server on this machine and an agent in every host of the playground, and commands pointed at them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from paddock.cli.output import say
from paddock.client import Client, Endpoint
from paddock.client.config import Context, Contexts, config_file, load, save
from paddock.model.errors import PaddockError, Refused, Transient

if TYPE_CHECKING:
    from paddock.playground.playground import Playground

CONTEXT = "playground"
SERVER, AGENT = "server", "agent"
API_PORT, AGENTS_PORT = 7443, 7444
LOOK_S = 0.1
START_TIMEOUT_S = 30.0
ACTIVE_TIMEOUT_S = 60.0


def start_cluster(ground: Playground) -> None:
    """What runs already is left alone. Returns when every host with power is active."""
    from paddock.playground.state import Reachable

    data = ground.root / "machine" / "data"
    address = ground.address
    ground.run(None, _server(data, address), label=SERVER, env=_environment())
    endpoint = asyncio.run(_answering(data, f"https://{address}:{API_PORT}", ground))
    asyncio.run(_with_agents(endpoint, ground))
    key_file = str(data / "admin.key")
    ground.record(Reachable(server=endpoint.server, api_key_file=key_file, environment=endpoint.environment))
    _point_commands_at(endpoint, key_file)


def forget_cluster(ground: Playground) -> None:
    """Takes the context away if it is of this playground; the processes end with it."""
    file = config_file(os.environ)
    contexts = load(file)
    known = contexts.contexts.get(CONTEXT)
    if known is None or not known.key_file.startswith(f"{ground.root}/"):
        return
    left = {name: each for name, each in contexts.contexts.items() if name != CONTEXT}
    if not left:
        file.unlink()
        return
    current = next(iter(sorted(left))) if contexts.current == CONTEXT else contexts.current
    save(file, Contexts(current=current, contexts=left))


def _program() -> tuple[str, ...]:
    return (sys.executable, "-m", "paddock.main")


def _environment() -> dict[str, str]:
    """A source tree that is not installed is found through the path."""
    return {"PYTHONPATH": os.environ["PYTHONPATH"]} if os.environ.get("PYTHONPATH") else {}


def _server(data: Path, address: str) -> tuple[str, ...]:
    ports = ("--api-port", str(API_PORT), "--agents-port", str(AGENTS_PORT))
    return (
        *_program(), "server", "run", "--data", str(data), "--listen", address, "--name", address, *ports,
        "--admin-key-file",
    )  # fmt: skip


async def _until(met: Callable[[], Awaitable[bool]], timeout_s: float, otherwise: Refused) -> None:
    """Other processes do not tell us: we look."""
    try:
        async with asyncio.timeout(timeout_s):
            while not await met():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise otherwise from None


async def _answering(data: Path, server: str, ground: Playground) -> Endpoint:
    log = ground.root / "machine" / "log" / f"{SERVER}.log"
    files = (data / "admin.key", data / "ca.crt")
    trouble = Refused(f"the server did not start within {START_TIMEOUT_S:g} s", hint=f"its log is {log}")

    async def keys_made() -> bool:
        return all(file.exists() for file in files)

    await _until(keys_made, START_TIMEOUT_S, trouble)
    key, ca = (file.read_text() for file in files)
    endpoint = Endpoint(server=server, ca=ca, key=key.strip(), environment="default")
    async with Client(endpoint) as client:
        await _until(lambda: _answers(client), START_TIMEOUT_S, trouble)
    return endpoint


async def _answers(client: Client) -> bool:
    try:
        await client.ping()
    except Transient:
        return False
    return True


async def _with_agents(endpoint: Endpoint, ground: Playground) -> None:
    powered = [host.name for host in ground.status().hosts if host.state == "active"]
    async with Client(endpoint) as client:
        for host in powered:
            data = ground.root / "hosts" / host / "agent"
            if not (data / "identity.json").exists():
                await _join(client, ground, host, data)
            ground.run(host, (*_program(), "agent", "run", "--data", str(data)), label=AGENT, env=_environment())
        late = Refused(f"not every host is active after {ACTIVE_TIMEOUT_S:g} s", hint="`paddock hosts` shows them")
        await _until(lambda: _active(client, powered), ACTIVE_TIMEOUT_S, late)


async def _join(client: Client, ground: Playground, host: str, data: Path) -> None:
    token = (await client.create_join_token()).token
    variables = [f"{name}={value}" for name, value in sorted(_environment().items())]
    command = ("env", *variables, *_program(), "agent", "join", token, "--name", host, "--data", str(data))
    done = await asyncio.to_thread(ground.exec, host, command)
    if done.returncode:
        raise Refused(f"{host} could not join: {done.stderr.strip()}")
    say(f"{host} has joined")


async def _active(client: Client, wanted: list[str]) -> bool:
    try:
        states = {host.name: host.state for host in await client.hosts()}
    except PaddockError as error:
        say(f"warning: {error}")
        return False
    return all(states.get(host) in ("active", "drained", "draining") for host in wanted)


def _point_commands_at(endpoint: Endpoint, key_file: str) -> None:
    """Whoever has contexts of their own keeps the one in use."""
    file = config_file(os.environ)
    contexts = load(file)
    context = Context(server=endpoint.server, ca=endpoint.ca, key_file=key_file, environment=endpoint.environment)
    current = contexts.current if contexts.current in contexts.contexts else CONTEXT
    known = {**contexts.contexts, CONTEXT: context}
    save(file, msgspec.structs.replace(contexts, current=current, contexts=known))
