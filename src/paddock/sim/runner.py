"""`docker run` from somewhere: a container is wished for, and made and started on its host by somebody else than us.

Such a container is to outlive its host: where that is lost, another is made elsewhere.
"""

from __future__ import annotations

import asyncio
import random

from msgspec.structs import replace

from paddock.core import standalone
from paddock.core.assignment import assignments
from paddock.drivers.engine import StepRefused
from paddock.model.assignment import NetworkAssignment, UnitAssignment
from paddock.model.changes import Change
from paddock.model.errors import NotFound, Transient
from paddock.model.objects import HostId, Service, Unit, UnitId, UnitState
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, ContainerSpec, RestartPolicy, ServiceSpec
from paddock.model.steps import CreateContainer, PullImage, StartContainer
from paddock.sim.engine_client import EngineClient
from paddock.sim.machine import Machine

NAMES = ("one", "two", "three")
IMAGE = "app/steady:1"
BODY = {"HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}


def wished(chance: random.Random, view: Snapshot) -> ServiceSpec | None:
    """None when there are containers enough."""
    names = {unit.name for unit in view.table(Unit).values()} | {one.name for one in view.table(Service).values()}
    free = [name for name in NAMES if name not in names]
    if not free:
        return None
    return ServiceSpec(
        name=chance.choice(free),
        container=ContainerSpec(image=IMAGE, config=BODY, networks=(Attachment(network=standalone.HOME_NETWORK),)),
        mode="standalone",
        reschedule="on-node-failure",
        restart=RestartPolicy(condition="none", engine=True),
    )


def wish(now: Snapshot, environment: str, spec: ServiceSpec, now_s: float) -> tuple[Change, ...]:
    return tuple(standalone.wish(now, environment, spec, now_s))


def never_made(now: Snapshot, environment: str, name: str) -> tuple[Change, ...]:
    """What is left when it could not be made."""
    service = now.named(Service, environment, f"/{name}")
    unit = _newest(now, environment, name)
    made = unit is not None and (unit.containers or unit.remake)
    return () if service is None or made else tuple(standalone.forget(now, service))


def prepared(view: Snapshot, environment: str, name: str) -> Unit | None:
    unit = _newest(view, environment, name)
    return unit if unit is not None and unit.state == UnitState.PREPARED and not unit.remake else None


def _newest(view: Snapshot, environment: str, name: str) -> Unit | None:
    units = sorted(view.units_named(environment, name), key=lambda unit: unit.generation)
    return units[-1] if units else None


async def make(view: Snapshot, unit: Unit, machine: Machine, group: asyncio.TaskGroup) -> None:
    """Through the engine alone, as the gateway does it. Raises `Transient`, `StepRefused` or `NotFound`."""
    host = HostId(unit.host or "")
    told = assignments(view, [host])[host]
    item = told.get(f"unit/{unit.id}")
    if not isinstance(item, UnitAssignment):
        raise NotFound(f"{unit.name} is not on {machine.name} any more")
    client = EngineClient(machine.engine, group, lambda: True)
    container = replace(item.containers[0], body=BODY)
    networks = {one.network: one for one in told.values() if isinstance(one, NetworkAssignment)}
    await client.apply(PullImage(unit=UnitId(unit.id), role="", image=IMAGE))
    id = await client.apply(CreateContainer(unit=UnitId(unit.id), container=container, networks=networks))
    await client.apply(StartContainer(container=id, role=""))


GIVES_UP_ON = (Transient, StepRefused, NotFound, TimeoutError)
