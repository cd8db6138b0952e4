"""Whether what was asked for has come about: decided from the server's views alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from paddock.wire.api import ContainerView, ServiceView

FAILURES = 5
"""How often a container may end badly, since the change, before it is called a failure."""

REFUSALS = 3
"""The same where its host could not even make it: no such image, a port taken."""

STEADY_S = 5.0
"""How long what has ended badly once must run before it counts as running."""

PROVEN_S = 2.0
"""How long what has no healthcheck must run, where `ready` is asked for: one that ends at once was seen running too."""

STALL_S = 15.0
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
    shaky: bool = False
    """It has ended badly since the change, so that running now may not last."""
    unproven: bool = False
    """It counts as ready only because it runs, and that may be the moment between two ends."""
    crashing: str = ""
    """Its engine starts it again and again, from before the change on, and it is not ready."""
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
    bad_ends = _bad_ends(recent, earlier)
    unplaced = view.waiting is not None or any(each.waiting and not each.host for each in containers)
    failed = _failure(view, recent, bad_ends)
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
        shaky=bad_ends > 0,
        unproven=wish == "ready" and any(_unproven(each, earlier) for each in containers),
        crashing="" if done or wish != "ready" else _crashing(containers),
        stalled=unplaced and not done,
    )


def _unproven(view: ContainerView, earlier: Mapping[str, int]) -> bool:
    if view.state != "running" or view.status.health:
        return False
    return view.status.restarts > 0 or view.generation > earlier.get(slot_of(view), 0)


def _crashing(containers: list[ContainerView]) -> str:
    looping = [each for each in containers if each.message and each.status.restarts >= FAILURES]
    return looping[0].message if looping else ""


def _is_done(view: ServiceView, containers: list[ContainerView], wish: Wish) -> bool:
    """All run, whatever their health says: unless `ready` is asked for, or the service has one on every host."""
    too_many = view.running > view.replicas and not view.mode.startswith("global")
    if view.state in _SETTLED:
        return not too_many and (wish != "stopped" or view.state != "running")
    if wish != "running" or view.mode.startswith("global") or view.state in _UNSETTLED:
        return False
    complete = sum(1 for each in containers if each.state == "complete")
    return not too_many and view.running + complete >= view.replicas


def slot_of(view: ContainerView) -> str:
    return f"{view.stack}/{view.service}.{view.slot}"


def _bad_ends(recent: list[ContainerView], earlier: Mapping[str, int]) -> int:
    """Of the slot that has most of them. The server forgets old generations, so it is their numbers that are counted;
    where the engine itself starts containers again, its count is added."""
    most = 0
    for each in recent:
        tries = each.generation - earlier.get(slot_of(each), 0)
        over = 0 if each.state in _BAD else 1
        most = max(most, tries - over + each.status.restarts)
    return most


def _failure(view: ServiceView, recent: list[ContainerView], bad_ends: int) -> str:
    ended_badly = [each for each in recent if each.state in _BAD]
    if view.rollout and view.rollout.state in ("paused", "rolling-back"):
        return view.rollout.message or f"its update is {view.rollout.state}"
    if view.rollout and view.rollout.state == "rolled-back" and recent:
        return view.rollout.message or "its update was rolled back"
    refused = any(each.state == "rejected" for each in ended_badly)
    if bad_ends >= (REFUSALS if refused else FAILURES):
        words = _last_words(ended_badly or recent)
        return f"{words}, {bad_ends} times"
    return ""


def _last_words(ended: list[ContainerView]) -> str:
    if not ended:
        return ""
    last = max(ended, key=lambda each: (each.since_s, each.generation))
    if last.message:
        return last.message if last.message.startswith(last.name) else f"{last.name}: {last.message}"
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
        return next((each.message for each in containers if each.message and not each.ready), "waiting to be healthy")
    if view.state in _UNSETTLED:
        return view.state
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
    if all(row.done and stalled_for_s >= _steady_s(row) for row in rows):
        return Verdict("done")
    open_rows = [row for row in rows if not row.done]
    if open_rows and stalled_for_s >= STALL_S and all(row.stalled or row.crashing for row in open_rows):
        return Verdict("failed", tuple(_still(row) for row in open_rows))
    return Verdict("waiting")


def _steady_s(row: Progress) -> float:
    if row.shaky:
        return STEADY_S
    return PROVEN_S if row.unproven else 0.0


def _still(row: Progress) -> str:
    return f"{row.service}: {row.crashing}" if row.crashing else f"{row.service} still waits: {row.waits_for}"
