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
    return found


def check_powers(host: Json, *, privileged: bool) -> None:
    """Raises `Forbidden`."""
    if not privileged and (found := powers_asked(host)):
        raise Forbidden(
            f"this certificate may not reach into hosts, and the container asks for {', '.join(found)}",
            hint="use a context made without --unprivileged",
        )
