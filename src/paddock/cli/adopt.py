"""`paddock adopt`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from paddock.cli import output
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.following import Goal, follow
from paddock.cli.project import DIRECTORY, ENV_FILE, FILE, PROFILE, Asked, read_stack
from paddock.cli.up import plan_lines
from paddock.model.errors import UserError
from paddock.wire.api import Adoptable, Adopted

app = App()


class Manner(NamedTuple):
    host: str
    dry_run: bool
    as_json: bool


@app.command(
    epilog="""\b
Examples:
  paddock adopt                       list compose projects that run on hosts without Paddock's doing
  paddock adopt shop --dry-run        say what would become of shop's containers; change nothing
  paddock adopt shop                  take it over, by the files it was started with
  paddock adopt shop -f compose.yaml  by these files, where the others are not on this machine""",
)
def adopt(
    project: str = Argument("", metavar="PROJECT", help="The compose project's name."),
    file: list[str] = FILE,
    env_file: list[str] = ENV_FILE,
    profile: list[str] = PROFILE,
    directory: str = DIRECTORY,
    host: str = Option("", "--host", metavar="HOST", help="The host it is on, if it is on several."),
    dry_run: bool = Option(False, "--dry-run", help="Print what would be done; change nothing."),
    as_json: bool = Option(False, "--json", help="Print it as JSON."),
) -> None:
    """Take over what `docker compose` started on one host: nothing is stopped, restarted or made anew.

    Its containers stay where and as they are, with their names, ids and volumes, and join the stack's network of the
    cluster while they run. From then on they are a stack like any other.
    """
    if not project:
        if file:
            raise UserError("say which project is to be adopted", hint="`paddock adopt` lists what there is")
        _list(run(_adoptable()), as_json=as_json)
        return
    files, place = (tuple(file), directory) if file else _by_labels(run(_adoptable()), project, host)
    asked = Asked(files, project, tuple(env_file), tuple(profile), directory or place)
    run(_adopt(asked, Manner(host, dry_run, as_json)))


async def _adoptable() -> Sequence[Adoptable]:
    async with connected() as client:
        return await client.adoptable()


def _list(found: Sequence[Adoptable], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    rows = [[one.project, one.host, ",".join(one.services), str(one.containers), ",".join(one.files)] for one in found]
    output.print_table(("PROJECT", "HOST", "SERVICES", "CONTAINERS", "FILES"), rows)


def _by_labels(found: Sequence[Adoptable], project: str, host: str) -> tuple[tuple[str, ...], str]:
    """The files as compose wrote them down, if they are on this machine."""
    there = [one for one in found if one.project == project and host in ("", one.host)]
    if not there:
        raise UserError(
            f"no host has a compose project {project} of its own", hint="`paddock adopt` lists what there is"
        )
    files = there[0].files
    missing = [name for name in files if not Path(name).is_file()]
    if missing or not files:
        where = ", ".join(missing) or "its files"
        raise UserError(
            f"{project} on {there[0].host} was started with {where}, which this machine does not have",
            hint="run this on that host, or give the files with --file",
        )
    return files, there[0].directory


async def _adopt(asked: Asked, manner: Manner) -> None:
    spec = read_stack(asked).spec
    async with connected() as client:
        adopted = await client.adopt(spec, host=manner.host, dry_run=manner.dry_run)
        if manner.as_json:
            output.print_json(adopted)
        else:
            sys.stdout.write(told(adopted))
        if not manner.dry_run:
            await follow(client, Goal(stack=spec.name, services=tuple(spec.services), version=adopted.version), {})


def told(adopted: Adopted) -> str:
    would = "would be" if adopted.dry_run else "is"
    lines = [
        f"{one.name} ({one.id[:12]}) on {adopted.host} {would} slot {one.slot} of {one.service}, as it runs"
        for one in adopted.containers
    ]
    lines += [f"note: {note}" for note in adopted.notes]
    if adopted.dry_run:
        lines += plan_lines(adopted.plan)
    return "\n".join(lines) + "\n"
