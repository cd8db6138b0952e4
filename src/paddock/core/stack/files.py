"""Secrets and configs: their content is read where the command runs, and travels in the specification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from paddock.model.specs import FileMount, FileSpec

from .findings import Findings, Json, Service

SIZE_LIMIT = 1024 * 1024

_FOLDER = {"secret": "/run/secrets/", "config": "/"}


class FileSource(NamedTuple):
    """`read_file` raises `OSError`; `environment` is what variables of the client are looked up in."""

    read_file: Callable[[str], bytes]
    environment: Mapping[str, str]


def file_specs(model: Json, section: str, source: FileSource, findings: Findings) -> dict[str, FileSpec]:
    """`section` is "secrets" or "configs"."""
    declared = model.get(section) or {}
    return {key: _file(key, declared[key] or {}, section, source, findings) for key in declared}


def _file(key: str, declared: Json, section: str, source: FileSource, findings: Findings) -> FileSpec:
    name = declared.get("name") or key
    labels = {label: str(value) for label, value in (declared.get("labels") or {}).items()}
    if declared.get("external"):
        return FileSpec(name=name, external=True, labels=labels)
    for field in ("driver", "template_driver"):
        if declared.get(field):
            message = f"{section} come from a file, a variable or the compose file itself; drivers are not supported"
            findings.problem((section, key, field), message)
    content = _content(key, declared, section, source, findings)
    if len(content) > SIZE_LIMIT:
        message = f"is {len(content)} bytes; {SIZE_LIMIT} is the most for one of the {section}"
        findings.problem((section, key), message, "put large files into an image or a volume")
    return FileSpec(name=name, content=content, labels=labels)


def _content(key: str, declared: Json, section: str, source: FileSource, findings: Findings) -> bytes:
    if "content" in declared:
        return str(declared["content"]).encode()
    if variable := declared.get("environment"):
        if variable not in source.environment:
            message = f"the environment variable {variable} is not set"
            findings.problem((section, key, "environment"), message, f"export {variable}=… or put it into .env")
        return source.environment.get(variable, "").encode()
    file = declared.get("file")
    if not file:
        findings.problem((section, key), "says neither file, environment, content nor external")
        return b""
    try:
        return source.read_file(file)
    except OSError as error:
        findings.problem((section, key, "file"), f"cannot read {file}: {error.strerror or error}")
        return b""


def file_mounts(service: Service) -> tuple[FileMount, ...]:
    secrets = _mounts(service, "secrets", "secret")
    return secrets + _mounts(service, "configs", "config")


def _mounts(service: Service, section: str, kind: Literal["secret", "config"]) -> tuple[FileMount, ...]:
    mounts = []
    for index, entry in enumerate(service.config.get(section) or []):
        target = entry.get("target") or entry["source"]
        if not target.startswith("/"):
            target = _FOLDER[kind] + target
        mode = 0o444 if entry.get("mode") is None else int(entry["mode"])
        uid, gid = (_owner(service, (section, index, field), entry.get(field)) for field in ("uid", "gid"))
        mounts.append(FileMount(kind=kind, source=entry["source"], target=target, uid=uid, gid=gid, mode=mode))
    return tuple(mounts)


def _owner(service: Service, field: tuple[str | int, ...], value: Any) -> str:
    text = str(value or "0")
    if not text.isdigit():
        service.problem(*field, message=f"{text!r} is not a number: names mean different users in every image")
    return text
