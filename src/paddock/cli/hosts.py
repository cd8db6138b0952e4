"""`paddock hosts`"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Invocation, Option, examples
from paddock.cli.connection import connected, run
from paddock.cli.output import say
from paddock.model.errors import UserError
from paddock.wire.api import CreatedJoinToken, DrainAnswer, HostView

app = App(invoke_without_command=True)

AS_JSON = Option(False, "--json", help="As JSON.")
HOSTS = Argument(REQUIRED, metavar="HOST", help="Hosts by name.")


@app.callback(
    epilog="""\b
Examples:
  paddock hosts                         all hosts, and what is reserved on them
  paddock hosts add                     print the command with which a machine joins
  paddock hosts label h1 zone=a disk-   set one label, take another away
  paddock hosts drain h1                move everything off, say what cannot move""",
)
def hosts(
    ctx: Invocation,
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = AS_JSON,
) -> None:
    """List, add, label, drain and remove hosts."""
    if ctx.invoked_subcommand is None:
        list_hosts(quiet=quiet, as_json=as_json)


@app.command(
    "ls",
    epilog=examples(
        "paddock hosts ls",
        "paddock hosts ls -q                   only names",
    ),
)
def list_hosts(
    quiet: bool = Option(False, "--quiet", "-q", help="Only names."),
    as_json: bool = AS_JSON,
) -> None:
    """List hosts: state, addresses, engine, labels, capacity and what is reserved."""
    views = sorted(run(_hosts()), key=lambda view: view.name)
    output.print_listing(views, HEADERS, rows(views, output.now_s()), as_json=as_json, quiet=quiet)


async def _hosts() -> Sequence[HostView]:
    async with connected() as client:
        return await client.hosts()


_STEADY = ("active", "draining", "drained")
HEADERS = ("NAME", "STATE", "ADDRESS", "ENGINE", "CPU", "MEMORY", "UNITS", "LABELS")


def rows(views: Sequence[HostView], now: float) -> list[tuple[str, ...]]:
    return [
        (
            view.name,
            view.state if view.state in _STEADY else f"{view.state} {output.since(view.since_s, now)}".rstrip(),
            view.facts.address,
            view.facts.engine_version,
            f"{view.reserved.cpu_milli / 1000:g}/{view.facts.cpus}",
            f"{output.size(view.reserved.memory_bytes)}/{output.size(view.facts.memory_bytes)}",
            str(view.reserved.units),
            ",".join(f"{key}={view.labels[key]}" if view.labels[key] else key for key in sorted(view.labels)),
        )
        for view in views
    ]


@app.command(
    epilog="""\b
Examples:
  paddock hosts add                     then run what it prints, as root, on the machine
  paddock hosts add --ttl 600 -q | ssh root@machine sh""",
)
def add(
    ttl: float = Option(3600, "--ttl", metavar="SECONDS", help="How long the command is good for."),
    quiet: bool = Option(False, "--quiet", "-q", help="Only the command."),
    as_json: bool = AS_JSON,
) -> None:
    """Print the command with which one machine joins. It is good for one host."""
    created = run(_token(ttl))
    if as_json:
        output.print_json(created)
        return
    if not quiet:
        say(f"Run this on the machine, as root, within {output.age(ttl)}; it is good for one host:")
    print(created.command)


async def _token(ttl_s: float) -> CreatedJoinToken:
    async with connected() as client:
        return await client.create_join_token(ttl_s)


@app.command(
    epilog="""\b
Examples:
  paddock hosts label h1 zone=a         set
  paddock hosts label h1 zone-          take away""",
)
def label(
    host: str = Argument(REQUIRED, help="A host by name."),
    changes: list[str] = Argument(REQUIRED, metavar="KEY=VALUE|KEY-", help="Labels to set or take away."),
    as_json: bool = AS_JSON,
) -> None:
    """Set labels of a host, or take them away."""
    view = run(_label(host, parsed_labels(changes)))
    if as_json:
        output.print_json(view)
    else:
        output.print_table(HEADERS, rows([view], output.now_s()))


def parsed_labels(changes: Sequence[str]) -> dict[str, str | None]:
    """`KEY=VALUE` sets, `KEY-` takes away. Raises `UserError`."""
    labels: dict[str, str | None] = {}
    for change in changes:
        key, separator, value = change.partition("=")
        if not separator and not key.endswith("-"):
            raise UserError(f"{change} is neither KEY=VALUE nor KEY-", hint="for example zone=a")
        if not key.rstrip("-"):
            raise UserError(f"{change} has no key")
        labels[key if separator else key[:-1]] = value if separator else None
    return labels


async def _label(host: str, labels: dict[str, str | None]) -> HostView:
    async with connected() as client:
        return await client.label_host(host, labels)


@app.command(
    epilog=examples(
        "paddock hosts drain h1",
        "paddock hosts drain h1 h2 --json      what moves and what stays, for a script",
    )
)
def drain(hosts: list[str] = HOSTS, as_json: bool = AS_JSON) -> None:
    """Move everything off hosts, and start nothing there. Says what cannot move, and why."""
    answers = run(_drain(hosts))
    if as_json:
        output.print_json(answers)
        return
    for host, answer in answers.items():
        sys.stdout.write(drained(host, answer))


async def _drain(hosts: Sequence[str]) -> dict[str, DrainAnswer]:
    async with connected() as client:
        return {host: await client.drain_host(host) for host in hosts}


def drained(host: str, answer: DrainAnswer) -> str:
    lines = [f"{host}: {len(answer.moving)} moving, {len(answer.staying)} staying"]
    lines += [f"  moving   {name}" for name in answer.moving]
    lines += [f"  staying  {name}: {answer.staying[name]}" for name in sorted(answer.staying)]
    return "\n".join(lines) + "\n"


@app.command(
    epilog=examples(
        "paddock hosts activate h1",
    )
)
def activate(hosts: list[str] = HOSTS) -> None:
    """Let hosts be given containers again."""
    run(_activate(hosts))


async def _activate(hosts: Sequence[str]) -> None:
    async with connected() as client:
        for host in hosts:
            say(f"{host} is {(await client.activate_host(host)).state}")


@app.command(
    epilog=examples(
        "paddock hosts remove h1               once it is drained and its agent is stopped",
        "paddock hosts remove --force h1       though its volumes are lost then",
    )
)
def remove(
    hosts: list[str] = HOSTS,
    force: bool = Option(False, "--force", "-f", help="Though it still has containers, or is lost."),
) -> None:
    """Remove hosts: their certificates are good for nothing any more."""
    run(_remove(hosts, force=force))


async def _remove(hosts: Sequence[str], *, force: bool) -> None:
    async with connected() as client:
        for host in hosts:
            await client.remove_host(host, force=force)
            say(f"{host} removed")
