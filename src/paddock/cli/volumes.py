"""`paddock volumes`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Invocation, Option
from paddock.cli.connection import connected, run
from paddock.wire.api import VolumeView

app = App(invoke_without_command=True)


@app.callback(
    epilog="""\b
Examples:
  paddock volumes               all of the environment, and the hosts that hold them
  paddock volumes rm shop_orders""",
)
def volumes(
    ctx: Invocation,
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = Option(False, "--json", help="An array of JSON objects."),
) -> None:
    """List volumes: where each one is, and who uses it."""
    if ctx.invoked_subcommand:
        return
    views = [view for view in run(_fetch()) if not stack or view.stack == stack]
    output.print_listing(views, HEADERS, rows(views), as_json=as_json, quiet=quiet)


@app.command(
    epilog="""\b
Examples:
  paddock volumes rm shop_orders""",
)
def rm(names: list[str] = Argument(REQUIRED, metavar="NAME", help="Volumes that nothing uses.")) -> None:
    """Remove volumes and what is in them."""
    run(_remove(tuple(names)))


async def _remove(names: tuple[str, ...]) -> None:
    async with connected() as client:
        for name in names:
            await client.remove_volume(name)
            output.say(f"{name} is to be removed")


async def _fetch() -> list[VolumeView]:
    async with connected() as client:
        return await client.volumes()


HEADERS = ("NAME", "STACK", "HOST", "DRIVER", "USED BY")


def rows(views: Sequence[VolumeView]) -> list[tuple[str, ...]]:
    ordered = sorted(views, key=lambda view: view.name)
    return [(view.name, view.stack, view.host or "-", view.driver, ", ".join(view.used_by)) for view in ordered]
