"""`paddock ps`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import wanted_containers
from paddock.wire.api import ContainerView

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock ps                    all running containers, and their hosts
  paddock ps -p shop            those of one stack
  paddock ps -a shop/api        of one service, finished ones too
  paddock ps -q | wc -l         how many""",
)
def ps(
    names: list[str] | None = Argument(None, metavar="NAME", help="Stacks, services or containers."),
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    everything: bool = Option(False, "--all", "-a", help="Finished containers too."),
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = Option(False, "--json", help="An array of JSON objects."),
) -> None:
    """List containers, and the hosts they are on."""
    views = run(_fetch(tuple(names or ()), stack, everything=everything))
    output.print_listing(views, HEADERS, rows(views, output.now_s()), as_json=as_json, quiet=quiet)


async def _fetch(names: tuple[str, ...], stack: str, *, everything: bool) -> Sequence[ContainerView]:
    async with connected() as client:
        return await wanted_containers(client, names, stack=stack, finished=everything)


HEADERS = ("NAME", "SERVICE", "HOST", "IMAGE", "STATE", "PORTS")


def rows(views: Sequence[ContainerView], now: float) -> list[tuple[str, ...]]:
    return [
        (view.name, f"{view.stack}/{view.service}", view.host or "-", view.image, state(view, now), ports(view))
        for view in views
    ]


def state(view: ContainerView, now: float) -> str:
    """`running 3 minutes (healthy)`, `failed 9 seconds ago (exit 1)`, `waiting: no host has 8 GiB`."""
    if view.waiting and not view.host:
        return f"waiting: {view.waiting.reason}"
    notes = [view.health] if view.health else []
    if view.status.exit_code is not None and view.state not in ("running", "starting"):
        notes.append(f"exit {view.status.exit_code}")
    if view.restarts:
        notes.append(f"{view.restarts} restart{'s' if view.restarts > 1 else ''}")
    if view.message and view.state != "running":
        notes.append(view.message)
    if view.waiting:
        notes.append(view.waiting.reason)
    suffix = f" ({', '.join(notes)})" if notes else ""
    if view.state == "running" and view.since_s:
        return f"running {output.age(now - view.since_s)}{suffix}"
    return f"{view.state} {output.since(view.since_s, now)}".rstrip() + suffix


def ports(view: ContainerView) -> str:
    return ", ".join(view.ports)
