"""What a playground keeps on disk between commands, and what it tells about itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from paddock.model.errors import UserError

Kept = TypeVar("Kept", bound=msgspec.Struct)

ACTIVE, STOPPED, CUT, DOWN = "active", "stopped", "cut", "down"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole playground."""

    name: str
    subnet: str
    hosts: tuple[str, ...] = ()
    engine_dir: str | None = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs on a host (or on the machine) for as long as it has power."""

    label: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: str


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Of one host. `boot` names its first process, if it ever had power: pid and start time on the machine."""

    boot: tuple[int, int] | None = None
    stopped: bool = False
    cut: bool = False
    processes: tuple[Process, ...] = ()


class Reachable(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller recorded about the server it runs for this playground."""

    server: str | None = None
    api_key_file: str | None = None
    environment: str = "default"
    docker_host: str | None = None


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    address: str
    engine: str
    state: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    server: str | None
    api_key_file: str | None
    environment: str
    docker_host: str | None
    hosts: tuple[HostStatus, ...]


def read(path: Path, kind: type[Kept]) -> Kept | None:
    """None where nothing was kept yet."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise UserError(f"only root may read {path}", hint="run it with sudo") from None
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise UserError(f"{path} is damaged: {error}", hint="take the playground down and up again") from None


def write(path: Path, kept: msgspec.Struct) -> None:
    """Whole or not at all; readable by root only, for a command's environment may hold secrets."""
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(kept), indent=2))
    draft.replace(path)
