"""`paddock networks`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import App, Option
from paddock.cli.connection import connected, run
from paddock.wire.api import NetworkView

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock networks              all of the environment
  paddock networks -p shop      of one stack""",
)
def networks(
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = Option(False, "--json", help="An array of JSON objects."),
) -> None:
    """List networks: their subnets, the hosts they span, and how many containers are on them."""
    views = [view for view in run(_fetch()) if not stack or view.stack == stack]
    output.print_listing(views, HEADERS, rows(views), as_json=as_json, quiet=quiet)


async def _fetch() -> list[NetworkView]:
    async with connected() as client:
        return await client.networks()


HEADERS = ("NAME", "STACK", "SUBNET", "HOSTS", "CONTAINERS")


def rows(views: Sequence[NetworkView]) -> list[tuple[str, ...]]:
    return [
        (view.name, view.stack, view.subnet + (" (internal)" if view.internal else ""), ", ".join(view.hosts),
         str(view.containers))
        for view in sorted(views, key=lambda view: view.name)
    ]  # fmt: skip
