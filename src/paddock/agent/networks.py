"""Cluster networks on this host: on the engine while a container needs them, in the kernel, and in the names server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Protocol

from paddock.agent.ledger import Ledger
from paddock.core.names.records import NamedContainer, NamedNetwork, NameRecords
from paddock.drivers.docker_body import bridge_of
from paddock.drivers.engine import Engine, NetworkHeld, StepRefused
from paddock.drivers.vxlan import Peer, WantedNetwork
from paddock.model.assignment import (
    AddressAssignment,
    ContainerAssignment,
    NameAssignment,
    NetworkAssignment,
    PeerAssignment,
    UnitAssignment,
)
from paddock.model.errors import Broken, Refused, Transient
from paddock.model.objects import NetworkId, UnitDesired, UnitState
from paddock.model.steps import EnsureNetwork, RemoveNetwork
from paddock.world.backoff import Backoff
from paddock.world.world import World

GATHER_S = 0.02
"""So long changes are gathered before the kernel and the names server are told."""
AGAIN_S = 60.0
SETTLE_TIMEOUT_S = 5.0
LINGER_S = 2.0
"""So long an unneeded network stays: docker-compose 1 disconnects a container before its start and connects it anew."""


class Told(Protocol):
    """What an overlay answers. `problems`: port name -> why it is not as wanted."""

    @property
    def problems(self) -> Mapping[str, str]: ...


class OverlayDriver(Protocol):
    """`paddock.drivers.network.Overlay`, or the simulator's."""

    async def apply(self, wanted: Sequence[WantedNetwork]) -> Told: ...

    def changes(self) -> AsyncIterator[None]: ...


class NamesDriver(Protocol):
    """`paddock.drivers.names.Names`, or the simulator's."""

    async def update(self, records: NameRecords) -> Mapping[str, str]: ...


