"""`paddock down`"""

from __future__ import annotations

import asyncio

from paddock.cli.command import App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.following import LOOK_AGAIN_S
from paddock.cli.output import say
from paddock.cli.project import DIRECTORY, ENV_FILE, FILE, NAME, Asked, read_project
from paddock.client import Client
from paddock.model.errors import NotFound, Refused

app = App()

LOOK_S = 0.2


@app.command(
    epilog="""\b
Examples:
  paddock down                      the stack of this directory's compose file
  paddock down shop                 a stack by its name
  paddock down -v shop              its volumes too, with all that is in them""",
)
def down(
    stacks: list[str] | None = Argument(None, metavar="STACK", help="Stacks by name."),
    file: list[str] = FILE,
    name: str = NAME,
    env_file: list[str] = ENV_FILE,
    directory: str = DIRECTORY,
    volumes: bool = Option(False, "--volumes", "-v", help="Remove named volumes and their data too."),
    remove_orphans: bool = Option(False, "--remove-orphans", help="Always so here: the whole stack goes."),
    detach: bool = Option(False, "--detach", "-d", help="Return at once instead of waiting until it is gone."),
    timeout: float = Option(0, "--timeout", "-t", metavar="SECONDS", help="Give up waiting after this long."),
) -> None:
    """Stop and remove a stack: containers and networks, and with --volumes its volumes."""
    del remove_orphans
    named = list(stacks or []) or [name]
    if named == [""]:
        asked = Asked(files=tuple(file), env_files=tuple(env_file), directory=directory, profiles=("*",))
        named = [read_project(asked).name]
    run(_down(named, volumes=volumes, detach=detach, timeout_s=timeout or None))


async def _down(stacks: list[str], *, volumes: bool, detach: bool, timeout_s: float | None) -> None:
    async with connected() as client:
        kept = {stack: (await client.stack(stack)).volumes if volumes else () for stack in stacks}
        for stack in stacks:
            await client.remove_stack(stack, volumes=volumes)
        for stack in [] if detach else stacks:
            try:
                async with asyncio.timeout(timeout_s):
                    await _gone(client, stack)
                    await _volumes_gone(client, kept[stack])
            except TimeoutError:
                raise Refused(f"{stack} is not gone after {timeout_s:g} s", hint=f"paddock explain {stack}") from None
            say(f"{stack} removed")


async def _gone(client: Client, stack: str) -> None:
    """Containers need their grace to stop, so looks are frequent at first and rarer later."""
    pause_s, left = LOOK_S, -1
    while True:
        try:
            await client.stack(stack)
            containers = len(await client.containers(stack=stack))
        except NotFound:
            return
        if containers != left and left != -1:
            say(f"{stack}: {containers} containers left")
        left = containers
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LOOK_AGAIN_S)


async def _volumes_gone(client: Client, names: tuple[str, ...]) -> None:
    """Only then can a stack of that name be brought up again. Those on lost hosts go when their host returns."""
    if not names:
        return
    lost = [host.name for host in await client.hosts() if host.state == "lost"]
    pause_s = LOOK_S
    while left := [view for view in await client.volumes() if view.name in names]:
        if all(view.host in lost for view in left):
            for view in left:
                say(f"volume {view.name} is removed when {view.host}, which is lost, returns")
            return
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LOOK_AGAIN_S)
