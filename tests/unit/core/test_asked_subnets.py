from __future__ import annotations

import pytest

from paddock.core.stacks import apply_stack
from paddock.model.errors import Invalid
from paddock.model.objects import Environment, Host, HostFacts
from paddock.model.snapshot import Snapshot
from paddock.model.specs import NetworkSpec, StackSpec


def asking(subnet: str) -> StackSpec:
    return StackSpec(name="shop", networks={"front": NetworkSpec(name="shop_front", subnets=(subnet,))})


@pytest.mark.parametrize("subnet", ["10.1.0.0/16", "10.1.2.0/25", "10.0.0.0/8"])
def test_a_subnet_that_would_cut_a_host_off_is_refused(subnet: str) -> None:
    host = Host(id="host-1", version=1, environment="env-1", name="h1", facts=HostFacts(subnets=("10.1.2.0/24",)))
    snapshot = Snapshot.of([Environment(id="env-1", version=1, name="default"), host])
    with pytest.raises(Invalid, match=r"overlaps network 10\.1\.2\.0/24 of host h1"):
        apply_stack(snapshot, "env-1", asking(subnet), 1.0, sealed={})
    assert apply_stack(snapshot, "env-1", asking("10.9.0.0/16"), 1.0, sealed={})
