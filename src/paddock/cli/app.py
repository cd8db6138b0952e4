"""The command line's root: finds a command, loads only that one, and turns what goes wrong into an exit code.

Exit codes: 0 done, 1 it failed, 2 the input is wrong, 130 interrupted; `exec` ends with the command's own.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from paddock import __version__
from paddock.cli.command import Abort, App
from paddock.cli.output import say
from paddock.model.errors import PaddockError, UserError

CONTEXT, ENVIRONMENT = "PADDOCK_CONTEXT", "PADDOCK_ENVIRONMENT"
FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Entry(NamedTuple):
    """`module` has an `app`: one command or a group of them. `section` is where help lists it."""

    module: str
    section: str
    summary: str


STACKS, SERVICES, LOOK, CLUSTER = "Stacks", "Services and containers", "Looking", "The cluster"

COMMANDS: dict[str, Entry] = {
    "up": Entry("paddock.cli.up", STACKS, "Run what the compose files say, and follow it until it runs."),
    "down": Entry("paddock.cli.down", STACKS, "Stop and remove a stack."),
    "adopt": Entry("paddock.cli.adopt", STACKS, "Take over what docker compose started on one host, as it runs."),
    "build": Entry("paddock.cli.build", STACKS, "Build the images of compose files on the cluster."),
    "config": Entry("paddock.cli.config", STACKS, "Print the compose files as one canonical model."),
    "stacks": Entry("paddock.cli.stacks", STACKS, "List stacks."),
    "services": Entry("paddock.cli.services", SERVICES, "List services."),
    "ps": Entry("paddock.cli.ps", SERVICES, "List containers, and the hosts they are on."),
    "scale": Entry("paddock.cli.scale", SERVICES, "Set how many containers services have."),
    "start": Entry("paddock.cli.start", SERVICES, "Start stopped services."),
    "stop": Entry("paddock.cli.stop", SERVICES, "Stop services and keep their containers."),
    "restart": Entry(
        "paddock.cli.restart", SERVICES, "Replace the containers of services, as their update policy says."
    ),
    "rm": Entry("paddock.cli.rm", SERVICES, "Remove containers; their service makes new ones."),
    "exec": Entry("paddock.cli.exec", SERVICES, "Run a command in a running container."),
    "logs": Entry("paddock.cli.logs", LOOK, "Show what containers print, from all hosts."),
    "events": Entry("paddock.cli.events", LOOK, "Show what changes, and why."),
    "explain": Entry("paddock.cli.explain", LOOK, "Say why something waits, or is where it is."),
    "inspect": Entry("paddock.cli.inspect", LOOK, "Print everything known about something, as JSON."),
    "stats": Entry("paddock.cli.stats", LOOK, "Show what containers use."),
    "top": Entry("paddock.cli.top", LOOK, "List the processes of a container."),
    "docker": Entry("paddock.cli.docker", CLUSTER, "Run the docker command line against the cluster."),
    "compose": Entry("paddock.cli.docker_compose", CLUSTER, "Run docker compose against the cluster."),
    "docker-env": Entry("paddock.cli.docker_env", CLUSTER, "Print what points Docker clients at the cluster."),
    "hosts": Entry("paddock.cli.hosts", CLUSTER, "List, add, label, drain and remove hosts."),
    "networks": Entry("paddock.cli.networks", CLUSTER, "List networks."),
    "volumes": Entry("paddock.cli.volumes", CLUSTER, "List and remove volumes."),
    "environments": Entry("paddock.cli.environments", CLUSTER, "List, create and remove environments."),
    "registry": Entry("paddock.cli.registry", CLUSTER, "Log in at registries, for everything that pulls."),
    "api-keys": Entry("paddock.cli.api_keys", CLUSTER, "List, create and remove API keys."),
    "context": Entry("paddock.cli.context", CLUSTER, "Say which server and environment commands talk to."),
}

_EXAMPLES = """\b
Examples:
  paddock up -d                     run the compose file of this directory
  paddock ps                        what runs, and where
  paddock logs -f shop/api          follow a service over all its hosts
  paddock explain shop-worker-2     why it waits, or is where it is

`paddock COMMAND --help` says more and has examples."""


class Loader(click.Group):
    """Knows its commands by name and sentence; imports a command's module when it is called."""

    def __init__(self, entries: Mapping[str, Entry], **settings: Any) -> None:
        super().__init__(**settings)
        self.entries = entries

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        app: App = importlib.import_module(entry.module).app
        if not gc.isenabled():
            gc.freeze()  # What was imported stays: there is no garbage in it now, nor later.
            gc.enable()
        return app.build(cmd_name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in self.entries and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], list(self.entries), n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"There is no command {args[0]}.{meant}")
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands by section, without importing any of them, then the options."""
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            rows = [(name, entry.summary) for name, entry in self.entries.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=14)
        click.Command.format_options(self, ctx, formatter)


def root(entries: Mapping[str, Entry]) -> click.Group:
    context = click.Option(
        ["--context", "-c"], metavar="NAME", envvar=CONTEXT, default="", help="Which server to talk to."
    )
    environment = click.Option(
        ["--environment", "-e"], metavar="NAME", envvar=ENVIRONMENT, default="", help="Which environment."
    )
    eager: dict[str, Any] = {"is_eager": True, "expose_value": False}
    version = click.Option(["--version"], is_flag=True, callback=_version, help="Print the version.", **eager)
    completion = click.Option(
        ["--install-completion"], is_flag=True, callback=_completion, help="Complete commands in your shell.", **eager
    )
    return Loader(
        {**COMMANDS, **entries},
        name="paddock",
        params=[context, environment, version, completion],
        callback=_root,
        help="One place to run containers on many Linux machines.",
        epilog=_EXAMPLES,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )


def _version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    del param
    if wanted:
        print(f"paddock {__version__}")
        ctx.exit()


def _completion(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    del param
    if wanted:
        from paddock.cli.completion import install

        install(ctx.find_root().command)
        ctx.exit()


def _root(context: str, environment: str) -> None:
    for variable, value in ((CONTEXT, context), (ENVIRONMENT, environment)):
        if value:
            os.environ[variable] = value


def run(arguments: list[str], entries: Mapping[str, Entry]) -> int:
    """The boundary of every command: what is raised becomes a sentence on stderr and an exit code."""
    try:
        result = root(entries).main(arguments, prog_name="paddock", standalone_mode=False)
        sys.stdout.flush()
    except BaseExceptionGroup as group:
        return _told(_first(group))
    except (click.ClickException, PaddockError, KeyboardInterrupt, OSError, Abort) as error:
        return _told(error)
    return result if isinstance(result, int) else 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _told(error: BaseException) -> int:
    match error:
        case click.ClickException():
            error.show()
            return BAD_INPUT
        case KeyboardInterrupt() | Abort():
            return INTERRUPTED
        case BrokenPipeError():
            # Whoever read us has gone (`| head`): nothing is left to say, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        case UserError():
            say(f"paddock: {error}")
            return BAD_INPUT
        case PaddockError():
            say(f"paddock: {error}")
            return FAILED
        case OSError():
            say(f"paddock: {error.filename or 'failed'}: {error.strerror or error}")
            return FAILED
    raise error
