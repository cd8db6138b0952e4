"""Volumes of a service: named ones become typed, the rest goes into the create body."""

from __future__ import annotations

import posixpath
from typing import Any, NamedTuple

from paddock.model.specs import VolumeMount

from .findings import Json, Service
from .quantities import whole


class Mounts(NamedTuple):
    """`binds` and `mounts` are the engine's `HostConfig.Binds` and `.Mounts`."""

    volumes: tuple[VolumeMount, ...]
    binds: tuple[str, ...]
    mounts: tuple[dict[str, Any], ...]


_CLIENT_HINT = "use a named volume for data, or `configs:` for files; an absolute path means that path on the host"


def mounts_of(service: Service) -> Mounts:
    volumes: list[VolumeMount] = []
    binds: list[str] = []
    mounts: list[dict[str, Any]] = []
    for index, volume in enumerate(service.config.get("volumes") or []):
        match volume.get("type"):
            case "volume" if volume.get("source"):
                volumes.append(_named(volume))
            case "bind":
                _check_bind(service, index, volume)
                bind = volume.get("bind") or {}
                if bind.get("create_host_path"):
                    binds.append(_bind_text(volume))
                    continue
                mounts.append(_mount(volume))
                if bind.get("selinux"):
                    message = "has no effect without create_host_path, as in docker compose"
                    service.warn("volumes", index, "bind", "selinux", message=message)
            case "volume" | "tmpfs" | "image":
                mounts.append(_mount(volume))
            case other:
                service.problem("volumes", index, message=f"volumes of type {other!r} are not supported on Linux hosts")
    return Mounts(tuple(volumes), tuple(binds), tuple(mounts))


def _check_bind(service: Service, index: int, volume: Json) -> None:
    """A path of the client's machine means nothing on a host; an absolute path is taken as the host's own."""
    written = service.findings.origins.written(service.path("volumes", index, "source"))
    if written:
        message = f"{written!r} is a path of the machine you are on, and containers run on the hosts of a cluster"
        service.problem("volumes", index, message=message, hint=_CLIENT_HINT)
    elif not str(volume.get("source", "")).startswith("/"):
        message = f"{volume.get('source')!r} is not an absolute path on a Linux host"
        service.problem("volumes", index, message=message, hint=_CLIENT_HINT)


def _named(volume: Json) -> VolumeMount:
    options = volume.get("volume") or {}
    return VolumeMount(
        volume=volume["source"],
        target=clean(volume["target"]),
        read_only=bool(volume.get("read_only")),
        no_copy=bool(options.get("nocopy")),
        subpath=options.get("subpath") or "",
    )


def _bind_text(volume: Json) -> str:
    bind = volume.get("bind") or {}
    options = ["ro" if volume.get("read_only") else "rw", bind.get("selinux"), bind.get("propagation")]
    return f"{volume['source']}:{volume['target']}:{','.join(option for option in options if option)}"


def _mount(volume: Json) -> dict[str, Any]:
    mount: dict[str, Any] = {"Type": volume["type"], "Target": clean(volume["target"])}
    for name, key in (("source", "Source"), ("read_only", "ReadOnly"), ("consistency", "Consistency")):
        if volume.get(name):
            mount[key] = volume[name]
    options = volume.get(volume["type"]) or {}
    if volume["type"] == "bind" and options.get("propagation"):
        mount["BindOptions"] = {"Propagation": options["propagation"]}
    elif volume["type"] == "volume" and (options.get("nocopy") or options.get("subpath")):
        chosen = {"NoCopy": bool(options.get("nocopy")), "Subpath": options.get("subpath") or ""}
        mount["VolumeOptions"] = {key: value for key, value in chosen.items() if value}
    elif volume["type"] == "tmpfs" and options:
        chosen = {"SizeBytes": whole(options.get("size")), "Mode": whole(options.get("mode"))}
        mount["TmpfsOptions"] = {key: value for key, value in chosen.items() if value}
    elif volume["type"] == "image" and options.get("subpath"):
        mount["ImageOptions"] = {"Subpath": options["subpath"]}
    return mount


def clean(path: str) -> str:
    """Go's `path.Clean`."""
    normal = posixpath.normpath(path)
    return normal[1:] if normal.startswith("//") else normal
