"""Subnets and numbers for networks, gateway addresses of the hosts that take part, and the end of networks."""

from __future__ import annotations

import msgspec

from paddock.core.draft import GONE, Draft
from paddock.core.subnets import FIRST_VNI, free_subnet, ipv4_subnets, lowest_free
from paddock.core.subnets6 import free_subnet6, ipv6_subnets
from paddock.model.changes import Delete, Put
from paddock.model.objects import Environment, HostId, Network, NetworkId, UnitState


def allot(draft: Draft, network: Network) -> None:
    """A subnet (as asked for, or out of the environment's pools) and a VXLAN number, once."""
    six = network.spec.enable_ipv6
    if network.removing or (network.subnet and network.vni and (network.subnet6 or not six)):
        return
    everywhere = draft.table(Network)
    subnet = network.subnet or _subnet(draft, network, everywhere)
    if not subnet:
        return
    subnet6 = network.subnet6 or (_subnet6(draft, network, everywhere) if six else "")
    if six and not subnet6:
        return
    vni = network.vni or lowest_free([other.vni for other in everywhere], FIRST_VNI)
    changed = msgspec.structs.replace(network, subnet=subnet, subnet6=subnet6, vni=vni)
    both = f"{subnet} and {subnet6}" if subnet6 else subnet
    draft.apply([Put(object=changed, reason=f"network {network.name} gets {both}")])


def _subnet6(draft: Draft, network: Network, everywhere: list[Network]) -> str:
    for asked in ipv6_subnets(network.spec.subnets):
        return str(asked)
    taken = []
    for other in everywhere:
        if other.environment == network.environment and other.id != network.id:
            taken += list(ipv6_subnets([other.subnet6] if other.subnet6 else other.spec.subnets))
    return free_subnet6(network.environment, taken)


def _subnet(draft: Draft, network: Network, everywhere: list[Network]) -> str:
    """Avoids every network of the environment, what others ask for, and the hosts' own networks."""
    for asked in ipv4_subnets(network.spec.subnets):
        return str(asked)
    environment = draft.get(Environment, network.environment)
    if environment is None:
        return ""
    taken = []
    for other in everywhere:
        if other.environment == network.environment and other.id != network.id:
            taken += list(ipv4_subnets([other.subnet] if other.subnet else other.spec.subnets))
    for host in draft.hosts(network.environment):
        taken += list(ipv4_subnets(host.facts.subnets))
    return free_subnet(environment.pools, environment.subnet_bits, taken)


def tidy(draft: Draft, network: Network) -> None:
    """Hosts on which nothing of it is left take part no more; a network that is to go goes after its last unit."""
    if network.removing:
        units = draft.units_on_network(NetworkId(network.id))
        if all(unit.state in GONE for unit in units):
            draft.apply([Delete(object=network, reason="nothing uses it any more")])
            return
    if not network.gateways:
        return
    used: dict[HostId, None] = {}
    for unit in draft.units_on_network(NetworkId(network.id)):
        if unit.host is not None and unit.state != UnitState.NEW and unit.state not in GONE:
            used[unit.host] = None
    if len(used) < len(network.gateways):
        gateways = {host: address for host, address in sorted(network.gateways.items()) if host in used}
        changed = msgspec.structs.replace(network, gateways=gateways)
        draft.apply([Put(object=changed, reason=f"{len(network.gateways) - len(gateways)} hosts take part no more")])
