"""What an agent does to its host, one at a time. Every step may be repeated: done already is as good as done."""

from __future__ import annotations

import msgspec

from paddock.model.assignment import ContainerAssignment, NetworkAssignment, VolumeAssignment
from paddock.model.objects import NetworkId, UnitId


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="step", tag=str.lower):
    """Root of all steps."""


class PullImage(Step, frozen=True, kw_only=True):
    unit: UnitId
    role: str
    image: str
    image_id: str = ""
    platform: str = ""
    always: bool = False
    asks_registry: bool = True
    """False: only other hosts are."""
    auth: str = ""
    """The registry's `X-Registry-Auth`, filled in by who applies it. Never logged, never kept."""


class PrepareContainer(Step, frozen=True, kw_only=True):
    """Its networks and volumes are to be there; somebody else creates it."""

    unit: UnitId
    container: ContainerAssignment


class CreateContainer(Step, frozen=True, kw_only=True):
    """`networks` and `binds` (source -> target, read only) are filled in by who applies it. The answer is the id."""

    unit: UnitId
    container: ContainerAssignment
    networks: dict[NetworkId, NetworkAssignment] = {}
    binds: dict[str, str] = {}


class ConnectNetwork(Step, frozen=True, kw_only=True):
    """The engine took only one network at creation, or the agent died before the others."""

    container: str
    network: str
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    driver_opts: dict[str, str] = {}
    link_local_ips: tuple[str, ...] = ()


class PointResolver(Step, frozen=True, kw_only=True):
    """Of a running container that was made without us: names are asked of `nameserver` first, until it is restarted."""

    container: str
    nameserver: str


class StartContainer(Step, frozen=True, kw_only=True):
    """`again`: it has run before. `local_restart`: for want of a server."""

    container: str
    role: str = ""
    again: bool = False
    local_restart: bool = False


class StopContainer(Step, frozen=True, kw_only=True):
    container: str
    grace_s: float = 10.0


class RemoveContainer(Step, frozen=True, kw_only=True):
    """With its anonymous volumes."""

    container: str


class RenameContainer(Step, frozen=True, kw_only=True):
    container: str
    name: str


class RefuseUnit(Step, frozen=True, kw_only=True):
    """Nothing is done; the unit cannot be had on this host."""

    unit: UnitId
    reason: str


class EnsureNetwork(Step, frozen=True, kw_only=True):
    network: NetworkAssignment


class RemoveNetwork(Step, frozen=True, kw_only=True):
    """Only if no container is on it; `name` is the engine's."""

    name: str


class EnsureVolume(Step, frozen=True, kw_only=True):
    volume: VolumeAssignment


class RemoveVolume(Step, frozen=True, kw_only=True):
    """Only if no container uses it; `name` is the engine's."""

    name: str


UnitStep = (
    PullImage
    | PrepareContainer
    | CreateContainer
    | ConnectNetwork
    | StartContainer
    | StopContainer
    | RemoveContainer
    | RenameContainer
    | RefuseUnit
)
AdoptStep = PointResolver
HostStep = EnsureNetwork | RemoveNetwork | EnsureVolume | RemoveVolume
AnyStep = UnitStep | AdoptStep | HostStep
