"""Hosts that lose their power or their network, and return."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, Stack, nothing_double, settled
from paddock.agent.agent import ENGINE_GRACE_S
from waiting import until

pytestmark = pytest.mark.engines

MOVED_WITHIN_S = 15.0
APP = f"""
services:
  web:{SLEEP}
    deploy: {{replicas: 3}}
  data:{SLEEP}
    volumes: ["kept:/data"]
volumes:
  kept:
"""


@pytest.fixture
def app(lab: Lab, tmp_path: Path) -> Iterator[Stack]:
    with cluster_lab.stack(lab, "app", tmp_path, APP) as this:
        this.runs()
        assert len({view.host for view in this.running("web")}) == 3
        yield this
        for host in lab.hosts:
            lab.ground.heal(host)
            lab.ground.start(host)
        lab.all_active()


def test_a_host_loses_its_power_and_returns(app: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    lab = app.lab
    data = app.one("data")
    before = time.monotonic()
    lab.ground.kill(data.host)
    until(lambda: elsewhere(app, "web", data.host, 3), "the movable ones run elsewhere", MOVED_WITHIN_S + 15)
    took_s = time.monotonic() - before
    with capsys.disabled():
        print(f"\nkill -> running elsewhere: {took_s:.1f} s")
    assert took_s <= MOVED_WITHIN_S
    until(lambda: lab.host(data.host).state == "lost", "the host is known to be lost")
    explained = lab.done("explain", "app-data-1")
    assert "kept" in explained, explained
    assert data.host in explained
    assert "unknown" in lab.done("ps", "app/data")
    assert lab.service("app", "data").ready == 0
    lab.ground.start(data.host)
    lab.all_active()
    until(lambda: nothing_double(app, 4), "the host shed what was no longer its own", 30)
    until(lambda: settled(app, "data", 1) and settled(app, "web", 3), "all is as wished", 30)
    assert app.one("data").host == data.host


def test_a_host_is_cut_off_and_healed(app: Stack) -> None:
    lab = app.lab
    host = app.one("data").host
    on_it = lab.on_engines("app", (host,))
    lab.ground.cut(host)
    until(lambda: elsewhere(app, "web", host, 3), "the movable ones run elsewhere too", MOVED_WITHIN_S + 15)
    assert lab.on_engines("app", (host,)) == on_it
    lab.ground.heal(host)
    lab.all_active()
    until(lambda: nothing_double(app, 4), "no doubles are left", 30)
    until(lambda: settled(app, "web", 3) and settled(app, "data", 1), "all is as wished", 30)


def test_most_hosts_lost_moves_nothing_until_overridden(app: Stack) -> None:
    lab = app.lab
    keep = next(host for host in lab.hosts if host != app.one("data").host)
    gone = [host for host in lab.hosts if host != keep]
    for host in gone:
        lab.ground.cut(host)
    until(lambda: lab.default_environment().breaker == "open", "the breaker opens", 30)
    until(lambda: all(lab.host(host).state == "lost" for host in gone), "both are lost", 30)
    assert {view.host for view in app.running()} == {keep}
    assert set(lab.on_engines("app", (keep,))) <= {view.id for view in app.running() if view.host == keep}
    assert "nothing is moved" in lab.done("explain", "app")
    lab.done("environments", "override")
    until(lambda: len(lab.on_engines("app", (keep,))) >= 3, "they move now", 30)
    for host in gone:
        lab.ground.heal(host)
    lab.all_active()
    until(lambda: nothing_double(app, 4), "no doubles are left", 30)
    assert lab.default_environment().breaker == "closed"


def elsewhere(stack: Stack, service: str, host: str, number: int) -> bool:
    running = [view for view in stack.running(service) if view.host != host]
    return len(running) == number and {view.id for view in running} <= set(
        stack.lab.on_engines(stack.name, tuple(other for other in stack.lab.hosts if other != host))
    )


def test_a_host_whose_engine_stays_away_is_as_good_as_lost(app: Stack) -> None:
    lab = app.lab
    host = app.one("data").host
    lab.end(host, "engine")
    until(
        lambda: elsewhere(app, "web", host, 3), "the movable ones run elsewhere", ENGINE_GRACE_S + MOVED_WITHIN_S + 15
    )
    assert "its engine has not answered" in lab.done("events")
    lab.revive(host)
    lab.all_active()
    until(lambda: nothing_double(app, 4), "no doubles are left", 30)
    until(lambda: settled(app, "web", 3) and settled(app, "data", 1), "all is as wished", 30)
