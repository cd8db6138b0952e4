"""Why something waits, why it is where it is, and what was tried: plain values, for whoever shows them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from paddock.core.draft import Draft
from paddock.core.placing import ask_for
from paddock.core.revisions import current
from paddock.core.schedule.place import refusal
from paddock.core.status import service_status, stack_state
from paddock.model.errors import NotFound
from paddock.model.objects import Host, HostId, HostState, Service, ServiceId, Stack, StackId, Unit, UnitState, Waiting
from paddock.model.snapshot import Snapshot


class Event(msgspec.Struct, frozen=True, kw_only=True):
    at_s: float
    text: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`kind`: container, service, stack or host. `hosts`: host name -> why it cannot take a unit ("" if it can).

    `concerned`: ids of the objects whose changes tell the rest of the story, to whoever keeps a history.
    """

    name: str
    kind: str
    state: str
    summary: str
    waits_for: tuple[str, ...] = ()
    placed_because: str = ""
    history: tuple[Event, ...] = ()
    hosts: dict[str, str] = {}
    concerned: tuple[str, ...] = ()


def explain(snapshot: Snapshot, environment: str, name: str) -> Explanation:
    """`name`: a container, `stack/service`, a service if only one is called so, a stack or a host."""
    draft = Draft(snapshot, 0.0)
    units = snapshot.units_named(environment, name)
    if units:
        return _unit(draft, units[-1])
    service = _service_called(snapshot, environment, name)
    if service is not None:
        return _service(draft, service)
    stack = snapshot.named(Stack, environment, name)
    if stack is not None:
        return _stack(draft, stack)
    host = snapshot.named(Host, environment, name)
    if host is not None:
        return _host(snapshot, host)
    hint = "paddock ps, services, stacks and hosts list what there is"
    raise NotFound(f"nothing in this environment is called {name}", hint=hint)


def _service_called(snapshot: Snapshot, environment: str, name: str) -> Service | None:
    exact = snapshot.named(Service, environment, name)
    if exact is not None:
        return exact
    found = [service for service in snapshot.in_environment(Service, environment) if service.name == name]
    if len(found) > 1:
        choices = ", ".join(f"{service.stack_name}/{service.name}" for service in found)
        raise NotFound(f"several services are called {name}", hint=f"say which: {choices}")
    return found[0] if found else None


def _unit(draft: Draft, unit: Unit) -> Explanation:
    slots = draft.slots(unit.service).get(unit.slot, [unit])
    waiting = unit.waiting
    return Explanation(
        name=unit.name,
        kind="container",
        state=unit.state.name.lower(),
        summary=_unit_summary(draft, unit),
        waits_for=_words(waiting) if waiting is not None else (),
        placed_because=unit.placed_because,
        history=tuple(event for one in slots for event in _events(draft, one)),
        hosts=_per_host(draft, unit) if unit.state == UnitState.NEW else {},
        concerned=tuple(one.id for one in slots),
    )


def _words(waiting: Waiting) -> tuple[str, ...]:
    """The reason, and of the details what it does not say itself."""
    return (waiting.reason, *(detail for detail in waiting.details if detail not in waiting.reason))


def _waits(units: Iterable[Unit]) -> list[str]:
    return [f"{unit.name}: {'; '.join(_words(unit.waiting))}" for unit in units if unit.waiting is not None]


def _unit_summary(draft: Draft, unit: Unit) -> str:
    if unit.waiting is not None:
        return f"{unit.name} waits: {unit.waiting.reason}"
    where = f" on {_host_name(draft, unit.host)}" if unit.host is not None else ""
    state = unit.state.name.lower()
    if unit.state == UnitState.RUNNING and not unit.healthy:
        state = "running, not healthy yet"
    told = f": {unit.message}" if unit.message else ""
    return f"{unit.name} is {state}{where}{told}"


