"""Views as a server would send them, with everything fixed."""

from __future__ import annotations

from typing import Any

import msgspec

from paddock.model.objects import ContainerStatus, HostFacts, RevisionId, Rollout, Waiting
from paddock.wire.api import (
    ApiKeyView,
    Applied,
    ContainerView,
    DrainAnswer,
    EnvironmentView,
    EventView,
    ExplainedStep,
    Explanation,
    HostView,
    PlannedChange,
    Reserved,
    ServiceView,
    StackView,
    StatsSample,
)

NOW = 1_700_000_000.0


def container(number: int = 1, **changes: Any) -> ContainerView:
    view = ContainerView(
        name=f"shop-api-{number}",
        id=f"{number:064x}",
        unit=f"service-a.{number}.1",
        stack="shop",
        service="api",
        slot=number,
        generation=1,
        role="",
        host="h1",
        image="shop/api:3",
        state="running",
        desired="run",
        health="",
        ready=True,
        status=ContainerStatus(id=f"{number:064x}", name=f"shop-api-{number}", state="running"),
        since_s=NOW - 200,
        created_at_s=NOW - 210,
    )
    return msgspec.structs.replace(view, **changes)


def service(name: str = "api", **changes: Any) -> ServiceView:
    view = ServiceView(
        id=f"service-{name}", stack="shop", name=name, mode="replicated", state="running", replicas=2, running=2,
        ready=2, image=f"shop/{name}:3", created_at_s=NOW - 300,
    )  # fmt: skip
    return msgspec.structs.replace(view, **changes)


CONTAINERS = (
    container(1, health="healthy", ports=("0.0.0.0:8080->80/tcp",)),
    container(2, host="h2", restarts=1),
    container(3, host="", state="new", ready=False, waiting=Waiting(reason="no host has 8 GiB left")),
    container(4, host="h3", state="failed", status=ContainerStatus(id="4", exit_code=1), since_s=NOW - 9, restarts=2),
    container(5, host="h3", state="rejected", message="no such image: shop/api:3", since_s=NOW - 3700),
    container(1, service="job", name="shop-job-1", state="complete", status=ContainerStatus(id="6", exit_code=0)),
)

SERVICES = (
    service("web", mode="global", replicas=3, running=3, ready=3, ports=("8080->80/tcp",)),
    service("api", state="waiting", replicas=3, ready=1, waiting=Waiting(reason="no host has 8 GiB left")),
    service(
        "worker",
        state="paused",
        rollout=Rollout(
            target=RevisionId("b"), origin=RevisionId("a"), state="paused", message="shop-worker-1 ended with 1"
        ),
    ),
)

STACKS = (StackView(id="stack-shop", name="shop", state="waiting", services=SERVICES, created_at_s=NOW - 90000),)

HOSTS = (
    HostView(
        id="host-1",
        name="h1",
        state="active",
        availability="active",
        since_s=NOW - 5000,
        labels={"zone": "a", "ssd": ""},
        facts=HostFacts(address="10.77.0.11", engine_version="26.1.5", cpus=4, memory_bytes=8 * 1024**3),
        reserved=Reserved(cpu_milli=1500, memory_bytes=512 * 1024**2, units=7),
    ),
    HostView(
        id="host-2",
        name="h2",
        state="lost",
        availability="active",
        since_s=NOW - 65,
        labels={},
        facts=HostFacts(address="10.77.0.12", engine_version="20.10.24", cpus=2, memory_bytes=3_600_000_000),
        reserved=Reserved(),
    ),
)

ENVIRONMENTS = (
    EnvironmentView(id="e1", name="default", pools=("10.128.0.0/10",), breaker="closed", hosts=3, stacks=1),
    EnvironmentView(
        id="e2", name="staging", pools=("10.64.0.0/12", "10.80.0.0/12"), breaker="open", breaker_reason="4 of 5 lost",
        hosts=5,
    ),
)  # fmt: skip

KEYS = (
    ApiKeyView(id="key-1", name="admin", environment="", created_at_s=NOW - 864000),
    ApiKeyView(id="key-2", name="ci", environment="staging", created_at_s=NOW - 50, expires_at_s=NOW + 7200),
    ApiKeyView(id="key-3", name="old", environment="staging", created_at_s=NOW - 864000, expires_at_s=NOW - 1),
)

SAMPLES = (
    StatsSample(
        container="shop-api-1", host="h1", cpu_percent=12.34, memory_bytes=40 * 1024**2, memory_limit_bytes=1024**3,
        network_received_bytes=1500, network_sent_bytes=0, block_read_bytes=5 * 1024**3, block_written_bytes=999,
        pids=4,
    ),
)  # fmt: skip

EXPLANATION = Explanation(
    name="shop-api-3",
    kind="container",
    state="new",
    summary="it has no host yet",
    waits_for=("3 hosts: memory (need 8 GiB, 2 GiB free)", "1 host: drained"),
    placed_because="h2 had the fewest units of shop/api",
    history=(ExplainedStep(at_s=NOW, text="no host fits"), ExplainedStep(at_s=NOW + 1.5, text="no host fits")),
)

DRAINED = DrainAnswer(version=9, moving=("shop-api-1",), staying={"shop-db-1": "its volume shop_data is on h1"})

APPLIED = Applied(
    version=12,
    plan=(
        PlannedChange(action="create", kind="service", name="shop/web", reason="the file has it"),
        PlannedChange(action="change", kind="service", name="shop/api", reason="image: shop/api:2 -> shop/api:3"),
        PlannedChange(action="remove", kind="container", name="shop-old-1", reason="the file no longer has shop/old"),
    ),
    dry_run=True,
)

EVENTS = (
    EventView(
        version=7, at_s=NOW + 0.25, action="change", kind="container", id="u", name="shop-api-1", reason="h1 says so",
        stack="shop", service="api", host="host-1", state="running",
    ),
    EventView(version=8, at_s=NOW + 1, action="remove", kind="network", id="n", name="shop_default", reason=""),
)  # fmt: skip
