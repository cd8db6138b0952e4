"""One cluster for all the tests that need one: making it takes longer than most of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import Lab
from docker_client import Docker


@pytest.fixture(scope="session")
def session_lab() -> Iterator[Lab]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("CLUSTER NOT TESTED: needs Linux and root")
    with cluster_lab.lab() as this:
        yield this


@pytest.fixture
def lab(session_lab: Lab) -> Lab:
    """All hosts are active when a test begins, whatever the one before did."""
    session_lab.all_active()
    return session_lab


@pytest.fixture
def path(lab: Lab) -> Path:
    """The cluster's Docker socket."""
    return lab.ground.root / "server" / "docker.sock"


@pytest.fixture
def docker(path: Path, tmp_path: Path) -> Iterator[Docker]:
    """docker against the cluster. What a test leaves behind is removed."""
    client = Docker(path, tmp_path / "docker")
    yield client
    names = client("ps", "-aq").stdout.split()
    if names:
        client("rm", "-f", "-v", *names)
    client("network", "prune", "-f")
    client("volume", "prune", "-f", "--all")


LAST_LINES = 12


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failure comes with what the cluster said last: its logs go with it."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    lab = getattr(item, "funcargs", {}).get("session_lab")
    if report.failed and lab is not None:
        for log in sorted(lab.ground.root.glob("**/log/*.log")):
            if log.stem in ("server", "agent"):
                lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
                where = str(log.relative_to(lab.ground.root))
                report.sections.append((where, "\n".join(line[:300] for line in lines)))
