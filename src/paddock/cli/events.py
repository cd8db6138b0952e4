"""`paddock events`"""

from __future__ import annotations

from paddock.cli import output
from paddock.cli.command import App, Option
from paddock.cli.connection import connected, run
from paddock.wire.api import EventView

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock events -f                 as they happen
  paddock events -p shop            what is kept of one stack
  paddock events --since 4711 --json | jq -r .reason""",
)
def events(
    follow: bool = Option(False, "--follow", "-f", help="Go on as more happens."),
    since: int | None = Option(None, "--since", metavar="VERSION", help="After this version only."),
    stack: str = Option("", "--project-name", "-p", metavar="STACK", help="Only this stack."),
    as_json: bool = Option(False, "--json", help="One JSON object per line."),
) -> None:
    """Show what changes, and why."""
    run(_events(since, stack, follow=follow, as_json=as_json))


async def _events(since: int | None, stack: str, *, follow: bool, as_json: bool) -> None:
    async with connected() as client:
        async for event in client.events(since=since if since is not None or follow else 0, follow=follow):
            if stack and event.stack != stack:
                continue
            if as_json:
                output.print_json_line(event)
            else:
                print(line(event), flush=follow)


def line(event: EventView) -> str:
    """`13:37:00.123  4711  change container shop-api-1 [running]: its host reports it`"""
    state = f" [{event.state}]" if event.state else ""
    reason = f": {event.reason}" if event.reason else ""
    return f"{output.clock_text(event.at_s)}  {event.version}  {event.action} {event.kind} {event.name}{state}{reason}"
