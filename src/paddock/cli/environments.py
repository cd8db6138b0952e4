"""`paddock environments`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Invocation, Option, examples
from paddock.cli.connection import connected, run
from paddock.cli.output import say
from paddock.wire.api import EnvironmentView

app = App(invoke_without_command=True)


@app.callback(
    epilog="""\b
Examples:
  paddock environments                  all of them
  paddock environments create staging
  paddock -e staging up -d              work in another one than the context's
  paddock environments override         let healing go on though most hosts are lost""",
)
def environments(ctx: Invocation, as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """List, create and remove environments: what owns hosts, stacks, networks and volumes."""
    if ctx.invoked_subcommand is None:
        list_environments(as_json=as_json)


@app.command(
    "ls",
    epilog=examples(
        "paddock environments ls",
        "paddock environments ls --json | jq -r '.[].name'",
    ),
)
def list_environments(as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """List environments."""
    views = sorted(run(_fetch()), key=lambda view: view.name)
    if as_json:
        output.print_json(views)
    else:
        output.print_table(HEADERS, rows(views))


async def _fetch() -> Sequence[EnvironmentView]:
    async with connected() as client:
        return await client.environments()


HEADERS = ("NAME", "HOSTS", "STACKS", "HEALING", "POOLS")


def rows(views: Sequence[EnvironmentView]) -> list[tuple[str, ...]]:
    return [(view.name, str(view.hosts), str(view.stacks), healing(view), ", ".join(view.pools)) for view in views]


def healing(view: EnvironmentView) -> str:
    """The breaker in the words of who looks: closed means that healing goes on."""
    words = {"closed": "on", "open": "held back", "overridden": "on (overridden)"}
    return words.get(view.breaker, view.breaker) + (f": {view.breaker_reason}" if view.breaker_reason else "")


@app.command(
    epilog=examples(
        "paddock environments create staging",
    )
)
def create(name: str = Argument(REQUIRED, help="Its name.")) -> None:
    """Create an environment."""
    run(_create(name))
    say(f"{name} created")


async def _create(name: str) -> None:
    async with connected() as client:
        await client.create_environment(name)


@app.command(
    epilog=examples(
        "paddock environments remove staging",
    )
)
def remove(name: str = Argument(REQUIRED, help="Its name.")) -> None:
    """Remove an environment that has no hosts and stacks any more."""
    run(_remove(name))
    say(f"{name} removed")


async def _remove(name: str) -> None:
    async with connected() as client:
        await client.remove_environment(name)


@app.command(
    epilog=examples(
        "paddock environments override",
        "paddock -e staging environments override",
    )
)
def override() -> None:
    """Let healing go on in the context's environment though most of its hosts are lost."""
    run(_override())


async def _override() -> None:
    async with connected() as client:
        view = await client.override_breaker()
        say(f"healing in {view.name} is {healing(view)}")
