"""Commands on environments and hosts: pure decisions over a snapshot, committed by the routes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict, NotFound, UserError
from paddock.model.objects import ApiKey, Environment, Host, JoinToken, Network, Registry, Stack, Volume
from paddock.model.snapshot import Snapshot
from paddock.server.committing import Decision
from paddock.wire.api import HostPatch
from paddock.world.world import World

MOST_ENVIRONMENTS = 1000
MOST_LABELS = 256
LONGEST_LABEL = 4096
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def create_environment(snapshot: Snapshot, name: str, world: World) -> Decision[str]:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name[:80]!r} cannot be an environment's name",
            hint="small letters, digits and dashes, at most 63, beginning and ending with a letter or digit",
        )
    if snapshot.environment_named(name) is not None:
        raise Conflict(f"there is an environment {name!r} already")
    if len(snapshot.table(Environment)) >= MOST_ENVIRONMENTS:
        raise Conflict(f"there are {MOST_ENVIRONMENTS} environments already")
    environment = Environment(id=world.new_id("env"), name=name, created_at_s=world.now_s())
    return (Put(object=environment, reason=f"environment {name} created"),), name


def delete_environment(snapshot: Snapshot, environment: Environment) -> Decision[None]:
    """Only an empty one; its keys, join tokens and logins go with it."""
    for kind, word in ((Stack, "stacks"), (Host, "hosts"), (Volume, "volumes")):
        held = snapshot.in_environment(kind, environment.id)
        if held:
            names = ", ".join(sorted(str(getattr(thing, "name", thing.id)) for thing in held)[:5])
            raise Conflict(f"environment {environment.name} still has {word}: {names}", hint="remove them first")
    if len(snapshot.table(Environment)) == 1:
        raise Conflict("the last environment cannot be removed")
    reason = f"environment {environment.name} removed"
    keys = [key for _, key in sorted(snapshot.table(ApiKey).items()) if key.environment == environment.id]
    changes: list[Change] = [Delete(object=key, reason=reason) for key in keys]
    changes += [Delete(object=token, reason=reason) for token in snapshot.in_environment(JoinToken, environment.id)]
    changes += [Delete(object=login, reason=reason) for login in snapshot.in_environment(Registry, environment.id)]
    changes += [Delete(object=network, reason=reason) for network in snapshot.in_environment(Network, environment.id)]
    changes.append(Delete(object=environment, reason=reason))
    return changes, None


def host_named(snapshot: Snapshot, environment: Environment, name: str) -> Host:
    """By name or id."""
    found = snapshot.named(Host, environment.id, name) or snapshot.get(Host, name)
    if found is None or found.environment != environment.id:
        raise NotFound(f"there is no host {name!r} in environment {environment.name}", hint="see `paddock hosts`")
    return found


def patch_host(snapshot: Snapshot, host: Host, patch: HostPatch) -> Decision[str]:
    """-> the host's name."""
    labels = dict(host.labels)
    check_labels({key: value or "" for key, value in patch.labels.items()})
    for key, value in patch.labels.items():
        if value is None:
            labels.pop(key, None)
        else:
            labels[key] = value
    check_labels(labels)
    if labels == host.labels:
        return (), host.name
    changed = msgspec.structs.replace(host, labels=labels)
    return (Put(object=changed, reason=f"labels of {host.name} changed"),), host.name


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises `UserError` naming the first that will not do."""
    if len(labels) > MOST_LABELS:
        raise UserError(f"a host may have {MOST_LABELS} labels, this would make {len(labels)}")
    for key, value in labels.items():
        if not key or len(key) > 256 or key != key.strip() or not key.isprintable():
            raise UserError(f"{key[:40]!r} cannot be a label's key", hint="1 to 256 printable characters")
        if len(value) > LONGEST_LABEL:
            raise UserError(f"label {key} is longer than {LONGEST_LABEL} characters")