def _host_name(draft: Draft, id: HostId) -> str:
    host = draft.get(Host, id)
    return host.name if host is not None else id


def _events(draft: Draft, unit: Unit) -> list[Event]:
    """One generation: made, placed, ended."""
    where = f" on {_host_name(draft, unit.host)}" if unit.host is not None else ""
    again = ", with the containers of the one before" if unit.reuses is not None else ""
    found = [Event(at_s=unit.created_at_s, text=f"generation {unit.generation}{where}{again}")]
    if unit.running_since_s:
        found.append(Event(at_s=unit.running_since_s, text=f"generation {unit.generation} runs"))
    end = unit.ended if unit.ended is not None else unit.state
    if not unit.live:
        told = f": {unit.message}" if unit.message else ""
        at_s = unit.finished_at_s or unit.state_since_s
        found.append(Event(at_s=at_s, text=f"generation {unit.generation} {end.name.lower()}{told}"))
    return found


def _per_host(draft: Draft, unit: Unit) -> dict[str, str]:
    service = draft.get(Service, unit.service)
    if service is None:
        return {}
    fleet, ask = draft.fleet(unit.environment), ask_for(draft, service, unit)
    found = {}
    for at, host in enumerate(fleet.hosts):
        refused = refusal(fleet, ask, at)
        found[host.name] = str(refused) if refused is not None else ""
    return dict(sorted(found.items()))


def _service(draft: Draft, service: Service) -> Explanation:
    status = service_status(draft.snapshot, service)
    slots = draft.slots(ServiceId(service.id))
    units = [current(draft, service, slots[slot]) for slot in sorted(slots)]
    waits = _waits(units)
    events = [event for slot in sorted(slots) for unit in slots[slot] for event in _events(draft, unit)]
    summary = f"{status.ready} of {status.wanted} ready"
    if service.rollout is not None:
        rollout = service.rollout
        told = f" ({rollout.message})" if rollout.message else ""
        summary += f"; its last rollout is {rollout.state}{told}"
        events.append(Event(at_s=rollout.started_at_s, text=f"a rollout to {rollout.target} began"))
    return Explanation(
        name=f"{service.stack_name}/{service.name}",
        kind="service",
        state=status.state,
        summary=summary,
        waits_for=tuple(waits),
        placed_because="; ".join(dict.fromkeys(unit.placed_because for unit in units if unit.placed_because)),
        history=tuple(sorted(events, key=lambda event: (event.at_s, event.text))),
        concerned=(service.id, *(unit.id for slot in sorted(slots) for unit in slots[slot])),
    )


def _stack(draft: Draft, stack: Stack) -> Explanation:
    parts = [_service(draft, service) for service in draft.services_of_stack(StackId(stack.id))]
    events = [event for part in parts for event in part.history]
    return Explanation(
        name=stack.name,
        kind="stack",
        state="removing" if stack.removing else stack_state(part.state for part in parts),
        summary="; ".join(f"{part.name.partition('/')[2]}: {part.state}, {part.summary}" for part in parts),
        waits_for=tuple(reason for part in parts for reason in part.waits_for),
        history=tuple(sorted(events, key=lambda event: (event.at_s, event.text))),
        concerned=(stack.id, *(id for part in parts for id in part.concerned)),
    )


def _host(snapshot: Snapshot, host: Host) -> Explanation:
    there = [unit for unit in snapshot.units_on_host(HostId(host.id)) if unit.live]
    waits = _waits(there)
    drained = ", drained" if host.availability == "drained" else ""
    summary = f"host {host.name} is {host.state.value}{drained}, with {len(there)} units"
    if host.state is HostState.SILENT:
        summary += "; it is lost if it stays so"
    return Explanation(
        name=host.name,
        kind="host",
        state=host.state.value,
        summary=summary,
        waits_for=tuple(waits),
        history=(Event(at_s=host.since_s, text=f"{host.state.value}"),),
        concerned=(host.id,),
    )
