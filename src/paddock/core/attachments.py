"""Which cluster networks, volumes and files a revision's containers use, by object id."""

from __future__ import annotations

from paddock.core.schedule.ports import containers_of
from paddock.model.objects import FileId, NetworkId, Revision, Volume, VolumeId
from paddock.model.specs import Attachment, ContainerSpec

SHARED_FILESYSTEMS = ("nfs", "nfs3", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p")


def attachments(revision: Revision, container: ContainerSpec) -> list[tuple[NetworkId, Attachment]]:
    """Cluster networks only, in the order of their priority, then as written."""
    if container.network_mode or any(sharing.what == "network" for sharing in container.sharing):
        return []
    found = [
        (revision.networks[attachment.network], attachment)
        for attachment in container.networks
        if attachment.network in revision.networks
    ]
    return sorted(found, key=lambda entry: -entry[1].priority)


def networks_of(revision: Revision) -> list[NetworkId]:
    """Of the primary container; sidekicks live in its network namespace."""
    return [network for network, _ in attachments(revision, revision.spec.container)]


def volumes_of(revision: Revision) -> list[VolumeId]:
    """In the order they are first mentioned."""
    found: dict[VolumeId, None] = {}
    for _, container in containers_of(revision.spec):
        for mount in container.volumes:
            if mount.volume in revision.volumes:
                found[revision.volumes[mount.volume]] = None
    return list(found)


def files_of(revision: Revision) -> list[FileId]:
    found: dict[FileId, None] = {}
    for _, container in containers_of(revision.spec):
        for mount in container.files:
            table = revision.secrets if mount.kind == "secret" else revision.configs
            if mount.source in table:
                found[table[mount.source]] = None
    return list(found)


def stays_on_host(volume: Volume) -> bool:
    """The data is on one host: the engine's own driver, unless its options mount a file system over the network."""
    if volume.spec.driver not in ("", "local"):
        return False
    return volume.spec.driver_opts.get("type", "") not in SHARED_FILESYSTEMS
