"""What a user asks of things that are there, as changes. Each raises `NotFound` or `Conflict` and otherwise says only
what is wished; what follows from it is for `converge`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from paddock.core.attachments import stays_on_host, volumes_of
from paddock.core.draft import GONE, Draft
from paddock.core.reconcile.rollouts import rolled_back
from paddock.core.slots import given_up, retire
from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict, NotFound
from paddock.model.objects import (
    Environment,
    Host,
    HostId,
    HostState,
    Network,
    Revision,
    Service,
    ServiceId,
    Stack,
    StackId,
    Unit,
    UnitDesired,
    UnitState,
    Volume,
    VolumeId,
)
from paddock.model.snapshot import Snapshot

Changes = tuple[Change, ...]


def _stack(snapshot: Snapshot, environment: str, name: str) -> Stack:
    found = snapshot.named(Stack, environment, name)
    if found is None:
        raise NotFound(f"there is no stack {name}", hint="paddock stacks lists them")
    return found


def find_service(snapshot: Snapshot, environment: str, stack: str, name: str) -> Service:
    found = snapshot.named(Service, environment, f"{stack}/{name}")
    if found is None:
        raise NotFound(f"there is no service {name} in stack {stack}", hint="paddock services lists them")
    return found


def find_host(snapshot: Snapshot, environment: str, name: str) -> Host:
    found = snapshot.named(Host, environment, name)
    if found is None:
        raise NotFound(f"there is no host {name}", hint="paddock hosts lists them")
    return found


def remove_stack(snapshot: Snapshot, environment: str, name: str, *, volumes: bool = False) -> Changes:
    """With `volumes`, the stack's own volumes go too, data and all."""
    stack = _stack(snapshot, environment, name)
    removing = msgspec.structs.replace(stack, removing=True, remove_volumes=stack.remove_volumes or volumes)
    changes: list[Change] = [Put(object=removing, reason=f"stack {name} is to go")]
    for service in snapshot.services_of_stack(StackId(stack.id)):
        if not service.removing:
            changes.append(Put(object=msgspec.structs.replace(service, removing=True), reason=f"stack {name} is to go"))
    for volume in snapshot.in_environment(Volume, environment) if volumes else ():
        if volume.stack == stack.id and not volume.removing:
            gone = msgspec.structs.replace(volume, removing=True)
            changes.append(Put(object=gone, reason=f"stack {name} is to go with its volumes"))
    return tuple(changes)


def remove_volume(snapshot: Snapshot, environment: str, name: str) -> Changes:
    volume = snapshot.named(Volume, environment, name)
    if volume is None:
        raise NotFound(f"there is no volume {name}", hint="paddock volumes lists them")
    for service in snapshot.in_environment(Service, environment):
        for unit in snapshot.units_of_service(ServiceId(service.id)):
            revision = snapshot.get(Revision, unit.revision)
            if unit.state not in GONE and revision is not None and VolumeId(volume.id) in volumes_of(revision):
                raise Conflict(f"volume {name} is used by {unit.name}", hint="remove that container first")
    return (Put(object=msgspec.structs.replace(volume, removing=True), reason=f"volume {name} is to go"),)


def _changed(service: Service, reason: str, **fields: object) -> Changes:
    if service.removing:
        raise Conflict(f"service {service.name} is being removed")
    changed = msgspec.structs.replace(service, **fields)
    return () if changed == service else (Put(object=changed, reason=reason),)


def scale(snapshot: Snapshot, service: Service, replicas: int) -> Changes:
    revision = snapshot.get(Revision, service.revision)
    if replicas < 0:
        raise Conflict(f"{replicas} units are not possible", hint="give 0 or more")
    if revision is not None and revision.spec.mode.startswith("global"):
        raise Conflict(f"service {service.name} has one unit on every host and cannot be scaled")
    if revision is not None and revision.spec.container_name and replicas > 1:
        name = revision.spec.container_name
        raise Conflict(f"{service.name} cannot have {replicas} units: they would all be called {name}")
    return _changed(service, f"{service.name} is scaled from {service.replicas} to {replicas}", replicas=replicas)


def restart(service: Service) -> Changes:
    """Every unit's containers are stopped and started again, as its update policy paces it."""
    return _changed(service, f"a restart of {service.name} is asked for", forced=service.forced + 1, stopped=False)


def stop(service: Service) -> Changes:
    return _changed(service, f"{service.name} is to stop", stopped=True)


def start(service: Service) -> Changes:
    return _changed(service, f"{service.name} is to start", stopped=False)


