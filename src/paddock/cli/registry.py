"""`paddock registry`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Invocation, Option, examples
from paddock.cli.connection import connected, run
from paddock.cli.output import say
from paddock.model.errors import UserError
from paddock.wire.api import RegistryLogin, RegistryView

app = App(invoke_without_command=True)
HEADERS = ("ADDRESS", "USER", "SINCE")


@app.callback(
    epilog="""\b
Examples:
  paddock registry                                       where this environment is logged in
  paddock registry login registry.example.com -u ci      asks for the password
  cat token | paddock registry login ghcr.io -u me --password-stdin
  paddock registry logout ghcr.io""",
)
def registry(ctx: Invocation, as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """Log in at registries, for everything that pulls in this environment.

    Logins are kept sealed by the server, so that a container that is moved at night can be pulled too. Passwords are
    never shown again.
    """
    if ctx.invoked_subcommand is None:
        list_logins(as_json=as_json)


@app.command("ls", epilog=examples("paddock registry ls"))
def list_logins(as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """List where this environment is logged in."""
    views = run(_fetch())
    if as_json:
        output.print_json(views)
        return
    now = output.now_s()
    output.print_table(HEADERS, [(view.address, view.username, output.since(view.created_at_s, now)) for view in views])


async def _fetch() -> Sequence[RegistryView]:
    async with connected() as client:
        return await client.registries()


@app.command(
    epilog=examples(
        "paddock registry login registry.example.com:5000 --username ci",
        "paddock registry login -u me --password-stdin < token      Docker Hub",
    )
)
def login(
    address: str = Argument("docker.io", help="The registry; Docker Hub if none is named."),
    username: str = Option("", "--username", "-u", metavar="USER", help="Who logs in."),
    password_stdin: bool = Option(False, "--password-stdin", help="Read the password from standard input."),
    no_check: bool = Option(False, "--no-check", help="Keep it without trying it at the registry."),
) -> None:
    """Log in at a registry. A host tries it before it is kept."""
    if not username:
        raise UserError("no user was named", hint="say --username USER")
    if password_stdin:
        password = sys.stdin.read().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, err=True))
    else:
        raise UserError("there is no terminal to ask for the password", hint="pipe it in and say --password-stdin")
    asked = RegistryLogin(address=address, username=username, password=password, check=not no_check)
    view = run(_log_in(asked))
    say(f"{view.username} is logged in at {view.address}")


async def _log_in(asked: RegistryLogin) -> RegistryView:
    async with connected() as client:
        return await client.log_in(asked)


@app.command(epilog=examples("paddock registry logout registry.example.com:5000"))
def logout(addresses: list[str] = Argument(REQUIRED, metavar="ADDRESS", help="Registries.")) -> None:
    """Forget logins. What was pulled stays."""
    run(_log_out(addresses))


async def _log_out(addresses: Sequence[str]) -> None:
    async with connected() as client:
        for address in addresses:
            await client.log_out(address)
            say(f"logged out of {address}")
