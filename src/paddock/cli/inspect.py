"""`paddock inspect`"""

from __future__ import annotations

from typing import Any

from paddock.cli import output
from paddock.cli.command import REQUIRED, App, Argument, Option
from paddock.cli.connection import connected, run
from paddock.client import Client
from paddock.model.errors import NotFound

app = App()


@app.command(
    epilog="""\b
Examples:
  paddock inspect shop-api-1            what its engine says of a container
  paddock inspect shop/api shop h2      services, stacks, hosts
  paddock inspect --type service api""",
)
def inspect(
    names: list[str] = Argument(REQUIRED, metavar="NAME", help="Containers, services, stacks, hosts, …"),
    kind: str = Option("", "--type", help="container, service, stack, host, network or volume."),
) -> None:
    """Print everything known about something, as a JSON array."""
    output.print_json(run(_inspect(names, kind)))


async def _inspect(names: list[str], kind: str) -> list[Any]:
    async with connected() as client:
        return [await _one(client, name, kind) for name in names]


async def _one(client: Client, name: str, kind: str) -> Any:
    """The first kind of thing that has the name, containers first, as docker does."""
    for known in [kind] if kind else ["container", "service", "stack", "host", "network", "volume"]:
        try:
            return await _of_kind(client, name, known)
        except NotFound:
            continue
    raise NotFound(f"there is no {kind or 'container, service, stack, host, network or volume'} {name}")


async def _of_kind(client: Client, name: str, kind: str) -> Any:
    match kind:
        case "container":
            return await client.inspect(name)
        case "service":
            stack, separator, service = name.rpartition("/")
            if separator:
                return await client.service(stack, service)
            found = [view for view in await client.services() if view.name == name]
        case "stack":
            return await client.stack(name)
        case "host":
            return await client.host(name)
        case "network":
            found = [view for view in await client.networks() if name in (view.name, view.id)]  # type: ignore[misc]
        case _:
            found = [view for view in await client.volumes() if name in (view.name, view.id)]  # type: ignore[misc]
    if len(found) != 1:
        raise NotFound(f"there is no one {kind} {name}")
    return found[0]
