"""`paddock rm`"""

from __future__ import annotations

from paddock.cli.command import REQUIRED, App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.cli.naming import containers_named
from paddock.cli.output import say
from paddock.model.errors import Conflict

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock rm shop-api-2             its service makes a new one
  paddock rm -f shop-api-2 shop-api-3
  paddock ps -aq | xargs paddock rm""",
)
def rm(
    names: list[str] = Argument(REQUIRED, metavar="CONTAINER", help="Containers by name."),
    force: bool = Option(False, "--force", "-f", help="Running ones too, which are stopped first."),
) -> None:
    """Remove containers. One that its service wishes for is made anew: `paddock scale` asks for fewer."""
    run(_remove(names, force=force))


async def _remove(names: list[str], *, force: bool) -> None:
    async with connected() as client:
        views = await client.containers(all=True)
        for name in names:
            for view in containers_named([each for each in views if each.name == name] or views, [name]):
                if view.name != name:
                    raise Conflict(f"{name} is not a container", hint=f"did you mean {view.name}?")
                if view.state == "running" and not force:
                    raise Conflict(f"{name} is running", hint="stop its service first, or use --force")
            await client.remove_container(name)
            say(f"{name} removed")
