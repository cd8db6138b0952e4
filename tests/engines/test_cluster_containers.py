"""Containers that die, by each restart policy, and those that are unhealthy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import SLEEP, Lab, Stack, nothing_double
from paddock.wire.api import ContainerView
from waiting import until

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def policies(session_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    text = "services:\n" + "".join(
        f"  {name}:{SLEEP}{more}"
        for name, more in {
            "absent": "",
            "never": '    restart: "no"\n',
            "failing": "    restart: on-failure\n",
            "always": "    restart: always\n",
            "unless": "    restart: unless-stopped\n",
            "deployed": "    deploy: {restart_policy: {condition: any, delay: 1s}}\n",
        }.items()
    )
    with cluster_lab.stack(session_lab, "policies", tmp_path_factory.mktemp("policies"), text) as this:
        this.runs()
        yield this


@pytest.mark.parametrize("service", ["absent", "failing", "always", "unless", "deployed"])
def test_killed_is_started_again(policies: Stack, service: str) -> None:
    before = policies.one(service)
    policies.lab.docker(before.host, "kill", before.id)
    until(lambda: replaced(policies, service, before), f"{service} runs again", 20)


@pytest.mark.parametrize("service", ["absent", "failing", "always", "unless", "deployed"])
def test_removed_is_made_anew(policies: Stack, service: str) -> None:
    before = policies.one(service)
    policies.lab.docker(before.host, "rm", "-f", before.id)
    after = until(lambda: replaced(policies, service, before), f"{service} runs again", 20)
    assert after is not None
    assert after is not None
    assert after.id != before.id
    assert nothing_double(policies, len(policies.running()))


def test_no_restart_stays_dead_and_says_so(policies: Stack) -> None:
    before = policies.one("never")
    policies.lab.docker(before.host, "kill", before.id)

    def over() -> bool:
        (view,) = policies.views("never", every=True)
        return view.state == "failed"

    until(over, "the container is known to be dead")
    assert "137" in policies.lab.done("ps", "-a", "policies/never")
    assert "restart policy is none" in policies.lab.done("explain", "policies-never-1")


def replaced(stack: Stack, service: str, before: ContainerView) -> ContainerView | None:
    now = [view for view in stack.running(service) if view.ready]
    if len(now) != 1 or now[0].status.started_at_s == before.status.started_at_s:
        return None
    return now[0]


def test_a_crashing_container_backs_off_and_tells(lab: Lab, tmp_path: Path) -> None:
    text = """
services:
  crash:
    image: busybox:latest
    command: ["sh", "-c", "exit 7"]
    deploy: {restart_policy: {condition: any}}
"""
    with cluster_lab.stack(lab, "crashing", tmp_path, text) as stack:
        done = stack.up("--wait")  # without it, a look at the moment that it runs is enough
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert "exit code 7" in done.stderr

        def backs_off() -> bool:
            return any(view.waiting and "backs off" in view.waiting.reason for view in stack.views("crash"))

        until(backs_off, "the back-off is told", 20)
        explained = lab.done("explain", "crashing-crash-1")
        assert "backs off for" in explained
        assert "exit code 7" in explained
        assert "exit 7" in lab.done("ps", "-a", "crashing")


def test_an_unhealthy_container_is_replaced(lab: Lab, tmp_path: Path) -> None:
    text = f"""
services:
  web:{SLEEP}
    healthcheck: {{test: ["CMD", "test", "!", "-e", "/sick"], interval: 500ms, timeout: 5s, retries: 2}}
"""
    with cluster_lab.stack(lab, "sickly", tmp_path, text) as stack:
        stack.runs("--wait")
        before = stack.one("web")
        lab.inside(before, "touch", "/sick")
        after = until(
            lambda: [view for view in stack.running("web") if view.id != before.id and view.health == "healthy"],
            "a healthy one runs instead", 30,
        )  # fmt: skip
        assert len(after) == 1
        assert "unhealthy" in lab.done("explain", "sickly/web")
