"""What one host must hold: a mapping from key to item, sent to its agent as differences.

The agent keeps it in its ledger and makes the host so. An item says everything needed to do that without asking back.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from paddock.model.objects import FileId, NetworkId, UnitDesired, UnitId, VolumeId


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="item"):
    """Root of what an assignment holds."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One network interface of a container; `mac` follows from `ipv4` unless the user asked for one."""

    network: NetworkId
    ipv4: str
    mac: str
    ipv6: str = ""
    driver_opts: dict[str, str] = {}
    link_local_ips: tuple[str, ...] = ()


class FilePlacement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    file: FileId
    purpose: Literal["secret", "config"]
    target: str
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444


class ContainerAssignment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`body` is the Engine API create body, final but for the endpoints, files and DNS server, which the agent adds.

    `volumes` must exist on the host before. `after`: names of containers that have to be there first (shared
    namespaces). `network_mode` is "" when `endpoints` say it.
    """

    role: str = ""
    name: str
    image: str
    image_id: str = ""
    """The very image to run; no registry is asked for it."""
    pull: Literal["always", "missing", "never"] = "missing"
    platform: str = ""
    body: dict[str, Any] = {}
    network_mode: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    files: tuple[FilePlacement, ...] = ()
    volumes: tuple[VolumeId, ...] = ()
    after: tuple[str, ...] = ()
    stop_grace_s: float = 10.0
    adopts: str = ""
    """The id of a container that somebody else made, which is taken as it is, joined to the networks while it runs."""
    links: dict[str, str] = {}
    """alias -> service name, answered by the names server for this container only."""


class UnitAssignment(Item, frozen=True, kw_only=True, tag="unit"):
    unit: UnitId
    desired: UnitDesired
    containers: tuple[ContainerAssignment, ...] = ()
    reuses: UnitId | None = None
    hands_off: bool = False
    """Networks and volumes are made ready; the container is created, started and stopped by somebody else."""
    remake: Literal["", "create", "start"] = ""
    """`hands_off`, but the container takes the place of one on a lost host: it is made, and perhaps started, once."""
    engine_restarts: bool = False
    """The engine's own restart policy does the restarting: an exit is not the end of the unit."""
    restart: Literal["none", "on-failure", "any"] = "none"
    """What the agent does about an exit while it is cut off from the server: the same containers are started again."""


class NetworkAssignment(Item, frozen=True, kw_only=True, tag="network"):
    """`engine_name` is the bridge network's name on the engine. `gateway` is this host's own address in `subnet`;
    `ip_range` the block the engine may hand out by itself. The same of IPv6, "" where the network has none."""

    network: NetworkId
    engine_name: str
    subnet: str
    gateway: str
    ip_range: str
    vni: int
    mtu: int
    subnet6: str = ""
    gateway6: str = ""
    ip_range6: str = ""
    internal: bool = False
    attachable: bool = False
    options: dict[str, str] = {}
    labels: dict[str, str] = {}


class PeerAssignment(Item, frozen=True, kw_only=True, tag="peer"):
    """An endpoint on another host: frames for `mac` go to `host_address`, and `ipv4` and `ipv6` are at `mac`."""

    network: NetworkId
    ipv4: str
    ipv6: str = ""
    mac: str
    host_address: str


class AddressAssignment(Item, frozen=True, kw_only=True, tag="address"):
    """An address that is answered, and for what: a ready container's on a network, by whichever names it goes.

    One item per address, not per name: what is sent for one container more does not grow with how many there are.
    `container` is the container's own name, which reverse questions are answered with; `names` are the others.
    """

    network: NetworkId
    ipv4: str
    ipv6: str = ""
    container: str = ""
    names: tuple[str, ...] = ()


class NameAssignment(Item, frozen=True, kw_only=True, tag="name"):
    """A name of the network's that nobody ready has: it is answered with nothing, and asked of nobody else."""

    network: NetworkId
    name: str


class VolumeAssignment(Item, frozen=True, kw_only=True, tag="volume"):
    """`keep` False: remove it once no container uses it."""

    volume: VolumeId
    engine_name: str
    driver: str = ""
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    keep: bool = True


class FileAssignment(Item, frozen=True, kw_only=True, tag="file"):
    """`content` is filled in by the server as it sends (the store keeps secrets sealed); `digest` is of the content."""

    file: FileId
    purpose: Literal["secret", "config"]
    digest: str
    content: bytes = b""


AnyItem = (
    UnitAssignment
    | NetworkAssignment
    | PeerAssignment
    | AddressAssignment
    | NameAssignment
    | VolumeAssignment
    | FileAssignment
)
Assignment = dict[str, AnyItem]


def key_of(item: AnyItem) -> str:
    """The item's key in an assignment; unique, stable."""
    match item:
        case UnitAssignment(unit=unit):
            return f"unit/{unit}"
        case NetworkAssignment(network=network):
            return f"network/{network}"
        case PeerAssignment(network=network, ipv4=ipv4):
            return f"peer/{network}/{ipv4}"
        case AddressAssignment(network=network, ipv4=ipv4):
            return f"address/{network}/{ipv4}"
        case NameAssignment(network=network, name=name):
            return f"name/{network}/{name}"
        case VolumeAssignment(volume=volume):
            return f"volume/{volume}"
        case FileAssignment(file=file):
            return f"file/{file}"
