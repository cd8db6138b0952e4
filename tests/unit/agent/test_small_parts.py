"""Files on tmpfs, facts of the machine, reports in waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddock.agent.facts import subnets
from paddock.agent.files import on_tmpfs
from paddock.agent.reports import Reports
from paddock.drivers.docker_body import seconds, split_image
from paddock.drivers.docker_pull import PullProgress, pull_error
from paddock.drivers.engine import StepRefused
from paddock.model.errors import Transient
from paddock.model.objects import UnitId, UnitState
from paddock.model.reports import UnitReport

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t017B7B0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t007B0A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
pdk4d\t0000620A\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0
"""


def test_subnets_are_the_hosts_own() -> None:
    assert subnets(ROUTES) == ("10.10.123.0/24", "172.17.0.0/16")


def test_tmpfs_is_told_from_a_disk(tmp_path: Path) -> None:
    assert on_tmpfs(Path("/dev/shm"))
    assert not on_tmpfs(Path("/usr"))


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("redis", "redis", "latest"),
        ("redis:7", "redis", "7"),
        ("host:5000/a/b", "host:5000/a/b", "latest"),
        ("host:5000/a/b:1", "host:5000/a/b", "1"),
        ("a@sha256:abc", "a", "sha256:abc"),
    ],
)
def test_image_references(reference: str, name: str, tag: str) -> None:
    assert split_image(reference) == {"fromImage": name, "tag": tag}


def test_times_of_the_engine() -> None:
    assert seconds("0001-01-01T00:00:00Z") == 0.0
    assert seconds("") == 0.0
    assert seconds("2026-01-01T00:00:00.123456789Z") == pytest.approx(1767225600.123456)
    assert seconds("2026-01-01T01:00:00+01:00") == 1767225600.0


def test_a_pull_speaks_at_every_tenth() -> None:
    progress = PullProgress("a:1")
    said = [
        progress.hear({"id": "l1", "status": "Downloading", "progressDetail": {"current": n, "total": 100}})
        for n in range(101)
    ]
    words = [word for word in said if word]
    assert words[0] == "pulling a:1: 0 %"
    assert words[-1] == "pulling a:1: 100 %"
    assert len(words) == 11


def test_a_registry_that_is_away_is_not_an_image_that_is_not_there() -> None:
    assert isinstance(pull_error("a:1", "Get https://x/v2/: dial tcp: lookup x: no such host", StepRefused), Transient)
    assert isinstance(pull_error("a:1", "manifest for a:1 not found: manifest unknown", StepRefused), StepRefused)


def test_only_the_newest_report_of_a_unit_waits() -> None:
    reports = Reports()
    for state in (UnitState.PREPARING, UnitState.RUNNING):
        reports.put(UnitReport(unit=UnitId("a"), state=state))
    taken = reports.take()
    assert taken == (1, (UnitReport(unit=UnitId("a"), state=UnitState.RUNNING),), ())
    assert reports.take() is None
    reports.forget(UnitId("a"))
    reports.begin_session()
    assert reports.take() is None
