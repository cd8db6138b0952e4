"""The end of stacks: when the last service is gone, so are its networks, its files, and its volumes if asked for."""

from __future__ import annotations

import msgspec

from paddock.core.attachments import files_of, volumes_of
from paddock.core.draft import GONE, Draft
from paddock.model.changes import Change, Delete, Put
from paddock.model.objects import File, Host, Network, Revision, Service, ServiceId, Stack, StackId, Volume


def removal(draft: Draft, stack: Stack) -> None:
    if not stack.removing or draft.services_of_stack(StackId(stack.id)):
        return
    changes: list[Change] = []
    for network in draft.table(Network):
        if network.stack == stack.id and network.environment == stack.environment and not network.removing:
            changes.append(Put(object=msgspec.structs.replace(network, removing=True), reason="its stack is removed"))
    changes += [
        Delete(object=file, reason="its stack is removed")
        for file in draft.table(File)
        if file.stack == stack.id and file.environment == stack.environment
    ]
    changes.append(Delete(object=stack, reason="nothing of it is left"))
    draft.apply(changes)


def volume_removal(draft: Draft, volume: Volume) -> None:
    """A volume that is to go goes after its last unit and service. Where it is on a host, that host says when it has
    gone from there."""
    if not volume.removing or _in_use(draft, volume):
        return
    if volume.host is None or draft.get(Host, volume.host) is None:
        draft.apply([Delete(object=volume, reason="nothing uses it any more")])


def _in_use(draft: Draft, volume: Volume) -> bool:
    for service in draft.table(Service):
        if service.environment != volume.environment:
            continue
        if any(volume.id in volumes_of(revision) for revision in _named(draft, service)):
            return True
        for unit in draft.units(ServiceId(service.id)):
            if unit.state not in GONE and volume.id in volumes_of(draft.revision(unit)):
                return True
    return False


def _named(draft: Draft, service: Service) -> list[Revision]:
    """Its own, and where its rollout may still go."""
    ids = [service.revision]
    if service.rollout is not None and service.rollout.state in ("updating", "paused", "rolling-back"):
        ids += [service.rollout.target, service.rollout.origin]
    found = [draft.get(Revision, id) for id in dict.fromkeys(ids)]
    return [revision for revision in found if revision is not None]


def unused_file(draft: Draft, file: File) -> None:
    """A secret or config of a stack that no revision names any more (an older content, after an update)."""
    if not file.stack:
        return
    for service in draft.services_of_stack(StackId(file.stack)):
        for revision in draft.snapshot.revisions_of_service(ServiceId(service.id)):
            if draft.get(type(revision), revision.id) is not None and file.id in files_of(revision):
                return
    draft.apply([Delete(object=file, reason="no revision uses it")])
