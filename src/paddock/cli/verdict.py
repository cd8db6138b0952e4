"""Whether what was asked for has come about: decided from the server's views alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from paddock.wire.api import ContainerView, ServiceView

FAILURES = 3
"""Generations of one slot that may end badly, since the change, before it is called a failure."""

STALL_S = 30.0
"""How long units may find no host before the command says so and ends; the wish stays."""

SETTLE_S = 3.0
"""A service that says "failed" for this long has nothing in store that could still help it."""

_SETTLED = ("running", "complete", "stopped")
_UNSETTLED = ("updating", "waiting", "removing", "paused")
_BAD = ("failed", "rejected")


class Progress(NamedTuple):
    """One service. `waits_for` is why it is not there yet; `failed` why it will not come by itself."""

    service: str
    wanted: int
    running: int
    ready: int
    state: str
    waits_for: str = ""
    failed: str = ""
    done: bool = False
    ended: str = ""
    """Why it looks as if it had failed, though it may be about to be tried again."""
    stalled: bool = False
    """Units have no host: only the cluster can change that."""


Wish = Literal["running", "ready", "stopped"]
"""What services are to come to. `ready`: their healthchecks say so too."""


def progress(
    services: Sequence[ServiceView], containers: Sequence[ContainerView], *, wish: Wish, earlier: Mapping[str, int]
) -> list[Progress]:
    """`earlier`: unit slot (`stack/service.slot`) -> generation before the change."""
    return [
        _service(
            view, [each for each in containers if (each.stack, each.service) == (view.stack, view.name)], wish, earlier
        )
        for view in sorted(services, key=lambda view: (view.stack, view.name))
    ]


def _service(view: ServiceView, containers: list[ContainerView], wish: Wish, earlier: Mapping[str, int]) -> Progress:
    recent = [each for each in containers if each.generation > earlier.get(slot_of(each), 0)]
    ended_badly = [each for each in recent if each.state in _BAD]
    unplaced = view.waiting is not None or any(each.waiting and not each.host for each in containers)
    failed = _failure(view, ended_badly)
    done = not failed and _is_done(view, containers, wish)
    return Progress(
        service=f"{view.stack}/{view.name}",
        wanted=view.replicas,
        running=view.running,
        ready=view.ready,
        state=view.state,
        waits_for="" if done else _reason(view, containers, wish),
        failed=failed,
        done=done,
        ended=_last_words(ended_badly) or "it failed" if view.state == "failed" else "",
        stalled=unplaced and not done,
    )


def _is_done(view: ServiceView, containers: list[ContainerView], wish: Wish) -> bool:
    """All run, whatever their health says: unless `ready` is asked for, or the service has one on every host."""
    if view.state in _SETTLED:
        return wish != "stopped" or view.state != "running"
    if wish != "running" or view.mode.startswith("global") or view.state in _UNSETTLED:
        return False
    complete = sum(1 for each in containers if each.state == "complete")
    return view.running <= view.replicas <= view.running + complete


def slot_of(view: ContainerView) -> str:
    return f"{view.stack}/{view.service}.{view.slot}"


def _failure(view: ServiceView, ended_badly: list[ContainerView]) -> str:
    if view.rollout and view.rollout.state in ("paused", "rolled-back", "rolling-back"):
        return view.rollout.message or f"its update is {view.rollout.state}"
    slots = [each.slot for each in ended_badly]
    if any(slots.count(slot) >= FAILURES for slot in slots):
        return f"{_last_words(ended_badly)}, {FAILURES} times"
    return ""


def _last_words(ended: list[ContainerView]) -> str:
    if not ended:
        return ""
    last = max(ended, key=lambda each: (each.since_s, each.generation))
    if last.message:
        return f"{last.name}: {last.message}"
    code = last.status.exit_code
    return f"{last.name} ended with exit code {code}" if code is not None else f"{last.name} {last.state}"


def _reason(view: ServiceView, containers: list[ContainerView], wish: Wish) -> str:
    if view.waiting:
        return view.waiting.reason
    for each in containers:
        if each.waiting:
            return each.waiting.reason
    for each in containers:
        if each.message and each.state not in ("running", "complete"):
            return each.message
    states = sorted({each.state for each in containers if each.desired == "run" and each.state not in _SETTLED})
    if states:
        return ", ".join(states)
    if view.running == view.replicas and wish == "ready":
        return "waiting to be healthy"
    return "starting" if view.running < view.replicas else "stopping"


class Verdict(NamedTuple):
    outcome: Literal["done", "failed", "waiting"]
    reasons: tuple[str, ...] = ()


def verdict(rows: Sequence[Progress], stalled_for_s: float) -> Verdict:
    """`stalled_for_s`: how long nothing has moved."""
    settled = stalled_for_s >= SETTLE_S
    failures = [f"{row.service}: {row.failed or row.ended}" for row in rows if row.failed or (row.ended and settled)]
    if failures:
        return Verdict("failed", tuple(failures))
    if all(row.done for row in rows):
        return Verdict("done")
    open_rows = [row for row in rows if not row.done]
    if stalled_for_s >= STALL_S and all(row.stalled for row in open_rows):
        return Verdict("failed", tuple(f"{row.service} still waits: {row.waits_for}" for row in open_rows))
    return Verdict("waiting")
