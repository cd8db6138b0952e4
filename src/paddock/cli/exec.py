"""`paddock exec`: a command in a container, with a real terminal if there is one."""

from __future__ import annotations

import asyncio
import os
import sys

from paddock.cli.command import REQUIRED, App, Argument, Exit, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import containers_named
from paddock.cli.output import say
from paddock.cli.terminal import Terminal, pieces
from paddock.client import Client
from paddock.client.exec import ExecStream
from paddock.model.errors import Conflict, UserError
from paddock.wire.api import ContainerView, ExecStart

app = App()

STDOUT = 1


@app.command(
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
    epilog="""\b
Examples:
  paddock exec -it shop-api-1 sh              a shell, as with docker exec
  paddock exec shop/db pg_dumpall > dump.sql  the first running container of a service
  paddock exec -i shop/db psql < dump.sql     with our standard input
  paddock exec --index 2 shop/api env""",
)
def exec(
    name: str = Argument(REQUIRED, metavar="NAME", help="A container, or a service."),
    command: list[str] = Argument(REQUIRED, metavar="COMMAND", help="What to run, and its arguments."),
    interactive: bool = Option(False, "--interactive", "-i", help="With our standard input."),
    tty: bool = Option(False, "--tty", "-t", help="With a terminal. The default where we have one."),
    no_tty: bool = Option(False, "--no-TTY", "-T", help="Without a terminal."),
    user: str = Option("", "--user", "-u", metavar="USER", help="As this user (name or uid[:gid])."),
    workdir: str = Option("", "--workdir", "-w", metavar="DIRECTORY", help="In this directory."),
    env: list[str] = Option([], "--env", "-e", metavar="KEY=VALUE", help="With this variable."),
    privileged: bool = Option(False, "--privileged", help="With all privileges."),
    index: int = Option(0, "--index", metavar="NUMBER", help="The service's container with this number."),
) -> None:
    """Run a command in a running container. Ends with the command's exit code."""
    if tty and not sys.stdin.isatty():
        raise UserError("the input device is not a terminal", hint="leave -t away")
    wants_tty = tty or (not no_tty and sys.stdin.isatty() and sys.stdout.isatty())
    rows, columns = _window() if wants_tty else (0, 0)
    start = ExecStart(
        command=tuple(command), tty=wants_tty, stdin=interactive or wants_tty, user=user, workdir=workdir,
        environment=tuple(_variable(each) for each in env), privileged=privileged, rows=rows, columns=columns,
    )  # fmt: skip
    raise Exit(run(_exec(name, index, start)))


def _variable(text: str) -> str:
    """`KEY` alone takes ours, as with docker exec."""
    return text if "=" in text else f"{text}={os.environ.get(text, '')}"


def _window() -> tuple[int, int]:
    size = os.get_terminal_size(sys.stdin.fileno())
    return size.lines, size.columns


async def _exec(name: str, index: int, start: ExecStart) -> int:
    async with connected() as client:
        container = await _target(client, name, index)
        async with client.exec(container.name, start) as stream:
            with Terminal(sys.stdin.fileno(), raw=start.tty):
                await _carry(stream, start)
    assert stream.end is not None, "an exec that did not end raises"
    if stream.end.error:
        say(f"paddock: {stream.end.error}")
    return stream.end.exit_code


async def _target(client: Client, name: str, index: int) -> ContainerView:
    """A container by its name, else the first running one of a service."""
    found = containers_named([view for view in await client.containers() if not view.role or view.name == name], [name])
    running = [view for view in found if view.state == "running" and (not index or view.slot == index)]
    if not running:
        states = ", ".join(f"{view.name} is {view.state}" for view in found)
        raise Conflict(f"{name} has no running container{f' {index}' if index else ''}", hint=states)
    return min(running, key=lambda view: view.slot)


async def _carry(stream: ExecStream, start: ExecStart) -> None:
    async with asyncio.TaskGroup() as tasks:
        helpers = []
        if start.stdin:
            helpers.append(tasks.create_task(_feed(stream, sys.stdin.fileno())))
        if start.tty:
            helpers.append(tasks.create_task(_follow_window(stream)))
        async for number, data in stream:
            target = sys.stdout.buffer if number == STDOUT else sys.stderr.buffer
            target.write(data)
            target.flush()
        for helper in helpers:
            helper.cancel()


async def _feed(stream: ExecStream, descriptor: int) -> None:
    async for data in pieces(descriptor):
        await stream.write(data)
    await stream.close_stdin()


async def _follow_window(stream: ExecStream) -> None:
    """The window may have changed while we connected, so it is told once at the start too."""
    import signal

    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            await stream.resize(*_window())
            await changed.wait()
            changed.clear()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
