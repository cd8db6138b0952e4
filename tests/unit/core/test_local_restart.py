"""What agents are told to do about exits while they are without their server."""

from __future__ import annotations

from typing import Any

import pytest

from paddock.core.bodies import local_restart
from paddock.model.specs import ContainerSpec, RestartPolicy, ServiceSpec


@pytest.mark.parametrize(
    ("mode", "condition", "expected"),
    [
        ("replicated", "any", "any"),
        ("replicated", "on-failure", "on-failure"),
        ("global", "none", "none"),
        ("replicated-job", "any", "on-failure"),
        ("global-job", "none", "none"),
    ],
)
def test_the_services_policy_holds_but_jobs_end(mode: Any, condition: Any, expected: str) -> None:
    spec = ServiceSpec(
        name="a", container=ContainerSpec(image="a:1"), mode=mode, restart=RestartPolicy(condition=condition)
    )
    assert local_restart(spec) == expected
