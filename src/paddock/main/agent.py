"""`paddock agent`"""

from __future__ import annotations

import sys
from pathlib import Path

from paddock.cli.command import REQUIRED, App, Argument, Exit, Invocation, Option, examples
from paddock.cli.hosts import parsed_labels
from paddock.cli.output import say
from paddock.main import systemd
from paddock.model.errors import UserError

app = App(invoke_without_command=True)

DATA = Option("/var/lib/paddock/agent", "--data", help="Where its identity and ledger are kept.")
ENGINE = Option("/var/run/docker.sock", "--engine", metavar="SOCKET", help="The Docker Engine's socket.")
UNIT = "paddock-agent"


@app.callback(
    epilog="""\b
Examples:
  paddock agent join TOKEN              what `paddock hosts add` prints
  paddock agent install                 then: run it now and with every boot
  paddock agent                         or run it here, until Ctrl-C""",
)
@app.command(
    "run",
    help="Run the agent here, in the foreground.",
    epilog=examples(
        "paddock agent run",
        "paddock agent run --engine /run/user/docker.sock",
    ),
)
def agent(ctx: Invocation, data: str = DATA, engine: str = ENGINE) -> None:
    """Run the agent of this host. Containers run on while it is stopped."""
    if ctx.invoked_subcommand is not None:
        return
    from paddock.agent.main import AgentConfig, run_agent

    raise Exit(run_agent(AgentConfig(data=data, engine_socket=engine)))


@app.command(
    epilog=examples(
        "paddock agent join TOKEN",
        "paddock agent join TOKEN --name h1 --label zone=a",
        "paddock agent join - < token           keeps it out of the shell's history",
    )
)
def join(
    token: str = Argument(REQUIRED, help="What `paddock hosts add` printed; `-` reads it from standard input."),
    name: str = Option("", "--name", help="What the host is to be called; else its hostname."),
    label: list[str] = Option([], "--label", metavar="KEY=VALUE", help="A label of the host."),
    data: str = DATA,
) -> None:
    """Make this machine a host. The token names the server, pins its CA, and is good once."""
    from paddock.agent.join import join as ask

    labels = {key: value for key, value in parsed_labels(label).items() if value is not None}
    if len(labels) != len(label):
        raise UserError("a label is KEY=VALUE, and each key is given once")
    text = sys.stdin.readline() if token == "-" else token
    identity = ask(text, Path(data), name, labels)
    say(f"this machine is {identity.name} in {identity.environment}; `paddock agent install` runs it from now on")


@app.command(
    epilog=examples(
        "paddock agent install",
        "paddock agent install --no-start",
    )
)
def install(
    data: str = DATA,
    engine: str = ENGINE,
    no_start: bool = Option(False, "--no-start", help="Only write the unit."),
) -> None:
    """Write a unit of systemd and start it."""
    unit = systemd.Unit(
        name=UNIT,
        description="Paddock agent",
        command=(systemd.program(), "agent", "run", "--data", data, "--engine", engine),
        after=("network-online.target", "docker.service"),
        data=data,
        confinement=systemd.AGENT,
    )
    systemd.install(unit, start=not no_start)


@app.command(
    epilog=examples(
        "paddock agent uninstall",
    )
)
def uninstall(
    no_stop: bool = Option(False, "--no-stop", help="Only remove the unit."),
) -> None:
    """Stop the agent and take its unit away. Containers and its identity stay."""
    systemd.uninstall(UNIT, stop=not no_stop)
