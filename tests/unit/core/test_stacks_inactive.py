from __future__ import annotations

import msgspec

from paddock.core.stacks import apply_stack, orphans
from paddock.model.objects import Environment
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec, ServiceSpec, StackSpec

SERVICES = {name: ServiceSpec(name=name, container=ContainerSpec(image="busybox")) for name in ("web", "debug", "old")}


def test_a_service_of_an_inactive_profile_is_no_orphan() -> None:
    snapshot = Snapshot.of([Environment(id="env-1", version=1, name="default")])
    whole = StackSpec(name="shop", services=SERVICES)
    running = snapshot.with_changes(apply_stack(snapshot, "env-1", whole, 1.0, sealed={}))
    narrowed = msgspec.structs.replace(whole, services={"web": SERVICES["web"]}, inactive=("debug",))
    assert [service.name for service in orphans(running, "env-1", narrowed)] == ["old"]
    after = running.with_changes(apply_stack(running, "env-1", narrowed, 2.0, sealed={}, remove_orphans=True))
    leaving = {
        service.name
        for service in after.services_of_stack(orphans(running, "env-1", narrowed)[0].stack)
        if service.removing
    }
    assert leaving == {"old"}
