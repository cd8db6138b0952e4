"""`paddock api-keys`"""

from __future__ import annotations

from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Invocation, Option, examples
from paddock.cli.connection import connected, run
from paddock.cli.output import say
from paddock.wire.api import ApiKeyView, CreatedApiKey, NewApiKey

app = App(invoke_without_command=True)


@app.callback(
    epilog="""\b
Examples:
  paddock api-keys                                  all of them; never their secrets
  paddock api-keys create ci --environment staging  printed this once
  paddock api-keys remove key-3f9c2a71be04""",
)
def api_keys(ctx: Invocation, as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """List, create and remove API keys."""
    if ctx.invoked_subcommand is None:
        list_keys(as_json=as_json)


@app.command(
    "ls",
    epilog=examples(
        "paddock api-keys ls",
    ),
)
def list_keys(as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """List API keys."""
    views = sorted(run(_fetch()), key=lambda view: (view.name, view.id))
    if as_json:
        output.print_json(views)
    else:
        output.print_table(HEADERS, rows(views, output.now_s()))


async def _fetch() -> Sequence[ApiKeyView]:
    async with connected() as client:
        return await client.api_keys()


HEADERS = ("ID", "NAME", "ENVIRONMENT", "RIGHTS", "CREATED", "EXPIRES")


def rows(views: Sequence[ApiKeyView], now: float) -> list[tuple[str, ...]]:
    return [
        (
            view.id,
            view.name,
            view.environment or "(all)",
            "full" if view.privileged else "unprivileged",
            output.since(view.created_at_s, now),
            _expires(view, now),
        )
        for view in views
    ]


def _expires(view: ApiKeyView, now: float) -> str:
    if not view.expires_at_s:
        return "never"
    return f"in {output.age(view.expires_at_s - now)}" if view.expires_at_s > now else "expired"


@app.command(
    epilog=examples(
        "paddock api-keys create ci --environment staging",
        "paddock api-keys create builds --environment ci --unprivileged",
        "paddock api-keys create visitor --ttl 3600 > visitor.key",
    )
)
def create(
    name: str = Argument(REQUIRED, help="What it is for."),
    environment: str = Option("", "--environment", help="Good for this environment only; else for all."),
    ttl: float = Option(0, "--ttl", metavar="SECONDS", help="How long it is good for; 0 is for ever."),
    unprivileged: bool = Option(False, "--unprivileged", help="Containers run with it may not reach into hosts."),
    as_json: bool = Option(False, "--json", help="As JSON."),
) -> None:
    """Create an API key and print it, this once."""
    created = run(_create(NewApiKey(name=name, environment=environment, ttl_s=ttl, privileged=not unprivileged)))
    if as_json:
        output.print_json(created)
        return
    say(f"{created.id} created; this is the only time it is shown:")
    print(created.key)


async def _create(request: NewApiKey) -> CreatedApiKey:
    async with connected() as client:
        return await client.create_api_key(request)


@app.command(
    epilog=examples(
        "paddock api-keys remove key-3f9c2a71be04",
    )
)
def remove(ids: list[str] = Argument(REQUIRED, metavar="ID", help="Keys by id.")) -> None:
    """Remove API keys: who has them is shut out at once."""
    run(_remove(ids))


async def _remove(ids: Sequence[str]) -> None:
    async with connected() as client:
        for id in ids:
            await client.remove_api_key(id)
            say(f"{id} removed")
