"""What makes a container as powerful as its host: a right of its own that a caller may not have.

Everything answers in words, for the refusal; nothing means that the container stays within itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paddock.model.errors import Forbidden
from paddock.model.objects import Volume
from paddock.model.snapshot import Snapshot
from paddock.model.specs import ContainerSpec, ServiceSpec, StackSpec

Json = dict[str, Any]
HOST_NAMESPACES = ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode")
POWERS = ("Privileged", "CapAdd", "Devices", "DeviceRequests", "DeviceCgroupRules", "SecurityOpt", "CgroupParent")
BARED = ("MaskedPaths", "ReadonlyPaths")
"""Parts of /proc and /sys that the engine covers; an empty list leaves them bare."""
SAID_OTHERWISE = ("Binds", "Mounts", "CgroupnsMode")
"""In an engine's words of a container: mounts stand elsewhere, and `host` is the default with cgroups of version 1."""
NETWORK_FILESYSTEMS = ("nfs", "nfs3", "nfs4", "cifs", "smb3")


def check_powers(asked: list[str], *, privileged: bool) -> None:
    """Raises `Forbidden` when a caller without the right asks for any."""
    if asked and not privileged:
        raise Forbidden(
            f"this caller may not reach into hosts, and this asks for {', '.join(asked)}",
            hint="use a key or a context made without --unprivileged",
        )


def powers_asked(host: Mapping[str, Any]) -> list[str]:
    """`host`: a HostConfig of the Engine API."""
    found = [f"{key}=host" for key in HOST_NAMESPACES if host.get(key) == "host"]
    found += [key for key in POWERS if host.get(key)]
    found += [f"{key}=[]" for key in BARED if host.get(key) == []]
    found += [f"bind mount {bind}" for bind in host.get("Binds") or () if str(bind).startswith("/")]
    found += [f"bind mount {mount.get('Source')}" for mount in host.get("Mounts") or () if mount.get("Type") == "bind"]
    for mount in host.get("Mounts") or ():
        options = ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Options")
        found += volume_powers(options or {})
    return found


def volume_powers(options: Mapping[str, Any]) -> list[str]:
    """A volume of the engine's own driver is whatever `mount` makes of its options: any path or device of its host."""
    device, words = str(options.get("device") or ""), str(options.get("o") or "").split(",")
    filesystem = str(options.get("type") or "")
    bound = "bind" in words or "rbind" in words
    harmless = not device or filesystem in NETWORK_FILESYSTEMS or filesystem == "tmpfs"
    return [f"volume on {device or 'a path of the host'}"] if bound or not harmless else []


def powers_inside(seen: Json, own_files: frozenset[str]) -> tuple[list[str], list[str]]:
    """-> powers of a container that is there, and its volumes by name, whose options are still to be asked for.

    `seen`: an engine's inspect; `own_files`: where its secrets and configs are, which the agent binds into it.
    """
    mounts = [mount for mount in seen.get("Mounts") or () if mount.get("Destination") not in own_files]
    host = {key: value for key, value in (seen.get("HostConfig") or {}).items() if key not in SAID_OTHERWISE}
    named = [str(mount["Name"]) for mount in mounts if mount.get("Type") == "volume" and mount.get("Name")]
    return powers_asked({**host, "Mounts": mounts}), named


def own_files(spec: ServiceSpec) -> frozenset[str]:
    return frozenset(file.target for container in _containers(spec) for file in container.files)


def stack_powers(snapshot: Snapshot, environment: str, spec: StackSpec) -> list[str]:
    """Volumes that are there already count as they are."""
    found = []
    for key, service in sorted(spec.services.items()):
        for container in _containers(service):
            host = dict(container.config.get("HostConfig") or {})
            if container.network_mode == "host":
                host["NetworkMode"] = "host"
            found += [f"{power} (service {key})" for power in powers_asked(host)]
    for key, volume in sorted(spec.volumes.items()):
        known = snapshot.named(Volume, environment, volume.name)
        options = known.spec.driver_opts if known is not None else volume.driver_opts
        found += [f"{power} (volume {key})" for power in volume_powers(options)]
    return found


def _containers(spec: ServiceSpec) -> tuple[ContainerSpec, ...]:
    return (spec.container, *spec.sidekicks.values())
