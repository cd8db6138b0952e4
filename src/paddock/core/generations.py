"""Making the next unit of a slot: its generation, its name, and what it remembers of the ones before it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec.structs import replace

from paddock.core.draft import Draft
from paddock.core.revisions import outdated
from paddock.model.objects import Service, ServiceId, Unit, UnitDesired, UnitId, UnitState, unit_id
from paddock.model.specs import RestartPolicy

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 60.0
STABLE_AFTER_S = 60.0
"""A unit that ran this long did not crash "again": its backoff begins anew (Docker's engine does so after 10 s)."""
FAILURES = (UnitState.COMPLETE, UnitState.FAILED, UnitState.REJECTED)
"""Ends that count as a try when a next generation follows; being told to go or losing the host do not."""

RAN = ("running", "restarting", "paused")


class Memory(NamedTuple):
    attempts: int = 0
    crashes: int = 0
    not_before_s: float = 0.0


def backoff_s(crashes: int) -> float:
    """0.5, 1, 2, … 60 s."""
    return 0.0 if crashes <= 0 else min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(crashes - 1, 16))


def end_of(unit: Unit) -> UnitState:
    return unit.ended if unit.ended is not None else unit.state


def ran_s(unit: Unit) -> float:
    return max(unit.finished_at_s - unit.running_since_s, 0.0) if unit.running_since_s else 0.0


def memory_after(previous: Unit, policy: RestartPolicy) -> Memory:
    """What the next generation carries on, `previous` being of the same revision."""
    if end_of(previous) not in FAILURES:
        return Memory(previous.attempts, previous.crashes)
    ran = ran_s(previous)
    crashes = 1 if ran >= STABLE_AFTER_S else previous.crashes + 1
    forgotten = policy.window_s > 0 and ran >= policy.window_s
    attempts = 1 if forgotten else previous.attempts + 1
    since = previous.finished_at_s or previous.state_since_s
    return Memory(attempts, crashes, since + max(policy.delay_s, backoff_s(crashes)))


def attempts_exhausted(unit: Unit, policy: RestartPolicy) -> bool:
    """`unit` has ended and used up what the policy allows."""
    if not policy.max_attempts:
        return False
    return memory_after(unit, policy).attempts > policy.max_attempts


def next_unit(draft: Draft, service: Service, slot: int, previous: Unit | None) -> Unit:
    """A unit that is not placed yet, after `previous` (the one that had the slot so far)."""
    spec = draft.spec(service)
    standalone = spec.mode == "standalone"
    place = (slot, next_generation(draft, service, slot))
    name = _name(draft, service, service.name if standalone else spec.container_name, place)
    known_as, remake = _in_place_of(previous) if standalone and previous is not None else ("", "")
    memory = Memory()
    if previous is not None and not outdated(draft, service, previous):
        memory = memory_after(previous, spec.restart)
    plain = not spec.depends_on and not spec.container.sharing and memory.not_before_s <= draft.now_s
    return replace(
        bare_unit(service, place, name, draft.now_s),
        desired=UnitDesired.RUN if plain else UnitDesired.READY,
        standalone=standalone,
        known_as=known_as,
        remake=remake,
        **memory._asdict(),
    )


def bare_unit(service: Service, place: tuple[int, int], name: str, now_s: float) -> Unit:
    """Who it is, and nothing else yet. `place`: slot and generation."""
    slot, generation = place
    return Unit(
        id=unit_id(ServiceId(service.id), slot, generation),
        environment=service.environment,
        stack=service.stack,
        service=ServiceId(service.id),
        stack_name=service.stack_name,
        service_name=service.name,
        slot=slot,
        generation=generation,
        revision=service.revision,
        name=name,
        forced=service.forced,
        created_at_s=now_s,
        state_since_s=now_s,
    )


def _in_place_of(previous: Unit) -> tuple[str, Literal["", "create", "start"]]:
    """What a container that nobody asks for again has of the one before it: the id, and whether it ran."""
    primary = next((status for status in previous.containers if not status.role and status.id), None)
    if primary is None:
        return previous.known_as, previous.remake
    return previous.known_as or primary.id, "start" if primary.state in RAN else "create"


def next_generation(draft: Draft, service: Service, slot: int) -> int:
    """One that no unit of the slot ever had: neither one that is deleted by now, nor one that was never placed and is
    taken away in this very draft."""
    units = draft.slots(ServiceId(service.id)).get(slot)
    generation = max(units[-1].generation if units else 0, service.used_generations) + 1
    while draft.snapshot.get(Unit, unit_id(ServiceId(service.id), slot, generation)) is not None:
        generation += 1
    return generation


def started_again(draft: Draft, service: Service, previous: Unit, memory: Memory) -> Unit:
    """The next unit of the slot, made of the containers of `previous`, which stay where they are."""
    generation = next_generation(draft, service, previous.slot)
    return replace(
        bare_unit(service, (previous.slot, generation), previous.name, draft.now_s),
        host=previous.host,
        state=UnitState.PLACED,
        addresses=previous.addresses,
        addresses6=previous.addresses6,
        reuses=previous.reuses or UnitId(previous.id),
        adopts=previous.adopts,
        placed_because="its containers are there and are started again",
        **memory._asdict(),
    )


def _name(draft: Draft, service: Service, asked: str, place: tuple[int, int]) -> str:
    """As docker compose names it, unless containers of that name are still somewhere: then with the generation."""
    slot, generation = place
    plain = asked or f"{service.stack_name}-{service.name}-{slot}"
    if not draft.name_taken(service.environment, plain):
        return plain
    name, number = f"{plain}.{generation}", 1
    while draft.name_taken(service.environment, name):
        number += 1
        name = f"{plain}.{generation}.{number}"
    return name
