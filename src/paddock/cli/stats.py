"""`paddock stats`"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence

from paddock.cli import output
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import wanted_containers
from paddock.client import Client
from paddock.model.errors import PaddockError
from paddock.wire.api import ContainerView, StatsSample

app = App()

REDRAW_S = 1.0
CONTAINERS_AT_ONCE = 200
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


@app.command(
    epilog="""\b
Examples:
  paddock stats                     all running containers, until Ctrl-C
  paddock stats shop/api
  paddock stats --no-stream --json | jq '.[].memory_bytes'""",
)
def stats(
    names: list[str] | None = Argument(None, metavar="NAME", help="Stacks, services or containers."),
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    no_stream: bool = Option(False, "--no-stream", help="Print once and end."),
    as_json: bool = Option(False, "--json", help="An array of JSON objects; with a stream, one per line."),
) -> None:
    """Show what containers use."""
    run(_stats(tuple(names or ()), stack, once=no_stream, as_json=as_json))


async def _stats(names: tuple[str, ...], stack: str, *, once: bool, as_json: bool) -> None:
    async with connected() as client:
        views = await wanted_containers(client, names, stack=stack)
        running = [view for view in views if view.state == "running"][:CONTAINERS_AT_ONCE]
        if once:
            found = await asyncio.gather(*(_once(client, view) for view in running))
            samples = [sample for sample in found if sample]
            if as_json:
                output.print_json(samples)
            else:
                output.print_table(HEADERS, rows(samples))
            return
        await _stream(client, running, as_json=as_json)


async def _once(client: Client, view: ContainerView) -> StatsSample | None:
    """None for one that has ended meanwhile."""
    try:
        async for sample in client.stats(view.name, stream=False):
            return sample
    except PaddockError as error:
        output.say(f"{view.name}: {error}")
    return None


async def _stream(client: Client, views: Sequence[ContainerView], *, as_json: bool) -> None:
    newest: dict[str, StatsSample] = {}
    async with asyncio.TaskGroup() as tasks:
        watching = [tasks.create_task(_keep(client, view, newest, as_json=as_json)) for view in views]
        redraw = tasks.create_task(_redraw(newest)) if not as_json else None
        if watching:
            await asyncio.wait(watching)
        if redraw:
            redraw.cancel()


async def _keep(client: Client, view: ContainerView, newest: dict[str, StatsSample], *, as_json: bool) -> None:
    try:
        async for sample in client.stats(view.name):
            newest[view.name] = sample
            if as_json:
                output.print_json_line(sample)
    except PaddockError as error:
        output.say(f"{view.name}: {error}")
    finally:
        newest.pop(view.name, None)


async def _redraw(newest: Mapping[str, StatsSample]) -> None:
    while True:
        await asyncio.sleep(REDRAW_S)
        if sys.stdout.isatty():
            sys.stdout.write(_HOME_AND_CLEAR)
        output.print_table(HEADERS, rows([newest[name] for name in sorted(newest)]))
        sys.stdout.flush()


HEADERS = ("NAME", "HOST", "CPU %", "MEMORY", "LIMIT", "NET IN / OUT", "DISK READ / WRITTEN", "PIDS")


def rows(samples: Sequence[StatsSample]) -> list[tuple[str, ...]]:
    return [
        (
            sample.container,
            sample.host,
            f"{sample.cpu_percent:.1f}",
            output.size(sample.memory_bytes),
            output.size(sample.memory_limit_bytes),
            f"{output.size(sample.network_received_bytes)} / {output.size(sample.network_sent_bytes)}",
            f"{output.size(sample.block_read_bytes)} / {output.size(sample.block_written_bytes)}",
            str(sample.pids),
        )
        for sample in samples
    ]
