"""Why a thing is as it is: what it waits for, why it is where it is, what was tried."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from paddock.model.errors import NotFound, TooOld
from paddock.model.objects import Environment, Host, HostId, Service, ServiceId, Stack, StackId, Unit
from paddock.model.snapshot import Snapshot
from paddock.server.containers import find_container
from paddock.server.views import host_view, service_view, stack_view
from paddock.store.store import Store
from paddock.wire.api import ExplainedStep, Explanation

LOOKED_BACK = 5_000
"""Commits of the history that are looked through."""
MOST_STEPS = 50


async def explain(store: Store, environment: Environment, name: str) -> Explanation:
    """Raises `NotFound` when nothing has that name."""
    snapshot = store.durable()
    found = (
        _of_service(snapshot, environment, name)
        or _of_unit(snapshot, environment, name)
        or _of_stack(snapshot, environment, name)
        or _of_host(snapshot, environment, name)
    )
    if found is None:
        raise NotFound(
            f"nothing in environment {environment.name} is called {name!r}",
            hint="give a container, STACK/SERVICE, a stack or a host",
        )
    explanation, concerned = found
    history = await _history(store, concerned)
    return Explanation(
        name=explanation.name,
        kind=explanation.kind,
        state=explanation.state,
        summary=explanation.summary,
        waits_for=explanation.waits_for,
        placed_because=explanation.placed_because,
        history=history,
    )


_Found = tuple[Explanation, set[str]]
"""With the ids whose history tells the rest."""


def _of_unit(snapshot: Snapshot, environment: Environment, name: str) -> _Found | None:
    found = find_container(snapshot, environment.id, name)
    if found is None:
        return None
    unit, _ = found
    host = snapshot.get(Host, unit.host) if unit.host else None
    where = f" on {host.name}" if host is not None else ""
    summary = f"{unit.name} is {unit.state.name.lower()}{where}, and is wished to be {unit.desired.name.lower()}"
    if unit.message:
        summary += f": {unit.message}"
    same_slot = [one.id for one in snapshot.units_of_service(unit.service) if one.slot == unit.slot]
    explanation = Explanation(
        name=unit.name,
        kind="container",
        state=unit.state.name.lower(),
        summary=summary,
        waits_for=_waits(unit),
        placed_because=unit.placed_because,
    )
    return explanation, {*same_slot}


def _waits(unit: Unit) -> tuple[str, ...]:
    if unit.waiting is None:
        return ()
    return (unit.waiting.reason, *unit.waiting.details)


def _of_service(snapshot: Snapshot, environment: Environment, name: str) -> _Found | None:
    service = snapshot.named(Service, environment.id, name)
    if service is None:
        return None
    view = service_view(snapshot, service)
    units = snapshot.units_of_service(ServiceId(service.id))
    summary = f"{name} is {view.state}: {view.ready} of {view.replicas} ready, {view.running} running"
    if service.rollout is not None:
        summary += f"; its rollout is {service.rollout.state}"
        summary += f" ({service.rollout.message})" if service.rollout.message else ""
    waits = [f"{unit.name}: {'; '.join(_waits(unit))}" for unit in units if unit.live and unit.waiting is not None]
    explanation = Explanation(
        name=name, kind="service", state=view.state, summary=summary, waits_for=tuple(waits[:MOST_STEPS])
    )
    return explanation, {service.id, *(unit.id for unit in units)}


def _of_stack(snapshot: Snapshot, environment: Environment, name: str) -> _Found | None:
    stack = snapshot.named(Stack, environment.id, name)
    if stack is None:
        return None
    view = stack_view(snapshot, stack)
    services = snapshot.services_of_stack(StackId(stack.id))
    waits = [
        f"{unit.name}: {'; '.join(_waits(unit))}"
        for service in services
        for unit in snapshot.units_of_service(ServiceId(service.id))
        if unit.live and unit.waiting is not None
    ]
    states = ", ".join(f"{service.name} {service.state}" for service in view.services) or "no services"
    explanation = Explanation(
        name=name,
        kind="stack",
        state=view.state,
        summary=f"{name} is {view.state}: {states}",
        waits_for=tuple(waits[:MOST_STEPS]),
    )
    return explanation, {stack.id, *(service.id for service in services)}


def _of_host(snapshot: Snapshot, environment: Environment, name: str) -> _Found | None:
    host = snapshot.named(Host, environment.id, name) or snapshot.get(Host, name)
    if host is None or host.environment != environment.id:
        return None
    view = host_view(snapshot, host)
    staying = [
        f"{unit.name}: {'; '.join(_waits(unit))}"
        for unit in snapshot.units_on_host(HostId(host.id))
        if unit.live and unit.waiting is not None
    ]
    summary = f"{host.name} is {view.state} with {view.reserved.units} containers"
    explanation = Explanation(
        name=host.name, kind="host", state=view.state, summary=summary, waits_for=tuple(staying[:MOST_STEPS])
    )
    return explanation, {host.id}


async def _history(store: Store, ids: Collection[str]) -> tuple[ExplainedStep, ...]:
    """The newest steps, oldest first."""
    steps: list[ExplainedStep] = []
    newest = store.durable().version
    since = max(0, newest - LOOKED_BACK)
    while since < newest:
        try:
            commits = await store.history(since, 512)
        except TooOld:
            since = min(newest, since + 512)
            continue
        if not commits:
            break
        for commit in commits:
            since = commit.version
            reasons = _unique(change.reason for change in commit.changes if change.object.id in ids)
            steps += [ExplainedStep(at_s=commit.at_s, text=reason) for reason in reasons]
    return tuple(steps[-MOST_STEPS:])


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
