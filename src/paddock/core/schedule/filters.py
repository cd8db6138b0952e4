"""Filters: each says how many of the asked units every host could take, and why some could take none.

`still` marks the hosts that no filter before has refused.

One vector per filter serves a million units as well as one. Kinds are stable words; details are for people.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from paddock.core.schedule.ask import Ask
from paddock.core.schedule.expressions import Expression, host_satisfies, parse
from paddock.core.schedule.fleet import UNBOUNDED, Flags, Fleet, Ints
from paddock.core.schedule.ports import Claim, claims
from paddock.model.objects import HostState
from paddock.model.specs import ServiceSpec


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a host, or some hosts, cannot take a unit: `memory`, "need 512 MiB, most free is 200 MiB on h2"."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """`room`: how many units each host could take; `refusal` is said of those with none."""

    room: Ints
    refusal: Refusal


NOT_ASKED = -(1 << 62)
"""Stands for what a host has free when another filter has refused it already."""
Filter = Callable[[Fleet, Ask, Flags], list[Room]]


def _allowed(flags: Flags) -> Ints:
    return np.where(flags, UNBOUNDED, 0).astype(np.int64)


def host_state(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    found = [Room(room=_allowed(fleet.available), refusal=Refusal(kind="drained"))]
    for state in (HostState.JOINING, HostState.SILENT, HostState.LOST):
        found.append(Room(room=_allowed(~fleet.in_state[state]), refusal=Refusal(kind=state.value)))
    return found


def left_out(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    if not ask.without:
        return []
    flags = np.ones(len(fleet), dtype=np.bool_)
    for host in ask.without:
        if host in fleet.position:
            flags[fleet.position[host]] = False
    return [Room(room=_allowed(flags), refusal=Refusal(kind="being left"))]


def pins(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    found = []
    for pin in ask.pins:
        flags = np.zeros(len(fleet), dtype=np.bool_)
        if pin.host is not None and pin.host in fleet.position:
            flags[fleet.position[pin.host]] = True
        found.append(Room(room=_allowed(flags), refusal=Refusal(kind=pin.kind, detail=pin.why)))
    return found


def satisfied(fleet: Fleet, expression: Expression) -> Flags:
    """Which hosts satisfy a constraint."""
    known: Flags | None = fleet.remembered(expression.text)
    if known is None:
        known = np.array([host_satisfies(host, expression) for host in fleet.hosts], dtype=np.bool_)
        fleet.remember(expression.text, known)
    return known


def constraints(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    found = []
    for text in ask.spec.placement.constraints:
        expression = parse(text)
        if expression is not None and not expression.soft:
            refusal = Refusal(kind="constraint", detail=text)
            found.append(Room(room=_allowed(satisfied(fleet, expression)), refusal=refusal))
    return found


def affinities(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    found = []
    for presence in ask.presences:
        if presence.soft:
            continue
        refusal = Refusal(kind="affinity", detail=presence.text)
        if presence.own and not presence.equal:
            room = np.maximum(1 - ask.own, 0)
        elif presence.own and not presence.there.any():
            continue
        else:
            room = _allowed(presence.there == presence.equal)
        found.append(Room(room=room, refusal=refusal))
    return found


def max_per_host(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    most = ask.spec.placement.max_per_host
    if not most:
        return []
    detail = f"at most {most} of {ask.spec.name} on one host"
    return [Room(room=np.maximum(most - ask.own, 0), refusal=Refusal(kind="max per host", detail=detail))]


def resources(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    need = ask.spec.reservation
    found = []
    if need.cpu_milli:
        free = fleet.cpu_milli - fleet.cpu_taken
        found.append(_resource(fleet, "cpu", need.cpu_milli, np.where(still, free, NOT_ASKED)))
    if need.memory_bytes:
        free = fleet.memory_bytes - fleet.memory_taken
        found.append(_resource(fleet, "memory", need.memory_bytes, np.where(still, free, NOT_ASKED)))
    return found


def _resource(fleet: Fleet, kind: str, need: int, free: Ints) -> Room:
    room = np.maximum(free // need, 0)
    detail = f"need {_amount(kind, need)}"
    if len(fleet):
        most = int(np.where(room <= 0, free, NOT_ASKED).argmax())
        if free[most] > NOT_ASKED:
            detail += f", most free is {_amount(kind, max(int(free[most]), 0))} on {fleet.hosts[most].name}"
    return Room(room=room, refusal=Refusal(kind=kind, detail=detail))


def _amount(kind: str, value: int) -> str:
    if kind == "cpu":
        return f"{value / 1000:g} CPUs"
    return f"{value / (1 << 20):.4g} MiB" if value < 1 << 30 else f"{value / (1 << 30):.4g} GiB"


def ports(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    wanted = claims(ask.spec)
    if not wanted:
        return []
    room = np.full(len(fleet), _alone(wanted), dtype=np.int64)
    clashing: dict[str, None] = {}
    for at, held in fleet.holders():
        left = min(_left(claim, wanted, held) for claim in wanted)
        if left <= 0:
            clashing |= {str(claim): None for claim in wanted if _left(claim, wanted, held) <= 0}
        room[at] = min(int(room[at]), max(left, 0))
    detail = ", ".join(sorted(clashing)) or ", ".join(str(claim) for claim in wanted)
    return [Room(room=room, refusal=Refusal(kind="ports", detail=f"{detail} in use"))]


def _alone(wanted: list[Claim]) -> int:
    """Units of one spec on an otherwise empty host."""
    return max(min(_left(claim, wanted, {}) for claim in wanted), 0)


def _left(claim: Claim, wanted: list[Claim], held: dict[Claim, int]) -> int:
    """How many more units could have this claim. A range counts everything that may lie in it against itself, which
    errs to the safe side: which of its ports the engine chose is not known here."""
    in_the_way = 0
    for other, count in held.items():
        if not claim.clashes(other):
            continue
        if other.single and not claim.single:
            in_the_way += 1
        elif claim.single and not other.single:
            in_the_way += int(count > other.last - other.first)
        else:
            in_the_way += count
    same = sum(1 for other in wanted if claim.clashes(other) and not other.single) or 1
    size = claim.last - claim.first + 1
    return (size - in_the_way) // (same if not claim.single else 1)


def short_of(fleet: Fleet, spec: ServiceSpec, at: int) -> Refusal | None:
    """What one host lacks for one more unit, whatever else would speak for or against it."""
    wanted, held = claims(spec), fleet.held(at)
    clashing = [str(claim) for claim in wanted if _left(claim, wanted, held) <= 0]
    if clashing:
        return Refusal(kind="ports", detail=f"{', '.join(clashing)} in use")
    free_cpu = int(fleet.cpu_milli[at] - fleet.cpu_taken[at])
    free_memory = int(fleet.memory_bytes[at] - fleet.memory_taken[at])
    need = spec.reservation
    for kind, wants, free in (("cpu", need.cpu_milli, free_cpu), ("memory", need.memory_bytes, free_memory)):
        if wants > max(free, 0):
            return Refusal(kind=kind, detail=f"need {_amount(kind, wants)}, free is {_amount(kind, max(free, 0))}")
    return None


def networks(fleet: Fleet, ask: Ask, still: Flags) -> list[Room]:
    found = []
    if ask.ipv6:
        found.append(Room(room=_allowed(fleet.ipv6), refusal=Refusal(kind="IPv6", detail="not in its kernel")))
    if ask.networks_full is not None:
        detail = "no block of its subnet is left for one more host"
        found.append(Room(room=_allowed(~ask.networks_full), refusal=Refusal(kind="network", detail=detail)))
    return found


FILTERS: tuple[Filter, ...] = (
    host_state, left_out, pins, constraints, affinities, networks, max_per_host, ports, resources,
)  # fmt: skip
"""In the order in which a host is asked: the first that refuses is the one that is named."""
