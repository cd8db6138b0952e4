"""What makes a container as powerful as its host: a right of its own that a caller may not have."""

from __future__ import annotations

from typing import Any

from paddock.model.errors import Forbidden

Json = dict[str, Any]
HOST_NAMESPACES = ("NetworkMode", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode")
POWERS = ("Privileged", "CapAdd", "Devices", "DeviceRequests", "DeviceCgroupRules", "SecurityOpt", "CgroupParent")


def powers_asked(host: Json) -> list[str]:
    """In words, for the refusal; nothing when the container stays within itself."""
    found = [f"{key}=host" for key in HOST_NAMESPACES if host.get(key) == "host"]
    found += [key for key in POWERS if host.get(key)]
    found += [f"bind mount {bind}" for bind in host.get("Binds") or () if str(bind).startswith("/")]
    found += [f"bind mount {mount.get('Source')}" for mount in host.get("Mounts") or () if mount.get("Type") == "bind"]
    for mount in host.get("Mounts") or ():
        options = ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Options")
        found += volume_powers(options or {})
    return found


def volume_powers(options: Json) -> list[str]:
    """A volume of the engine's own driver may be any path or device of its host."""
    device = str(options.get("device") or "")
    return [f"volume on {device}"] if device.startswith("/") else []


def check_powers(asked: list[str], *, privileged: bool) -> None:
    """Raises `Forbidden` when a caller without the right asks for any."""
    if asked and not privileged:
        raise Forbidden(
            f"this certificate may not reach into hosts, and this asks for {', '.join(asked)}",
            hint="use a context made without --unprivileged",
        )
