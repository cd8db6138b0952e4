"""Which hosts are lost, and whether so many went at once that nothing may be moved.

The breaker opens when hosts that fell silent within `TOGETHER_S` of one another are at least two and more than half of
those that were there: then it is likelier that the server, or the network between, has failed than that most machines
have. So one of two hosts lost is moved away from, and so are two of five, but not two of two or two of three. It closes
when that is no longer so. An operator's "overridden" holds for this outage only.
"""

from __future__ import annotations

import msgspec

from paddock.core.draft import Draft
from paddock.model.changes import Put
from paddock.model.objects import Environment, Host, HostState

LOST_AFTER_S = 10.0
"""From the last word, which is what a silent host's `since_s` says. The wire's constant of that name is the same."""
TOGETHER_S = 60.0


def hosts(draft: Draft, environment: Environment) -> None:
    there = draft.hosts(environment.id)
    lost: list[Host] = []
    for host in there:
        if host.state is HostState.SILENT:
            if draft.now_s - host.since_s >= LOST_AFTER_S:
                lost.append(host)
            else:
                draft.wake(host.since_s + LOST_AFTER_S)
    if lost or environment.breaker != "closed":
        _breaker(draft, environment, bool(lost))
    for host in lost:
        gone = msgspec.structs.replace(host, state=HostState.LOST, since_s=draft.now_s)
        draft.apply([Put(object=gone, reason=f"not heard of for {LOST_AFTER_S:g} s")])


def _breaker(draft: Draft, environment: Environment, losing: bool) -> None:
    since_s = environment.breaker_since_s if environment.breaker != "closed" else draft.now_s
    fallen, active = _fallen(draft, environment, since_s)
    most = len(fallen) >= 2 and len(fallen) > active
    if environment.breaker == "closed" and losing and most:
        names = ", ".join(host.name for host in fallen[:5]) + (" and more" if len(fallen) > 5 else "")
        reason = f"{len(fallen)} of {len(fallen) + active} hosts fell silent together ({names})"
        opened = msgspec.structs.replace(
            environment, breaker="open", breaker_reason=reason, breaker_since_s=draft.now_s
        )
        draft.apply([Put(object=opened, reason=f"{reason}: nothing is moved until most are back")])
    elif environment.breaker != "closed" and not most:
        closed = msgspec.structs.replace(environment, breaker="closed", breaker_reason="", breaker_since_s=0.0)
        draft.apply([Put(object=closed, reason=f"{active} hosts answer, {len(fallen)} do not")])


def _fallen(draft: Draft, environment: Environment, since_s: float) -> tuple[list[Host], int]:
    """Hosts that fell together with this outage, and how many answer."""
    fallen: list[Host] = []
    active = 0
    for host in draft.hosts(environment.id):
        if host.state is HostState.ACTIVE:
            active += 1
        elif host.state in (HostState.SILENT, HostState.LOST) and host.since_s >= since_s - TOGETHER_S:
            fallen.append(host)
    return fallen, active
