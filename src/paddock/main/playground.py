"""`paddock playground`"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Option, examples
from paddock.cli.output import say

if TYPE_CHECKING:
    from paddock.playground.cluster import Cluster
    from paddock.playground.playground import Playground
    from paddock.playground.state import Status

app = App(no_args_is_help=True)

HOST = Argument(REQUIRED, help="A host: h1, h2, …")
ROOT = Option(
    None,
    "--root",
    envvar="PADDOCK_PLAYGROUND",
    help="Where everything is kept; its last part is the playground's name, so several can be up.",
)
AS_JSON = Option(False, "--json", help="As JSON.")


@app.callback(
    epilog="""\b
Examples:
  paddock playground up                 three hosts and a server; commands talk to it from now on
  paddock playground kill h2            a power failure
  paddock playground start h2
  paddock playground cut h1             unplug the network; heal plugs it in again
  paddock playground down               leaves nothing behind""",
)
def playground() -> None:
    """Several real hosts on this machine: each with namespaces, an address, a Docker engine and an agent of its own."""


def opened(root: Path | None) -> Playground:
    from paddock.playground.playground import DEFAULT_NAME, DEFAULT_ROOT, Playground

    folder = root or DEFAULT_ROOT
    name = DEFAULT_NAME if folder == DEFAULT_ROOT else folder.name
    return Playground(folder, name, tell=lambda sentence: say(f"warning: {sentence}"))


def cluster(root: Path | None) -> Cluster:
    from paddock.playground.cluster import Cluster

    return Cluster(opened(root), tell=say)


@app.command(
    epilog=examples(
        "paddock playground up",
        "paddock playground up --hosts 5        two more than there were",
    )
)
def up(
    hosts: int = Option(3, "--hosts", metavar="NUMBER", help="At least so many."),
    root: Path | None = ROOT,
    as_json: bool = AS_JSON,
) -> None:
    """Start hosts, a server on this machine, and an agent in each host; point commands at it."""
    _show(cluster(root).up(hosts), as_json=as_json)


@app.command(
    epilog=examples(
        "paddock playground down",
        "paddock playground down --root /var/lib/other",
    )
)
def down(root: Path | None = ROOT) -> None:
    """Stop everything and remove it: no process, namespace, mount, bridge or rule is left."""
    cluster(root).down()
    say("the playground is gone")


@app.command(
    epilog=examples(
        "paddock playground status",
        "paddock playground status --json | jq -r '.hosts[].address'",
    )
)
def status(root: Path | None = ROOT, as_json: bool = AS_JSON) -> None:
    """Show the hosts and the server."""
    _show(opened(root).status(), as_json=as_json)


def _show(status: Status, *, as_json: bool) -> None:
    if as_json:
        output.print_json(status)
        return
    say(f"server {status.server}" if status.server else "no server")
    rows = [(host.name, host.state, host.address, host.engine) for host in status.hosts]
    output.print_table(("NAME", "STATE", "ADDRESS", "ENGINE"), rows)


@app.command(
    epilog=examples(
        "paddock playground add                 prints its name",
    )
)
def add(root: Path | None = ROOT) -> None:
    """Start one host more, and join it."""
    print(cluster(root).add())


@app.command(
    epilog=examples(
        "paddock playground load image.tar",
        "paddock playground load image.tar --host h2",
    )
)
def load(
    image: Path = Argument(REQUIRED, metavar="IMAGE.tar", help="What `docker save` wrote."),
    host: str = Option("", "--host", help="Only on this one."),
    root: Path | None = ROOT,
) -> None:
    """Put an image on all hosts, or on one."""
    opened(root).load(image, host or None)
    say(f"{image} is on {host or 'all hosts'}")


def _on_host(name: str, sentence: str, done: str, act: Callable[[Playground, str], None]) -> None:
    def command(host: str = HOST, root: Path | None = ROOT) -> None:
        act(opened(root), host)
        say(f"{host} {done}")

    command.__doc__ = sentence
    app.command(name, epilog=examples(f"paddock playground {name} h2"))(command)


_on_host("stop", "Shut a host down in an orderly way.", "is shut down", lambda ground, host: ground.stop(host))
_on_host("start", "Switch a host on.", "runs", lambda ground, host: ground.start(host))
_on_host("kill", "Take a host's power away: everything on it dies at once.", "is dead", lambda g, host: g.kill(host))
_on_host("cut", "Unplug a host's network; everything on it runs on.", "is cut off", lambda g, host: g.cut(host))
_on_host("heal", "Plug a host's network in again.", "is connected", lambda ground, host: ground.heal(host))
