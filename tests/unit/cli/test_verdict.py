"""Whether `up` is done, waits or has failed, decided from views."""

from __future__ import annotations

from typing import Any

import pytest

from paddock.cli.verdict import PROVEN_S, SETTLE_S, STALL_S, STEADY_S, Wish, progress, verdict
from paddock.model.objects import ContainerStatus, RevisionId, Rollout, Waiting
from paddock.wire.api import ContainerView, ServiceView
from unit.cli.views import container, service


def outcome(
    services: list[ServiceView],
    containers: list[ContainerView],
    *,
    wish: Wish = "running",
    stalled_s: float = 0,
    **rest: Any,
) -> tuple[str, str]:
    found = verdict(progress(services, containers, wish=wish, earlier=rest.get("earlier", {})), stalled_s)
    return found.outcome, "\n".join(found.reasons)


def failed(slot: int, generation: int, **changes: Any) -> ContainerView:
    status = ContainerStatus(id="x", exit_code=3)
    return container(slot, generation=generation, state="failed", status=status, since_s=float(generation), **changes)


WAITING = Waiting(reason="no host has 8 GiB left")


@pytest.mark.parametrize(
    ("view", "wish", "expected"),
    [
        (service(), "running", "done"),
        (service(state="stopped", running=0, ready=0), "running", "done"),
        (service(state="complete", running=0, ready=0), "running", "done"),
        (service(replicas=0, running=0, ready=0), "running", "done"),
        (service(state="converging", ready=0), "running", "done"),
        (service(state="converging", ready=0), "ready", "waiting"),
        (service(state="converging", running=1), "running", "waiting"),
        (service(state="updating"), "running", "waiting"),
        (service(state="converging", replicas=1), "running", "waiting"),
        (service(replicas=1), "running", "waiting"),
        (service(mode="global", replicas=1), "running", "done"),
        (service(), "stopped", "waiting"),
        (service(state="converging"), "stopped", "waiting"),
        (service(state="stopped", running=0, ready=0), "stopped", "done"),
        (service(state="converging", mode="global", replicas=1, running=1), "running", "waiting"),
        (service(state="waiting", waiting=WAITING), "running", "waiting"),
    ],
)
def test_of_one_service(view: ServiceView, wish: Wish, expected: str) -> None:
    assert outcome([view], [], wish=wish)[0] == expected


def test_all_services_must_be_there() -> None:
    assert outcome([service(), service("db", state="converging", running=0)], [])[0] == "waiting"


def test_five_bad_ends_of_a_slot_are_a_failure() -> None:
    """Only the last generations are still known to the server."""
    view = service(state="degraded", running=1)
    assert outcome([view], [failed(1, 3), failed(1, 4)])[0] == "waiting"
    assert outcome([view], [failed(1, 4), failed(1, 5)]) == (
        "failed",
        "shop/api: shop-api-1 ended with exit code 3, 5 times",
    )


def test_bad_ends_of_before_do_not_count() -> None:
    ends = [failed(1, generation) for generation in (6, 7)]
    assert outcome([service(state="degraded", running=1)], ends, earlier={"shop/api.1": 5})[0] == "waiting"


def test_the_engines_own_restarts_count_too() -> None:
    again = container(1, status=ContainerStatus(id="x", state="running", restarts=5))
    assert outcome([service(state="degraded", running=1)], [again])[0] == "failed"


def test_a_missing_image_says_so() -> None:
    ends = [container(1, generation=3, state="rejected", message="no such image: shop/api:3")]
    result = outcome([service(state="degraded", running=1)], ends)
    assert result == ("failed", "shop/api: shop-api-1: no such image: shop/api:3, 3 times")


def test_what_ended_badly_must_run_for_a_while() -> None:
    again = [failed(1, 1), container(1, generation=2)]
    assert outcome([service()], again)[0] == "waiting"
    assert outcome([service()], again, stalled_s=STEADY_S)[0] == "done"


def test_a_restart_that_was_asked_for_is_no_bad_end() -> None:
    assert outcome([service()], [container(1, generation=8)], earlier={"shop/api.1": 7})[0] == "done"


def test_ready_without_a_healthcheck_is_proven_by_staying_up() -> None:
    """`restart: always` and a command that ends at once: it was seen running too."""
    new = [container(1)]
    assert outcome([service()], new)[0] == "done"
    assert outcome([service()], new, wish="ready")[0] == "waiting"
    assert outcome([service()], new, wish="ready", stalled_s=PROVEN_S)[0] == "done"
    assert outcome([service()], new, wish="ready", earlier={"shop/api.1": 1})[0] == "done"
    checked = ContainerStatus(id="x", state="running", health="healthy")
    assert outcome([service()], [container(1, status=checked)], wish="ready")[0] == "done"


def test_what_crashed_before_the_change_and_goes_on_crashing_is_not_waited_for() -> None:
    view = service(state="converging", ready=0)
    status = ContainerStatus(id="x", state="restarting", restarts=9)
    again = container(1, status=status, ready=False, message="shop-api-1 ended with exit code 1")
    rest: dict[str, Any] = {"wish": "ready", "earlier": {"shop/api.1": 1}}
    assert outcome([view], [again], stalled_s=STALL_S - 1, **rest)[0] == "waiting"
    assert outcome([view], [again], stalled_s=STALL_S, **rest) == (
        "failed",
        "shop/api: shop-api-1 ended with exit code 1",
    )


def test_an_earlier_rollback_is_not_held_against_it() -> None:
    rollout = Rollout(
        target=RevisionId("b"), origin=RevisionId("a"), state="rolled-back", message="all new units failed"
    )
    assert outcome([service(rollout=rollout)], [container(1)], earlier={"shop/api.1": 1})[0] == "done"
    assert outcome([service(rollout=rollout)], [container(1)])[0] == "failed"


def test_failed_counts_once_nothing_moves_any_more() -> None:
    view = service(state="failed", running=0, ready=0)
    assert outcome([view], [failed(1, 1)])[0] == "waiting"
    result = outcome([view], [failed(1, 1)], stalled_s=SETTLE_S)
    assert result == ("failed", "shop/api: shop-api-1 ended with exit code 3")


def test_paused_update_is_a_failure_with_its_message() -> None:
    rollout = Rollout(target=RevisionId("b"), origin=RevisionId("a"), state="paused", message="2 of 2 new units failed")
    view = service(state="paused", rollout=rollout)
    assert outcome([view], []) == ("failed", "shop/api: 2 of 2 new units failed")


def test_no_room_is_told_after_a_while() -> None:
    view = service(state="waiting", waiting=WAITING, running=1)
    assert outcome([view], [], stalled_s=STALL_S - 1)[0] == "waiting"
    assert outcome([view], [], stalled_s=STALL_S) == ("failed", "shop/api still waits: no host has 8 GiB left")


def test_slow_pulls_are_waited_for() -> None:
    view = service(state="converging", running=0, ready=0)
    preparing = [container(1, state="preparing")]
    assert outcome([view], preparing, stalled_s=10 * STALL_S)[0] == "waiting"
    (row,) = progress([view], preparing, wish="running", earlier={})
    assert row.waits_for == "preparing"
