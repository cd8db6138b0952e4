"""`paddock logs`: containers of all hosts, merged."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from paddock.cli import output
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import containers_named, wanted_containers
from paddock.cli.watching import endless_events
from paddock.model.errors import NotFound, PaddockError, UserError
from paddock.wire.api import ContainerView, LogLine

if TYPE_CHECKING:
    from paddock.client.client import Client

app = App()

STREAMS_AT_ONCE = 500
"""More containers than this are not followed by one command."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    names: tuple[str, ...] = ()
    stack: str = ""
    follow: bool = False
    tail: str = "all"
    since: str = ""
    timestamps: bool = False
    prefix: bool = True
    as_json: bool = False


@app.command(
    epilog="""\b
Examples:
  paddock logs shop                   a whole stack, in the order of time
  paddock logs -f shop/api            follow a service, new containers too
  paddock logs --tail 20 -t shop-api-2
  paddock logs --since 10m shop | grep error""",
)
def logs(
    names: list[str] | None = Argument(None, metavar="NAME", help="Stacks, services or containers."),
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    follow: bool = Option(False, "--follow", "-f", help="Go on as more is printed, by new containers too."),
    tail: str = Option("all", "--tail", "-n", metavar="LINES", help="So many lines of each container."),
    since: str = Option("", "--since", metavar="TIME", help="A time (2026-01-02T13:23:37Z) or how long ago (42m)."),
    timestamps: bool = Option(False, "--timestamps", "-t", help="Begin lines with their time."),
    no_prefix: bool = Option(False, "--no-log-prefix", help="Without the container's name."),
    as_json: bool = Option(False, "--json", help="One JSON object per line."),
) -> None:
    """Show what containers print, from all hosts."""
    if not names and not stack:
        raise UserError("whose logs?", hint="paddock logs STACK, or SERVICE, or CONTAINER; `paddock ps` lists them")
    if tail != "all" and not tail.isdigit():
        raise UserError(f"--tail {tail} is not a number of lines")
    wanted = Wanted(
        names=tuple(names or ()), stack=stack, follow=follow, tail=tail, since=since, timestamps=timestamps,
        prefix=not no_prefix, as_json=as_json,
    )  # fmt: skip
    run(_logs(wanted))


async def _logs(wanted: Wanted) -> None:
    async with connected() as client:
        await stream_logs(client, wanted)


async def stream_logs(client: Client, wanted: Wanted) -> None:
    views = await wanted_containers(client, wanted.names, stack=wanted.stack, finished=True)
    started = [view for view in views if view.status.id][-STREAMS_AT_ONCE:]
    printer = Printer(wanted, [view.name for view in started])
    if wanted.follow:
        await _follow(client, wanted, printer, started)
        return
    streams = [_lines(client, view, wanted) for view in started]
    async for line in merged(streams):
        printer.print(line)


async def _lines(client: Client, view: ContainerView, wanted: Wanted) -> AsyncIterator[LogLine]:
    """Of one container. One that is gone by now, or whose host does not answer, is told and ends."""
    try:
        async for line in client.logs(
            view.name, follow=wanted.follow, tail=wanted.tail, since=wanted.since, timestamps=True
        ):
            yield line
    except NotFound:
        return
    except PaddockError as error:
        output.say(f"{view.name}: {error}")


async def merged(streams: Sequence[AsyncIterator[LogLine]]) -> AsyncIterator[LogLine]:
    """By time; holds one line of each stream."""
    heads: dict[int, LogLine] = {}
    for number, stream in enumerate(streams):
        line = await anext(stream, None)
        if line:
            heads[number] = line
    while heads:
        first = min(heads, key=lambda number: (heads[number].at, number))
        yield heads.pop(first)
        line = await anext(streams[first], None)
        if line:
            heads[first] = line


async def _follow(client: Client, wanted: Wanted, printer: Printer, started: Sequence[ContainerView]) -> None:
    """Those that run, and each that starts later: events say when to look for more."""
    known: set[tuple[str, str]] = set()
    async with asyncio.TaskGroup() as tasks:

        def begin(views: Sequence[ContainerView], wanted: Wanted) -> None:
            for view in views:
                key = (view.unit, view.status.id)
                # An engine's stream of one that has not begun ends at once.
                begun = view.status.id and view.status.state != "created"
                if begun and key not in known and len(known) < STREAMS_AT_ONCE:
                    known.add(key)
                    tasks.create_task(_pump(client, view, wanted, printer))

        begin(started, wanted)
        whole = msgspec.structs.replace(wanted, tail="all", since="")
        async with aclosing(endless_events(client)) as events:
            async for event in events:
                if event.kind == "container" and event.action != "remove" and wanted.stack in ("", event.stack):
                    views = await client.containers(stack=wanted.stack, all=True)
                    begin(_named(views, wanted.names), whole)


def _named(views: Sequence[ContainerView], names: Sequence[str]) -> list[ContainerView]:
    """A name may be gone for a moment while its service has no container."""
    try:
        return containers_named(views, names)
    except NotFound:
        return []


async def _pump(client: Client, view: ContainerView, wanted: Wanted, printer: Printer) -> None:
    async for line in _lines(client, view, wanted):
        printer.print(line)


class Printer:
    """`shop-api-1 | text`, each name in a colour of its own."""

    def __init__(self, wanted: Wanted, names: Sequence[str]) -> None:
        self._wanted = wanted
        self._width = max((len(name) for name in names), default=0)
        self._colours = output.colours_wanted(sys.stdout)

    def print(self, line: LogLine) -> None:
        if self._wanted.as_json:
            output.print_json_line(line)
            return
        sys.stdout.write(self.text(line) + "\n")
        if self._wanted.follow:
            sys.stdout.flush()

    def text(self, line: LogLine) -> str:
        text = f"{line.at} {line.text}" if self._wanted.timestamps else line.text
        if not self._wanted.prefix:
            return text
        self._width = max(self._width, len(line.container))
        prefix = f"{line.container.ljust(self._width)} |"
        return f"{output.painted(prefix, output.name_colour(line.container), wanted=self._colours)} {text}"
