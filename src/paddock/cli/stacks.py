"""`paddock stacks`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import App, Option
from paddock.cli.connection import connected, run
from paddock.wire.api import StackView

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock stacks                all of the environment
  paddock stacks -q             only their names""",
)
def stacks(
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = Option(False, "--json", help="An array of JSON objects."),
) -> None:
    """List stacks."""
    views = sorted(run(_fetch()), key=lambda view: view.name)
    output.print_listing(views, HEADERS, rows(views, output.now_s()), as_json=as_json, quiet=quiet)


async def _fetch() -> Sequence[StackView]:
    async with connected() as client:
        return await client.stacks()


HEADERS = ("NAME", "SERVICES", "READY", "STATE", "CREATED")


def rows(views: Sequence[StackView], now: float) -> list[tuple[str, ...]]:
    return [
        (
            view.name,
            str(len(view.services)),
            f"{sum(service.ready for service in view.services)}/{sum(service.replicas for service in view.services)}",
            view.state,
            output.since(view.created_at_s, now),
        )
        for view in views
    ]