class Networks:
    """`ensure` before a container is started; the rest happens in `run` after `changed`."""

    def __init__(
        self, ledger: Ledger, engine: Engine, drivers: tuple[OverlayDriver, NamesDriver], world: World
    ) -> None:
        self._ledger = ledger
        self._engine = engine
        self._overlay, self._names = drivers
        self._world = world
        self._there: dict[NetworkId, NetworkAssignment | None] = {}
        self._unneeded_since: dict[NetworkId, float] = {}
        self._listed = False
        self._found_names: dict[NetworkId, str] = {}
        self._ensuring = asyncio.Lock()
        self._wake = asyncio.Event()
        self._programmed: dict[NetworkId, None] = {}
        self._settled = asyncio.Condition()
        self._problems: dict[str, str] = {}
        self.local_address = ""

    def known(self) -> dict[NetworkId, str]:
        """Networks this host was given -> their name on the engine."""
        return {network.network: network.engine_name for network in self._ledger.networks.values()}

    def of(self, container: ContainerAssignment) -> dict[NetworkId, NetworkAssignment]:
        """Raises `Transient` where one was taken away while a step of the container was under way."""
        assigned = self._ledger.networks
        missing = [endpoint.network for endpoint in container.endpoints if endpoint.network not in assigned]
        if missing:
            raise Transient(f"{container.name} waits for network {missing[0]}, of which this host was not told")
        return {endpoint.network: assigned[endpoint.network] for endpoint in container.endpoints}

    async def ensure(self, container: ContainerAssignment) -> dict[NetworkId, NetworkAssignment]:
        """The container's networks, made on the engine where they were not."""
        wanted = self.of(container)
        if not self._listed:
            await self._list()
        async with self._ensuring:
            for network in wanted.values():
                if self._there.get(network.network) != network:
                    left = any(self._being_left(there) for there in self._there if there not in self._ledger.networks)
                    await self._make_room(network)
                    await self._make(network, left=left)
                    self._there[network.network] = network
                    self._world.log.info("network is on the engine", network=network.engine_name)
                    self.changed()
        return wanted

    async def _make(self, network: NetworkAssignment, *, left: bool) -> None:
        """Raises `Transient` while what holds the network of before is on its way out: a host that was given up for
        lost may have another gateway when it is back, and its old containers are still being stopped. They may as well
        be on a network that is not this host's any more, and has this one's subnet (`left`: when room was made)."""
        held = self._being_left(network.network)
        try:
            await self._engine.apply(EnsureNetwork(network=network))
        except StepRefused as error:
            if left or (held and isinstance(error, NetworkHeld)) or await self._unlisted():
                raise Transient(error.message) from error
            raise

    async def _unlisted(self) -> bool:
        """The engine has a network that it had not when it was listed: it was slow, and an agent that is dead by now
        had asked for it."""
        found = await self._engine.networks()
        self._listed = self._listed and all(network in self._there for network in found)
        return not self._listed

    def _being_left(self, network: NetworkId) -> bool:
        """A unit that is to stop or go has not done so yet; what an unknown one is on is not known."""
        for unit in self._units():
            stopped = self._ledger.progress_of(unit.unit).state >= UnitState.SHUTDOWN
            going = unit.desired == UnitDesired.REMOVED or (unit.desired == UnitDesired.STOPPED and not stopped)
            on = [endpoint.network for container in unit.containers for endpoint in container.endpoints]
            if going and (network in on or not unit.containers):
                return True
        return False

    async def _make_room(self, wanted: NetworkAssignment) -> None:
        """A name, a number and a subnet are free again before every host has given up the network that had them.

        What this host was never told of is of an earlier life of it, and may have any of the three.
        """
        needed = self._needed()
        for network, there in list(self._there.items()):
            if network in needed or network == wanted.network:
                continue
            if there is None:
                await self._remove_leftover(network)
            elif _clash(there, wanted):
                await self._remove(network)

    async def _remove_leftover(self, network: NetworkId) -> None:
        """Raises `Transient` while containers of before are on it. Those of others may be on it for ever."""
        if network in self._ledger.networks:
            return
        try:
            await self._remove(network)
        except (Transient, Refused) as error:
            if self._being_left(network):
                raise
            self._world.log.info("network stays for now", network=self._found_names.get(network), reason=str(error))

    async def _remove(self, network: NetworkId) -> None:
        there = self._there[network]
        name = there.engine_name if there is not None else self._found_names.get(network, "")
        await self._engine.apply(RemoveNetwork(name=name))
        self._there.pop(network, None)
        self._world.log.info("network is gone from the engine", network=name)

    async def settle(self, container: ContainerAssignment) -> None:
        """Until the kernel knows the container's networks. Not for ever: it starts anyway and is reached later."""
        wanted = [endpoint.network for endpoint in container.endpoints]
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S), self._settled:
                await self._settled.wait_for(lambda: all(network in self._programmed for network in wanted))
        except TimeoutError:
            self._world.log.warning("a container starts before its network is programmed", container=container.name)

    def changed(self) -> None:
        self._wake.set()

    def engine_listed(self) -> None:
        """The engine may have been away: what it has is asked for again."""
        self._listed = False
        self.changed()

    async def follow_kernel(self) -> None:
        """Runs for ever: what others do to our bridges is put right."""
        async for _ in self._overlay.changes():
            self.changed()

    async def run(self) -> None:
        """Runs for ever."""
        backoff = Backoff(self._world, first_s=0.2, most_s=10.0)
        while True:
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                self._listed = False
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            try:
                await self._bring_about()
                backoff.reset()
            except (Transient, Broken) as error:
                self._world.log.error("networks are not as wished yet", error=str(error))
                self._wake.set()
                await backoff.wait()
                continue
            async with self._settled:
                self._settled.notify_all()

    def _pause_s(self) -> float:
        """Until something unneeded is to go, or it is time to look again. What would not go waits for the latter."""
        now_s = self._world.clock.monotonic_s()
        left = [since_s + LINGER_S - now_s for since_s in self._unneeded_since.values()]
        return min([AGAIN_S, *(left_s for left_s in left if left_s > 0)])

    async def _bring_about(self) -> None:
        if not self._listed:
            await self._list()
        await self._remove_unneeded()
        networks = [network for network in self._there.values() if network is not None]
        unheard = await self._names.update(self._records(networks))
        problems = await self._program(networks)
        self._programmed = {network.network: None for network in networks}
        self._tell({**problems, **unheard})

    async def _program(self, networks: Sequence[NetworkAssignment]) -> Mapping[str, str]:
        """What went wrong. While this host's address is not known the kernel keeps what it has, and goes on working."""
        if not self.local_address:
            return {}
        peers = self._peers()
        wanted = [self._wanted(network, peers.get(network.network, [])) for network in networks]
        return (await self._overlay.apply(wanted)).problems

    async def _list(self) -> None:
        """Under the lock, so that a network made meanwhile is not forgotten."""
        async with self._ensuring:
            found = await self._engine.networks()
            assigned = self._ledger.networks
            self._there = {
                network: assigned.get(network) if assigned.get(network) == self._there.get(network) else None
                for network in found
            }
            for network in found:
                wanted = assigned.get(network)
                if wanted is not None and self._there[network] is None:
                    try:
                        await self._engine.apply(EnsureNetwork(network=wanted))
                    except Refused as error:
                        self._world.log.error("network cannot be made right", network=found[network], error=str(error))
                        continue
                    self._there[network] = wanted
            self._found_names = found
            self._listed = True

    async def _remove_unneeded(self) -> None:
        """Nothing, as long as there is no assignment: a stopped container cannot do without its network either."""
        if self._ledger.version == 0:
            return
        needed = self._needed()
        now_s = self._world.clock.monotonic_s()
        known = self._unneeded_since
        unneeded = {network: known.get(network, now_s) for network in self._there if network not in needed}
        self._unneeded_since = unneeded
        for network in [network for network, since_s in unneeded.items() if now_s - since_s >= LINGER_S]:
            async with self._ensuring:
                if network in self._needed() or network not in self._there:
                    continue
                try:
                    await self._remove(network)
                except (Transient, Refused) as error:
                    self._world.log.info("network stays for now", network=network, reason=str(error))

    def _needed(self) -> dict[NetworkId, None]:
        return {
            endpoint.network: None
            for unit in self._units()
            for container in unit.containers
            for endpoint in container.endpoints
        }

    def _units(self) -> list[UnitAssignment]:
        units = [self._ledger.unit(unit) for unit in self._ledger.units()]
        return [
            unit for unit in units if unit is not None and self._ledger.progress_of(unit.unit).state < UnitState.REMOVED
        ]

    def _peers(self) -> dict[NetworkId, list[Peer]]:
        peers: dict[NetworkId, list[Peer]] = {}
        for item in self._ledger.items.values():
            if isinstance(item, PeerAssignment):
                peer = Peer(ipv4=item.ipv4, ipv6=item.ipv6, mac=item.mac, host_address=item.host_address)
                peers.setdefault(item.network, []).append(peer)
        return peers

    def _wanted(self, network: NetworkAssignment, peers: Sequence[Peer]) -> WantedNetwork:
        return WantedNetwork(
            network=network.network,
            bridge=bridge_of(network),
            vni=network.vni,
            mtu=network.mtu,
            local_address=self.local_address,
            peers=tuple(peers),
        )

    def _records(self, networks: Sequence[NetworkAssignment]) -> NameRecords:
        there = [network.network for network in networks]
        containers = [
            NamedContainer(
                addresses={endpoint.network: endpoint.ipv4 for endpoint in container.endpoints},
                links=container.links,
                resolvers=tuple(container.body.get("HostConfig", {}).get("Dns") or ()),
            )
            for unit in self._units()
            for container in unit.containers
            if container.endpoints
        ]
        items = [item for item in self._ledger.items.values() if isinstance(item, AddressAssignment | NameAssignment)]
        return NameRecords(
            networks=tuple(
                NamedNetwork(
                    network=network.network,
                    gateway=network.gateway,
                    subnet=network.subnet,
                    subnet6=network.subnet6,
                    internal=network.internal,
                )
                for network in networks
            ),
            addresses=tuple(one for one in items if isinstance(one, AddressAssignment) and one.network in there),
            known=tuple(one for one in items if isinstance(one, NameAssignment) and one.network in there),
            containers=tuple(containers),
        )

    def _tell(self, problems: dict[str, str]) -> None:
        for where, words in problems.items():
            if self._problems.get(where) != words:
                self._world.log.error("network problem", where=where, error=words)
        self._problems = problems


def _clash(one: NetworkAssignment, other: NetworkAssignment) -> bool:
    if one.vni == other.vni or one.engine_name == other.engine_name:
        return True
    return ip_network(one.subnet).overlaps(ip_network(other.subnet))
