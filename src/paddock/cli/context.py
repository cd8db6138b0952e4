"""`paddock context`"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Invocation, Option, examples
from paddock.cli.connection import run
from paddock.cli.docker_access import docker_access, save_docker_context
from paddock.cli.output import say
from paddock.client import Client
from paddock.client.config import Context, Contexts, config_file, context_of, endpoint_of, load, save
from paddock.model.errors import NotFound, UserError
from paddock.wire.api import Ping

app = App(invoke_without_command=True)


@app.callback(
    epilog="""\b
Examples:
  paddock context                       which ones there are, and which is used
  paddock context create home --server https://10.0.0.1:7443 --ca ca.crt --key-file ~/.paddock-key
  paddock context use home
  paddock -c home ps                    once, without switching""",
)
def context(ctx: Invocation, as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """Say which server and environment commands talk to."""
    if ctx.invoked_subcommand is None:
        list_contexts(as_json=as_json)


@app.command(
    "ls",
    epilog=examples(
        "paddock context ls",
    ),
)
def list_contexts(as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """List contexts."""
    contexts = load(config_file(os.environ))
    if as_json:
        output.print_json(
            [msgspec.structs.asdict(contexts.contexts[name]) | {"name": name} for name in _names(contexts)]
        )
    else:
        output.print_table(HEADERS, rows(contexts))


HEADERS = ("", "NAME", "SERVER", "ENVIRONMENT", "KEY FILE")


def _names(contexts: Contexts) -> list[str]:
    return sorted(contexts.contexts)


def rows(contexts: Contexts) -> list[tuple[str, ...]]:
    named = [(name, contexts.contexts[name]) for name in _names(contexts)]
    return [
        ("*" if name == contexts.current else "", name, each.server, each.environment, each.key_file)
        for name, each in named
    ]


@app.command(
    epilog=examples(
        "paddock context show",
        "paddock -c home context show",
    )
)
def show(as_json: bool = Option(False, "--json", help="As JSON.")) -> None:
    """Show what commands talk to now, environment variables counted in, and whether it answers."""
    chosen = context_of(load(config_file(os.environ)), os.environ, os.environ.get("PADDOCK_CONTEXT", ""))
    ping = run(_ping(chosen))
    if as_json:
        output.print_json(msgspec.structs.asdict(chosen) | {"version": ping.version})
        return
    print(f"server       {chosen.server}\nenvironment  {chosen.environment}\nkey file     {chosen.key_file}")
    print(f"It answers, and is of version {ping.version}.")


async def _ping(chosen: Context) -> Ping:
    async with Client(endpoint_of(chosen)) as client:
        return await client.ping()


@app.command(
    epilog=examples(
        "paddock context use home",
    )
)
def use(name: str = Argument(REQUIRED, help="A context by name.")) -> None:
    """Use another context from now on."""
    file = config_file(os.environ)
    contexts = load(file)
    if name not in contexts.contexts:
        raise NotFound(f"there is no context {name}", hint=f"there are: {', '.join(_names(contexts)) or 'none'}")
    save(file, msgspec.structs.replace(contexts, current=name))
    say(f"commands now talk to {contexts.contexts[name].server}")


@app.command(
    epilog=examples(
        "paddock context create home --server https://10.0.0.1:7443 --ca ca.crt --key-file ~/.paddock-key",
    )
)
def create(
    name: str = Argument(REQUIRED, help="What to call it."),
    server: str = Option(REQUIRED, "--server", help="https://HOST:7443"),
    ca: Path = Option(REQUIRED, "--ca", help="The server's ca.crt."),
    key_file: Path = Option(REQUIRED, "--key-file", help="A file that holds an API key; it stays where it is."),
    environment: str = Option("default", "--environment", help="Which environment."),
    keep: bool = Option(False, "--keep-current", help="Do not switch to it."),
    unprivileged: bool = Option(False, "--unprivileged", help="Docker clients may not reach into hosts with it."),
) -> None:
    """Make or replace a context, check that its server answers, and use it."""
    try:
        pem = ca.read_text()
    except OSError as error:
        raise UserError(f"cannot read {ca}: {error.strerror}") from None
    made = Context(server=server, ca=pem, key_file=str(key_file.expanduser().absolute()), environment=environment)
    run(_ping(made))
    file = config_file(os.environ)
    contexts = load(file)
    current = contexts.current if keep and contexts.contexts else name
    save(file, Contexts(current=current, contexts={**contexts.contexts, name: made}))
    access = docker_access(name, made, os.environ, privileged=not unprivileged, anew=True)
    if access is not None:
        save_docker_context(name, access, os.environ)
        say(f"docker --context {name} talks to it too")
    say(f"{name} is {server}" + ("" if current != name else ", and commands now talk to it"))


@app.command(
    epilog=examples(
        "paddock context remove home",
    )
)
def remove(name: str = Argument(REQUIRED, help="A context by name.")) -> None:
    """Forget a context. Its key file stays."""
    file = config_file(os.environ)
    contexts = load(file)
    if name not in contexts.contexts:
        raise NotFound(f"there is no context {name}", hint=f"there are: {', '.join(_names(contexts)) or 'none'}")
    left = {other: each for other, each in contexts.contexts.items() if other != name}
    current = contexts.current if contexts.current != name else next(iter(sorted(left)), "default")
    save(file, Contexts(current=current, contexts=left))
    say(f"{name} forgotten")
