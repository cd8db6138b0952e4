"""What is read of create bodies, as types: a body of another shape is refused before anything is made of it."""

from __future__ import annotations

from typing import Any

import msgspec

from paddock.gateway.problems import ApiProblem


class _Ipam(msgspec.Struct):
    IPv4Address: str | None = None
    IPv6Address: str | None = None
    LinkLocalIPs: list[str] | None = None


class Endpoint(msgspec.Struct):
    Aliases: list[str] | None = None
    Links: list[str] | None = None
    MacAddress: str | None = None
    DriverOpts: dict[str, str] | None = None
    IPAMConfig: _Ipam | None = None


class _Networking(msgspec.Struct):
    EndpointsConfig: dict[str, Endpoint | None] | None = None


class _DriverConfig(msgspec.Struct):
    Options: dict[str, str] | None = None


class _VolumeOptions(msgspec.Struct):
    DriverConfig: _DriverConfig | None = None


class _Mount(msgspec.Struct):
    Type: str | None = None
    Source: str | None = None
    Target: str | None = None
    ReadOnly: bool | None = None
    VolumeOptions: _VolumeOptions | None = None


class _Host(msgspec.Struct):
    Binds: list[str] | None = None
    Mounts: list[_Mount] | None = None
    PortBindings: dict[str, list[dict[str, str]] | None] | None = None
    NetworkMode: str | None = None
    IpcMode: str | None = None
    PidMode: str | None = None
    VolumesFrom: list[str] | None = None
    Links: list[str] | None = None
    Dns: list[str] | None = None
    MemoryReservation: int | None = None


class Container(msgspec.Struct):
    Image: str | None = None
    Env: list[str] | None = None
    Labels: dict[str, str] | None = None
    MacAddress: str | None = None
    HostConfig: _Host | None = None
    NetworkingConfig: _Networking | None = None


class _PoolConfig(msgspec.Struct):
    Subnet: str | None = None
    IPRange: str | None = None
    Gateway: str | None = None
    AuxiliaryAddresses: dict[str, str] | None = None


class _Pools(msgspec.Struct):
    Config: list[_PoolConfig] | None = None


class Network(msgspec.Struct):
    Name: str | None = None
    Driver: str | None = None
    IPAM: _Pools | None = None
    Options: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


class Connection(msgspec.Struct):
    Container: str | None = None
    EndpointConfig: Endpoint | None = None


class Volume(msgspec.Struct):
    Name: str | None = None
    Driver: str | None = None
    DriverOpts: dict[str, str] | None = None
    Labels: dict[str, str] | None = None


def check_shape(body: dict[str, Any], shape: type[msgspec.Struct]) -> None:
    """Raises `ApiProblem` (400). What the shape does not know is the engine's to judge."""
    try:
        msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        raise ApiProblem(400, f"invalid request body: {error}") from None
