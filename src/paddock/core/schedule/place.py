"""Placement: filters, then tiers (wishes unmet, failures there), then scores; and the sentence when nothing fits."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from paddock.core.schedule.ask import Ask
from paddock.core.schedule.expressions import host_values, parse
from paddock.core.schedule.filters import FILTERS, Refusal, satisfied
from paddock.core.schedule.fleet import UNBOUNDED, Fleet, Ints
from paddock.core.schedule.scores import binpack, spread


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`where`: positions in the fleet, one per unit placed, in the order the units get them; maybe fewer than wanted.

    `reason` and `details` say why the rest got none; `because` why those placed are where they are.
    """

    where: list[int]
    because: str = ""
    reason: str = ""
    details: tuple[str, ...] = ()


def place(fleet: Fleet, ask: Ask, wanted: int) -> Outcome:
    """Where `wanted` units of the ask go. Changes nothing: the caller takes what it uses from the fleet."""
    room, refused = _room(fleet, ask)
    where = _ordered(fleet, ask, room, wanted)
    because = _because(ask, int((room > 0).sum()), len(fleet)) if len(where) else ""
    if len(where) == wanted:
        return Outcome(where=where.tolist(), because=because)
    details = explain(refused, len(fleet))
    return Outcome(where=where.tolist(), because=because, reason=_sentence(details), details=details)


def refusal(fleet: Fleet, ask: Ask, position: int) -> Refusal | None:
    """Why one host cannot take one unit of the ask; None if it can."""
    only = np.arange(len(fleet)) == position
    for filter in FILTERS:
        for found in filter(fleet, ask, only):
            if found.room[position] <= 0:
                return found.refusal
    return None


def _room(fleet: Fleet, ask: Ask) -> tuple[Ints, list[tuple[Refusal, int]]]:
    room = np.full(len(fleet), UNBOUNDED, dtype=np.int64)
    refused: list[tuple[Refusal, int]] = []
    for filter in FILTERS:
        for found in filter(fleet, ask, room > 0):
            newly = int(((found.room <= 0) & (room > 0)).sum())
            if newly:
                refused.append((found.refusal, newly))
            room = np.minimum(room, np.maximum(found.room, 0))
    return room, refused


def explain(refused: list[tuple[Refusal, int]], hosts: int) -> tuple[str, ...]:
    """`3 hosts: memory (need 512 MiB, …)`, most hosts first."""
    if not hosts:
        return ("there is no host in this environment",)
    counted: Counter[str] = Counter()
    for reason, count in refused:
        counted[str(reason)] += count
    ordered = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(f"{count} {'host' if count == 1 else 'hosts'}: {reason}" for reason, count in ordered)


def _sentence(details: tuple[str, ...]) -> str:
    return f"no host can take it: {', '.join(details)}"


def _because(ask: Ask, fitting: int, hosts: int) -> str:
    fit = f"{fitting} of {hosts} {'host' if hosts == 1 else 'hosts'} could take it"
    if ask.pins:
        return f"{fit}; {'; '.join(pin.why for pin in ask.pins)}"
    if fitting == 1:
        return f"{fit}, only this one"
    if ask.spec.placement.strategy == "binpack":
        return f"{fit}; bin-packed onto the fullest"
    over = "".join(f" over {preference}," for preference in ask.spec.placement.preferences)
    return f"{fit}; spread{over.rstrip(',')}: fewest units of {ask.spec.name}, then fewest units for its size"


def _ordered(fleet: Fleet, ask: Ask, room: Ints, wanted: int) -> Ints:
    """Tier by tier: hosts that meet every soft wish and where it has not failed of late come first."""
    tiers = _tiers(fleet, ask)
    found: list[Ints] = []
    left = wanted
    for tier in np.unique(tiers[room > 0]).tolist():
        those = np.nonzero((tiers == tier) & (room > 0))[0]
        chosen = those[_scored(fleet, ask, room, those, left)]
        found.append(chosen)
        left -= len(chosen)
        if left <= 0:
            break
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _tiers(fleet: Fleet, ask: Ask) -> Ints:
    tiers = ask.failures * 1000
    for text in ask.spec.placement.constraints:
        expression = parse(text)
        if expression is not None and expression.soft:
            tiers = tiers + ~satisfied(fleet, expression)
    for presence in ask.presences:
        if presence.soft and not presence.own:
            tiers = tiers + (presence.there != presence.equal)
        elif presence.soft and not presence.equal:
            tiers = tiers + (ask.own > 0)
        elif presence.soft:
            tiers = tiers + (ask.own == 0)
    return tiers


def _scored(fleet: Fleet, ask: Ask, room: Ints, those: Ints, wanted: int) -> Ints:
    placement = ask.spec.placement
    if placement.strategy == "binpack":
        memory = fleet.memory_taken[those] / np.maximum(fleet.memory_bytes[those], 1)
        cpu = fleet.cpu_taken[those] / np.maximum(fleet.cpu_milli[those], 1)
        return binpack(room[those], np.maximum(memory, cpu), fleet.units[those], wanted)
    size = np.maximum(fleet.cpu_milli[those] / 1000.0, 1.0)
    groups = [_groups(fleet, preference)[those] for preference in placement.preferences]
    # What is about to leave would be made room for, and the hosts it leaves be empty in the end.
    own, units = (ask.own - ask.leaving)[those], (fleet.units - ask.leaving)[those]
    return spread(room[those], own, units, size, groups, wanted)


def _groups(fleet: Fleet, preference: str) -> Ints:
    """Hosts with the same value of the attribute carry the same number; those without it form a group of their own."""
    key = preference.removeprefix("spread=")
    known: Ints | None = fleet.remembered(f"spread={key}")
    if known is None:
        values = [(host_values(host, key) or ("",))[0] for host in fleet.hosts]
        number = {value: at for at, value in enumerate(sorted(dict.fromkeys(values)))}
        known = np.array([number[value] for value in values], dtype=np.int64)
        fleet.remember(f"spread={key}", known)
    return known
