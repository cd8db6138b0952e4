"""Commands against a server of the API: what is asked of it, what is printed where, and how they end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddock.cli.app import run
from paddock.model.objects import ContainerStatus
from paddock.wire.api import Accepted, Applied, ContainerView, EventView, LogLine, PlannedChange
from unit.cli import views
from unit.cli.served import Error, Lines, Served, served
from unit.cli.views import container, service

COMPOSE = "services:\n  api:\n    image: busybox\n    scale: 2\n"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    for name in [name for name in os.environ if name.startswith(("PADDOCK_", "COMPOSE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PADDOCK_CONFIG", str(tmp_path / "config.json"))
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    Path("compose.yaml").write_text(COMPOSE)
    with served(tmp_path / "server") as one:
        for name, value in one.variables.items():
            monkeypatch.setenv(name, value)
        one.answer("GET /containers", [])
        one.answer("GET /events", Lines(hold=True))
        yield one


def command(*arguments: str) -> int:
    return run(list(arguments), {})


def test_listing_as_json_is_the_views(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("GET /hosts", list(views.HOSTS))
    assert command("hosts", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(host["name"], host["state"]) for host in told] == [("h1", "active"), ("h2", "lost")]


def test_what_the_server_refuses_is_told(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("GET /hosts", Error(403, "forbidden", "this key may not do that"))
    assert command("hosts") == 2
    assert capsys.readouterr().err == "paddock: this key may not do that\n"


def test_a_server_that_is_away_is_a_failure(
    server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDOCK_SERVER", "https://127.0.0.1:1")
    assert command("hosts") == 1
    assert "cannot be reached" in capsys.readouterr().err


def plan(action: Any = "create") -> tuple[PlannedChange, ...]:
    return (PlannedChange(action=action, kind="service", name="shop/api", reason="the file has it"),)


def test_dry_run_prints_the_plan_and_changes_nothing(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("PUT /stacks/shop", Applied(version=3, plan=plan(), dry_run=True, warnings=("mind the gap",)))
    assert command("up", "--dry-run") == 0
    told = capsys.readouterr()
    assert told.out == "+ service shop/api: the file has it\n"
    assert told.err == "warning: mind the gap\n"
    ((call, body),) = server.calls
    assert call == "PUT /stacks/shop?dry_run=true&remove_orphans=false"
    assert body["services"]["api"]["replicas"] == 2


def event(version: int) -> EventView:
    return EventView(
        version=version, at_s=0, action="change", kind="container", id="u", name="shop-api-1", reason="started",
        stack="shop", service="api",
    )  # fmt: skip


class Unfolding:
    """Each look at the services shows the next state; the last one stays."""

    def __init__(self, *states: Any) -> None:
        self.states = list(states)

    def __call__(self, body: Any) -> Any:
        del body
        return [self.states.pop(0) if len(self.states) > 1 else self.states[0]]


def test_up_follows_until_all_run(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    starting = service(state="converging", running=0, ready=0)
    server.answer("PUT /stacks/shop", Applied(version=3, plan=plan()))
    server.answer("GET /events", Lines(event(4), event(5), hold=True))
    server.answer("GET /services", Unfolding(starting, service(state="converging", ready=0)))
    assert command("up", "-d", "--scale", "api=2") == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "shop/api: 0/2 running (starting)\nshop/api: 2/2 running, 0 ready\n"


def test_wait_wants_health_too_and_gives_up_in_time(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("PUT /stacks/shop", Applied(version=3, plan=()))
    server.answer("GET /services", Unfolding(service(state="converging", ready=0)))
    assert command("up", "--wait", "--wait-timeout", "0.3") == 1
    assert "paddock: not there after 0.3 s (paddock explain shop" in capsys.readouterr().err


def test_up_fails_with_the_reason(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    def rejected(generation: int) -> ContainerView:
        return container(1, generation=generation, state="rejected", message="no such image: busybox")

    looks = iter([[], [rejected(2), rejected(3)]])
    server.answer("PUT /stacks/shop", Applied(version=3, plan=()))
    server.answer("GET /containers", lambda body: next(looks))
    server.answer("GET /services", [service(state="degraded", running=0, ready=0)])
    assert command("up", "-d") == 1
    assert "shop/api: shop-api-1: no such image: busybox, 3 times" in capsys.readouterr().err


def test_scale_asks_and_follows(server: Served) -> None:
    server.answer("GET /services", [service(), service("db")])
    server.answer("POST /services/shop/api/scale", Accepted(version=9))
    assert command("scale", "shop/api=2") == 0
    assert ("POST /services/shop/api/scale", {"replicas": 2}) in server.calls
    assert command("scale", "nope=2") == 2
    assert command("scale", "api=2", "-d") == 0


def test_down_waits_until_it_is_gone(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    looks = iter([views.STACKS[0], Error(404, "not_found", "there is no stack 'shop'")])
    server.answer("DELETE /stacks/shop", Accepted(version=9))
    server.answer("GET /stacks/shop", lambda body: next(looks))
    assert command("down", "-v") == 0
    assert ("DELETE /stacks/shop?volumes=true", None) in server.calls
    assert capsys.readouterr().err == "shop removed\n"


def line(number: int, at: str, text: str) -> LogLine:
    return LogLine(container=f"shop-api-{number}", stream="stdout", text=text, at=at)


def test_logs_are_merged_by_time(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("GET /containers", [container(1), container(2)])
    server.answer("GET /containers/shop-api-1/logs", Lines(line(1, "T1", "one"), line(1, "T4", "four")))
    server.answer("GET /containers/shop-api-2/logs", Lines(line(2, "T2", "two"), line(2, "T3", "three")))
    assert command("logs", "shop/api") == 0
    assert capsys.readouterr().out.splitlines() == [
        "shop-api-1 | one", "shop-api-2 | two", "shop-api-2 | three", "shop-api-1 | four",
    ]  # fmt: skip
    assert command("logs", "shop/api", "-t", "--no-log-prefix") == 0
    assert capsys.readouterr().out.splitlines()[0] == "T1 one"


def test_logs_of_what_is_gone_leave_the_others(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("GET /containers", [container(1), container(2)])
    server.answer("GET /containers/shop-api-2/logs", Lines(line(2, "T2", "two")))
    assert command("logs", "-p", "shop") == 0
    assert capsys.readouterr().out == "shop-api-2 | two\n"


def test_running_containers_are_not_removed_by_mistake(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    server.answer("GET /containers", [container(1)])
    server.answer("DELETE /containers/shop-api-1", Accepted(version=9))
    assert command("rm", "shop-api-1") == 2
    assert command("rm", "-f", "shop-api-1") == 0
    assert "shop-api-1 removed" in capsys.readouterr().err


def test_contexts(server: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from paddock.wire.api import Ping

    server.answer("GET /v1/ping", Ping(version="1.2", ca_fingerprint="", agents_port=1))
    key = Path("key")
    key.write_text("secret")
    where = os.environ["PADDOCK_SERVER"]
    for name in server.variables:
        monkeypatch.delenv(name)
    assert (
        command("context", "create", "home", "--server", where, "--ca", str(server.ca_file), "--key-file", "key") == 0
    )
    assert command("context", "show") == 0
    told = capsys.readouterr()
    assert f"server       {where}" in told.out
    assert "secret" not in told.out
    assert command("context", "remove", "home") == 0
    assert command("hosts") == 2


def test_stop_waits_until_all_stand_still(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = service(state="stopped", running=0, ready=0)
    server.answer("GET /services", Unfolding(service(), service(), service(state="converging"), stopped))
    server.answer("POST /services/shop/api/stop", Accepted(version=9))
    server.answer("GET /events", Lines(event(10), hold=True))
    assert command("stop", "api") == 0
    assert capsys.readouterr().err.splitlines()[-1] == "shop/api: 0/2 running"


def test_following_logs_takes_new_containers_in(server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """The first container's log ends; an event tells of a second one; the stream of events then ends with an error."""
    started = container(2, status=ContainerStatus(id="2", state="running"))
    looks = iter([[container(1)], [container(1), started]])
    second = "GET /containers/shop-api-2/logs?follow=true&tail=all"
    gone = Lines(event(4), error=Error(403, "forbidden", "enough"), until=second)
    server.answer("GET /containers", lambda body: next(looks))
    server.answer("GET /containers/shop-api-1/logs", Lines(line(1, "T1", "one")))
    server.answer("GET /containers/shop-api-2/logs", Lines(line(2, "T2", "two")))
    server.answer("GET /events", gone)
    assert command("logs", "-f", "-p", "shop") == 2
    told = capsys.readouterr()
    assert "shop-api-1 | one\n" in told.out
    assert told.err.endswith("paddock: enough\n")
    assert any(call.startswith(second) for call, _ in server.calls)
