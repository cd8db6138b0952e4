"""The command line's root: finds a command, loads only that one, and turns what goes wrong into an exit code.

Exit codes: 0 done, 1 it failed, 2 the input is wrong, 130 interrupted; `exec` ends with the command's own.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup

from paddock import __version__
from paddock.cli.output import say
from paddock.model.errors import PaddockError, UserError

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


class Entry(NamedTuple):
    """`module` has an `app` (a Typer with one command or a group of them). `section` is where help lists it."""

    module: str
    section: str
    summary: str


STACKS, SERVICES, LOOK, CLUSTER = "Stacks", "Services and containers", "Looking", "The cluster"

COMMANDS: dict[str, Entry] = {
    "up": Entry("paddock.cli.up", STACKS, "Run what the compose files say, and follow it until it runs."),
    "down": Entry("paddock.cli.down", STACKS, "Stop and remove a stack."),
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
    "hosts": Entry("paddock.cli.hosts", CLUSTER, "List, add, label, drain and remove hosts."),
    "environments": Entry("paddock.cli.environments", CLUSTER, "List, create and remove environments."),
    "api-keys": Entry("paddock.cli.api_keys", CLUSTER, "List, create and remove API keys."),
    "context": Entry("paddock.cli.context", CLUSTER, "Say which server and environment commands talk to."),
}

_EXAMPLES = """\
Examples:

  paddock up -d                        run the compose file of this directory
  paddock ps                           what runs, and where
  paddock logs -f shop/api             follow a service over all its hosts
  paddock explain shop-worker-2        why it waits, or is where it is

`paddock COMMAND --help` says more and has examples.
"""


class Loader(TyperGroup):
    """Knows its commands by name and sentence; imports a command's module when it is called."""

    entries: Mapping[str, Entry] = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        command = typer.main.get_command(importlib.import_module(entry.module).app)
        command.name = cmd_name
        return command

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Commands by section, then the options; Typer would import every command to list it."""
        for section in dict.fromkeys(entry.section for entry in self.entries.values()):
            rows = [(name, entry.summary) for name, entry in self.entries.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=14)
        records = [param.get_help_record(ctx) for param in self.get_params(ctx)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        del ctx
        formatter.write(f"\n{_EXAMPLES}")

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)
        self.format_epilog(ctx, formatter)


def root(entries: Mapping[str, Entry]) -> typer.Typer:
    known = {**COMMANDS, **entries}

    class Root(Loader):
        entries = known

    app = typer.Typer(
        name="paddock",
        cls=Root,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    )
    app.callback()(_root)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paddock {__version__}")
        raise typer.Exit


def _root(
    context: str = typer.Option("", "--context", "-c", envvar="PADDOCK_CONTEXT", help="Which server to talk to."),
    environment: str = typer.Option("", "--environment", "-e", envvar="PADDOCK_ENVIRONMENT", help="Which environment."),
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """One place to run containers on many Linux machines."""
    del version
    if context:
        os.environ["PADDOCK_CONTEXT"] = context
    if environment:
        os.environ["PADDOCK_ENVIRONMENT"] = environment


def run(arguments: list[str], entries: Mapping[str, Entry]) -> int:
    """The boundary of every command: what is raised becomes a sentence on stderr and an exit code."""
    try:
        result = root(entries)(arguments, prog_name="paddock", standalone_mode=False)
        sys.stdout.flush()
    except BaseExceptionGroup as group:
        return _told(_first(group))
    except (PaddockError, KeyboardInterrupt, OSError, typer.Exit, typer.Abort) as error:
        return _told(error)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):
            error.show()
            return int(error.exit_code)
        raise
    return result if isinstance(result, int) else 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _told(error: BaseException) -> int:
    match error:
        case typer.Exit():
            return error.exit_code
        case KeyboardInterrupt() | typer.Abort():
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
