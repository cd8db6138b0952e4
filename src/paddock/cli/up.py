"""`paddock up`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from paddock.cli import output
from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.following import Goal, follow, generations, tell_detached
from paddock.cli.logs import Wanted, stream_logs
from paddock.cli.output import say
from paddock.cli.project import DIRECTORY, ENV_FILE, FILE, NAME, PROFILE, Asked, read_stack
from paddock.core.images.pinned import pinned
from paddock.core.stack.builds import Build
from paddock.model.errors import Refused, UserError
from paddock.model.specs import StackSpec
from paddock.wire.api import Applied, PlannedChange

if TYPE_CHECKING:
    from paddock.client.client import Client

app = App()


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How the stack is to be brought up, and what is shown of it."""

    detach: bool = False
    wait: bool = False
    wait_timeout_s: float | None = None
    dry_run: bool = False
    remove_orphans: bool = False
    whole: bool = True
    """All services of the files, not some by name."""
    as_json: bool = False
    build: str = "missing"
    builds: tuple[Build, ...] = ()


@app.command(
    epilog="""\b
Examples:
  paddock up                          run compose.yaml of this directory, then show its logs; Ctrl-C detaches
  paddock up -d                       return when all containers run
  paddock up -d --wait                return when they are healthy too
  paddock up --dry-run                print what would change, and why; change nothing
  paddock up -d --scale worker=5      with another number of containers
  paddock up -f base.yaml -f prod.yaml -p shop -d""",
)
def up(
    services: list[str] | None = Argument(None, metavar="SERVICE", help="Only these and what they need."),
    file: list[str] = FILE,
    name: str = NAME,
    env_file: list[str] = ENV_FILE,
    profile: list[str] = PROFILE,
    directory: str = DIRECTORY,
    detach: bool = Option(False, "--detach", "-d", help="Return when the containers run, without their logs."),
    scale: list[str] = Option([], "--scale", metavar="SERVICE=NUMBER", help="Set how many containers."),
    wait: bool = Option(
        False,
        "--wait",
        help="Return when they are healthy too, or have run for 2 s where nothing checks. Implies --detach.",
    ),
    wait_timeout: float = Option(0, "--wait-timeout", metavar="SECONDS", help="Give up waiting after this long."),
    build: bool = Option(False, "--build", help="Build images first, whether they are there or not."),
    no_build: bool = Option(False, "--no-build", help="Build nothing: run the images that are there."),
    dry_run: bool = Option(False, "--dry-run", help="Print what would change, and why; change nothing."),
    remove_orphans: bool = Option(False, "--remove-orphans", help="Remove services that the files no longer have."),
    as_json: bool = Option(False, "--json", help="Print the changes as JSON."),
) -> None:
    """Run what the compose files say, and follow it until it runs.

    Without --detach a terminal then shows the logs, and Ctrl-C leaves the stack running. Where the output is not a
    terminal, `up` returns as with --detach.
    """
    asked = Asked(tuple(file), name, tuple(env_file), tuple(profile), directory, tuple(services or ()))
    if build and no_build:
        raise UserError("--build and --no-build contradict each other")
    translated = read_stack(asked)
    spec = scaled(translated.spec, tuple(scale))
    manner = Manner(
        detach=detach or wait or not sys.stdout.isatty(),
        wait=wait,
        wait_timeout_s=wait_timeout or None,
        dry_run=dry_run,
        remove_orphans=remove_orphans and not services,
        whole=not services,
        as_json=as_json,
        build="always" if build else "never" if no_build else "missing",
        builds=translated.builds,
    )
    try:
        run(_up(spec, manner))
    except KeyboardInterrupt:
        tell_detached(spec.name)
        raise


async def _up(spec: StackSpec, manner: Manner) -> None:
    async with connected() as client:
        spec = await _with_images(client, spec, manner)
        earlier = {} if manner.dry_run else await generations(client, spec.name)
        applied = await client.apply_stack(spec, dry_run=manner.dry_run, remove_orphans=manner.remove_orphans)
        for warning in applied.warnings if manner.whole else ():
            say(f"warning: {warning}")
        if manner.as_json:
            output.print_json(applied)
        elif manner.dry_run:
            sys.stdout.write(plan(applied))
        if manner.dry_run:
            return
        goal = Goal(
            stack=spec.name,
            services=tuple(spec.services),
            version=applied.version,
            wish="ready" if manner.wait else "running",
            changes=bool(applied.plan),
            timeout_s=manner.wait_timeout_s,
        )
        await follow(client, goal, earlier)
        if not manner.detach:
            await _show_logs(client, spec.name)


async def _with_images(client: Client, spec: StackSpec, manner: Manner) -> StackSpec:
    """Everything is built before anything is changed, and what runs is the very image that was built."""
    if not manner.builds:
        return spec
    from paddock.cli.building import Manner as Building
    from paddock.cli.building import image_ids, known_ids

    async with client.docker() as engine:
        if manner.dry_run:
            ids = await known_ids(engine, manner.builds)
            for build in manner.builds:
                if manner.build == "always" or build.pull_policy == "build" or build.image not in ids:
                    say(f"{build.service}: {build.image} would be built")
        else:
            ids = await image_ids(engine, manner.builds, Building(when=manner.build))
    return pinned(spec, ids)


async def _show_logs(client: Client, stack: str) -> None:
    try:
        await stream_logs(client, Wanted(stack=stack, follow=True))
    except Refused as error:
        say(f"paddock: {error}")


def scaled(spec: StackSpec, wishes: tuple[str, ...]) -> StackSpec:
    """Raises `UserError` for what is not SERVICE=NUMBER, or a service that is not there or cannot be several."""
    services = dict(spec.services)
    for wish in wishes:
        name, separator, number = wish.partition("=")
        if not separator or not number.isdigit():
            raise UserError(f"--scale {wish} is not SERVICE=NUMBER", hint="for example --scale web=3")
        service = services.get(name)
        if service is None:
            raise UserError(f"--scale: no service {name} in {spec.name}", hint=f"it has {', '.join(sorted(services))}")
        if service.mode.startswith("global"):
            raise UserError(f"--scale: {name} is global, with one container on every host")
        if service.container_name and int(number) > 1:
            raise UserError(f"--scale: only one container of {name} can be called {service.container_name}")
        services[name] = msgspec.structs.replace(service, replicas=int(number))
    return msgspec.structs.replace(spec, services=services)


_ACTIONS = {"create": "+", "change": "~", "remove": "-"}


def plan(applied: Applied) -> str:
    """`+ unit shop-web-1: the service wishes for 2, 1 is there`"""
    return "\n".join(plan_lines(applied.plan) or ["nothing would change"]) + "\n"


def plan_lines(changes: Sequence[PlannedChange]) -> list[str]:
    return [f"{_ACTIONS[change.action]} {change.kind} {change.name}: {change.reason}" for change in changes]
