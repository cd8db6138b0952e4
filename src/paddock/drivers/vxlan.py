"""A cluster network on one host, as values: what is wanted, what the kernel has, and the rules between the two.

On every host that takes part, the network is an ordinary engine bridge with one VXLAN port in it. Nothing is learnt and
nothing is flooded: where a MAC lives is told to the port (forward) and to the bridge (seat), and ARP is answered by the
port itself out of permanent neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from paddock.drivers.rtnetlink import pack_address, text_address
from paddock.model.objects import NetworkId

PORT_PREFIX = "pdkv"
DESTINATION_PORT = 4789


class Peer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`ipv4` (and `ipv6`) is at `mac`, and frames for `mac` go to `host_address`. A host's own gateway may be a peer to
    others."""

    ipv4: str
    mac: str
    host_address: str
    ipv6: str = ""


class WantedNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """`local_address` is the underlay address peers send to (a tunnel's own when the underlay is encrypted).

    `bridge_mac`, unless empty, becomes the bridge's MAC, so that other hosts can know this host's gateway as a peer.
    """

    network: NetworkId
    bridge: str
    vni: int
    mtu: int
    local_address: str
    peers: tuple[Peer, ...] = ()
    bridge_mac: str = ""
    destination_port: int = DESTINATION_PORT

    @property
    def port(self) -> str:
        return f"{PORT_PREFIX}{self.vni:x}"


class Tunnel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What cannot be changed on a VXLAN port once it is made."""

    vni: int
    local_address: str
    destination_port: int
    learning: bool = False
    proxy: bool = True


class ObservedPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of ours in the kernel. `forwards`: MAC -> host addresses. `neighbours`: address -> MAC."""

    tunnel: Tunnel
    mtu: int
    bridge: str = ""
    up: bool = False
    quiet: bool = False
    """The bridge neither learns from this port nor floods unknown destinations to it."""
    forwards: Mapping[str, tuple[str, ...]] = {}
    seats: tuple[str, ...] = ()
    neighbours: Mapping[str, str] = {}


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """`ports`: name -> our VXLAN port. `bridges`: name -> MAC, of every bridge."""

    ports: Mapping[str, ObservedPort] = {}
    bridges: Mapping[str, str] = {}


class Rule(msgspec.Struct, frozen=True, kw_only=True, tag_field="rule", gc=False):
    """One thing to change in the kernel."""

    port: str


class DropPort(Rule, frozen=True, kw_only=True, tag="drop-port", gc=False):
    pass


class AddPort(Rule, frozen=True, kw_only=True, tag="add-port", gc=False):
    tunnel: Tunnel
    mtu: int


class SetPort(Rule, frozen=True, kw_only=True, tag="set-port", gc=False):
    """Puts the port into its bridge, quiet and up."""

    bridge: str
    mtu: int


class SetBridge(Rule, frozen=True, kw_only=True, tag="set-bridge", gc=False):
    bridge: str
    mac: str


Table = Literal["forward", "seat", "neighbour"]


class Entry(Rule, frozen=True, kw_only=True, tag="entry", gc=False):
    """A line of a table: forward MAC -> host address; seat MAC; neighbour address -> MAC (`key` is the address)."""

    table: Table
    key: str
    value: str = ""
    present: bool = True


AnyRule = DropPort | AddPort | SetPort | SetBridge | Entry


def difference(wanted: Sequence[WantedNetwork], observed: Observed) -> tuple[AnyRule, ...]:
    """Rules that make the kernel so, in the order to apply them. A network whose bridge is not there yet gets none."""
    ports = {network.port for network in wanted}
    rules: list[AnyRule] = [DropPort(port=name) for name in sorted(observed.ports) if name not in ports]
    for network in sorted(wanted, key=lambda one: one.vni):
        if network.bridge in observed.bridges:
            rules += _rules_for(network, observed)
    return tuple(rules)


def without_bridge(wanted: Sequence[WantedNetwork], observed: Observed) -> tuple[NetworkId, ...]:
    """Networks that must wait until the engine has made their bridge."""
    return tuple(sorted(one.network for one in wanted if one.bridge not in observed.bridges))


def _rules_for(network: WantedNetwork, observed: Observed) -> list[AnyRule]:
    rules: list[AnyRule] = []
    tunnel = _tunnel_of(network)
    port = observed.ports.get(network.port)
    if port is not None and port.tunnel != tunnel:
        rules.append(DropPort(port=network.port))
        port = None
    if port is None:
        rules.append(AddPort(port=network.port, tunnel=tunnel, mtu=network.mtu))
        port = ObservedPort(tunnel=tunnel, mtu=network.mtu)
    if (port.bridge, port.mtu, port.up, port.quiet) != (network.bridge, network.mtu, True, True):
        rules.append(SetPort(port=network.port, bridge=network.bridge, mtu=network.mtu))
    if network.bridge_mac and observed.bridges[network.bridge] != network.bridge_mac.lower():
        rules.append(SetBridge(port=network.port, bridge=network.bridge, mac=network.bridge_mac.lower()))
    # Leaving a bridge empties the bridge's own table.
    seats = port.seats if port.bridge == network.bridge else ()
    return rules + _entries(network, msgspec.structs.replace(port, seats=seats))


def _tunnel_of(network: WantedNetwork) -> Tunnel:
    return Tunnel(
        vni=network.vni,
        local_address=_canonical(network.local_address),
        destination_port=network.destination_port,
    )


def _entries(network: WantedNetwork, port: ObservedPort) -> list[AnyRule]:
    """Removals first; then the way to a MAC before anyone is told of the MAC."""
    remote = [peer for peer in network.peers if peer.host_address != network.local_address]
    forwards = {peer.mac.lower(): _canonical(peer.host_address) for peer in remote}
    neighbours = {_canonical(peer.ipv4): peer.mac.lower() for peer in remote}
    neighbours |= {_canonical(peer.ipv6): peer.mac.lower() for peer in remote if peer.ipv6}
    name = network.port
    return [
        *(_absent(name, "neighbour", address) for address in port.neighbours if address not in neighbours),
        *(_absent(name, "seat", mac) for mac in port.seats if mac not in forwards),
        *(
            _absent(name, "forward", mac)
            for mac, hosts in port.forwards.items()
            if mac not in forwards or len(hosts) > 1
        ),
        *(
            Entry(port=name, table="forward", key=mac, value=host)
            for mac, host in forwards.items()
            if port.forwards.get(mac) != (host,)
        ),
        *_missing_seats(name, forwards, port.seats),
        *(
            Entry(port=name, table="neighbour", key=address, value=mac)
            for address, mac in neighbours.items()
            if port.neighbours.get(address) != mac
        ),
    ]


def _canonical(address: str) -> str:
    """As the kernel's answer will read; IPv6 has many spellings."""
    return text_address(pack_address(address)) if ":" in address else address


def _missing_seats(port: str, forwards: Mapping[str, str], seats: Sequence[str]) -> list[Entry]:
    there = frozenset(seats)
    return [Entry(port=port, table="seat", key=mac) for mac in forwards if mac not in there]


def _absent(port: str, table: Table, key: str) -> Entry:
    return Entry(port=port, table=table, key=key, present=False)