def _with_rollout(service: Service, before: tuple[str, ...], after: str, reason: str) -> Changes:
    rollout = service.rollout
    if rollout is None or rollout.state not in before:
        state = f"its last is {rollout.state}" if rollout is not None else "there was none"
        raise Conflict(f"service {service.name} has no rollout that could be {after}: {state}")
    state = _back_to(service) if after == "resumed" else "paused"
    return _changed(service, reason, rollout=msgspec.structs.replace(rollout, state=state))


def _back_to(service: Service) -> Literal["updating", "rolling-back"]:
    rollout = service.rollout
    return "rolling-back" if rollout is not None and rollout.back else "updating"


def pause(service: Service) -> Changes:
    return _with_rollout(service, ("updating", "rolling-back"), "paused", f"the rollout of {service.name} is to pause")


def resume(service: Service) -> Changes:
    """Failures so far are forgiven; further ones pause it again."""
    return _with_rollout(service, ("paused",), "resumed", f"the rollout of {service.name} is to go on")


def rollback(snapshot: Snapshot, service: Service, now_s: float) -> Changes:
    """Back to the revision before the last rollout, whether that is over or not."""
    rollout = service.rollout
    if rollout is None or rollout.origin == rollout.target or snapshot.get(Revision, rollout.origin) is None:
        raise Conflict(f"service {service.name} has no revision to go back to")
    draft = Draft(snapshot, now_s)
    rolled_back(draft, service, "a rollback is asked for")
    return draft.changes()


def drain(host: Host) -> Changes:
    return _available(host, "drained")


def activate(host: Host) -> Changes:
    return _available(host, "active")


def _available(host: Host, availability: Literal["active", "drained"]) -> Changes:
    if host.availability == availability:
        return ()
    changed = msgspec.structs.replace(host, availability=availability)
    return (Put(object=changed, reason=f"host {host.name} is to be {availability}"),)


def label(host: Host, labels: dict[str, str | None]) -> Changes:
    """None takes a label away."""
    merged = {**host.labels, **labels}
    kept = {key: value for key, value in merged.items() if value is not None}
    if kept == host.labels:
        return ()
    return (Put(object=msgspec.structs.replace(host, labels=kept), reason=f"labels of host {host.name}"),)


def remove_host(snapshot: Snapshot, host: Host, now_s: float, *, force: bool = False) -> Changes:
    """Without `force` only a host that nothing is on. With it, its units go elsewhere; volumes there are given up."""
    there = [unit for unit in snapshot.units_on_host(HostId(host.id)) if unit.state not in GONE]
    units = [unit for unit in there if unit.live]
    volumes = [
        volume
        for volume in snapshot.in_environment(Volume, host.environment)
        if volume.host == host.id and stays_on_host(volume)
    ]
    if not force and (units or volumes or host.state is HostState.ACTIVE):
        what = f"{len(units)} running containers and {len(volumes)} volumes"
        raise Conflict(
            f"host {host.name} is {host.state.value} and has {what}",
            hint="drain it and stop its agent first, or force it: volumes there are then given up",
        )
    changes: list[Change] = [Delete(object=host, reason=f"host {host.name} is taken out")]
    for volume in volumes:
        freed = msgspec.structs.replace(volume, host=None)
        changes.append(Put(object=freed, reason=f"host {host.name}, where its data was, is taken out"))
    changes += [given_up(unit, f"host {host.name} is taken out", now_s) for unit in there]
    for network in snapshot.in_environment(Network, host.environment):
        if host.id in network.gateways:
            gateways = {other: gateway for other, gateway in network.gateways.items() if other != host.id}
            left = msgspec.structs.replace(network, gateways=gateways)
            changes.append(Put(object=left, reason=f"host {host.name} is taken out"))
    return tuple(changes)


def remove_container(unit: Unit) -> Changes:
    """The slot gets a next generation, unless it is not wanted any more."""
    if unit.state in GONE or unit.desired == UnitDesired.REMOVED:
        return ()
    if unit.state == UnitState.NEW:
        raise Conflict(f"{unit.name} is not on any host yet")
    return tuple(retire(unit, f"container {unit.name} is to go"))


def override_breaker(environment: Environment) -> Changes:
    """Hosts that are lost are treated as lost, however many."""
    if environment.breaker != "open":
        raise Conflict(f"the breaker of environment {environment.name} is {environment.breaker}")
    changed = msgspec.structs.replace(environment, breaker="overridden")
    return (Put(object=changed, reason="an operator says the lost hosts are lost"),)
