"""`paddock services`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import wanted_services
from paddock.wire.api import ServiceView

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock services              all of the environment
  paddock services -p shop      of one stack
  paddock services --json | jq '.[] | select(.state != "running")'""",
)
def services(
    names: list[str] | None = Argument(None, metavar="NAME", help="Stacks or services."),
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = Option(False, "--json", help="An array of JSON objects."),
) -> None:
    """List services: how many containers are wished for, run, and are ready."""
    views = run(_fetch(tuple(names or ()), stack))
    output.print_listing(views, HEADERS, rows(views), as_json=as_json, quiet=quiet)


async def _fetch(names: tuple[str, ...], stack: str) -> Sequence[ServiceView]:
    async with connected() as client:
        return await wanted_services(client, names, stack=stack)


HEADERS = ("NAME", "MODE", "READY", "STATE", "IMAGE", "PORTS")


def rows(views: Sequence[ServiceView]) -> list[tuple[str, ...]]:
    ordered = sorted(views, key=lambda view: (view.stack, view.name))
    return [
        (f"{view.stack}/{view.name}", view.mode, ready(view), state(view), view.image, ", ".join(view.ports))
        for view in ordered
    ]


def ready(view: ServiceView) -> str:
    """`2/3`, and how many run besides those that are ready."""
    return f"{view.ready}/{view.replicas}" + (f" ({view.running} running)" if view.running > view.ready else "")


def state(view: ServiceView) -> str:
    if view.rollout and view.rollout.state not in ("completed",):
        note = f": {view.rollout.message}" if view.rollout.message else ""
        return f"{view.state} ({view.rollout.state}{note})"
    return f"{view.state} ({view.waiting.reason})" if view.waiting else view.state
