"""What a name on the command line means: a stack, `stack/service`, a service if only one has the name, a container."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NoReturn

from paddock.model.errors import Conflict, NotFound
from paddock.wire.api import ContainerView, ServiceView

if TYPE_CHECKING:
    from paddock.client.client import Client


async def wanted_containers(
    client: Client, names: Sequence[str], *, stack: str = "", finished: bool = False
) -> list[ContainerView]:
    """Everything in the environment (or the stack) where no name is given. Sorted by stack, service and slot."""
    views = await client.containers(stack=stack, all=finished)
    return sorted(containers_named(views, names), key=lambda view: (view.stack, view.service, view.slot, view.name))


def containers_named(views: Sequence[ContainerView], names: Sequence[str]) -> list[ContainerView]:
    if not names:
        return list(views)
    chosen: dict[tuple[str, str], ContainerView] = {}
    for name in names:
        found = [view for view in views if name in (view.name, view.stack, f"{view.stack}/{view.service}")]
        found = found or _of_one_stack(name, [view for view in views if view.service == name])
        if not found:
            known = [word for view in views for word in (view.name, view.stack, f"{view.stack}/{view.service}")]
            unknown("container, service or stack", name, known)
        chosen |= {(view.name, view.unit): view for view in found}
    return list(chosen.values())


def _of_one_stack(name: str, views: list[ContainerView]) -> list[ContainerView]:
    check_single(name, {view.stack for view in views})
    return views


def check_single(name: str, stacks: Iterable[str]) -> None:
    places = sorted(stacks)
    if len(places) > 1:
        raise Conflict(f"several stacks have a service {name}: {', '.join(places)}", hint=f"say {places[0]}/{name}")


async def wanted_services(client: Client, names: Sequence[str], *, stack: str = "") -> list[ServiceView]:
    """All of `stack` where no name is given."""
    views = await client.services(stack=stack)
    if not names:
        if stack and not views:
            unknown("stack", stack, [view.name for view in await client.stacks()])
        return views
    chosen: dict[str, ServiceView] = {}
    for name in names:
        found = [view for view in views if name in (view.stack, f"{view.stack}/{view.name}")]
        if not found:
            found = [view for view in views if view.name == name]
            check_single(name, {view.stack for view in found})
        if not found:
            unknown("service or stack", name, [word for view in views for word in (view.name, view.stack)])
        chosen |= {view.id: view for view in found}
    return list(chosen.values())


def unknown(kind: str, name: str, known: Iterable[str]) -> NoReturn:
    import difflib

    close = difflib.get_close_matches(name, sorted(set(known)), n=1, cutoff=0.5)
    raise NotFound(f"there is no {kind} {name}", hint=f"did you mean {close[0]}?" if close else "see `paddock ps -a`")
