"""The names server of a host: DNS on each cluster network's gateway address, UDP and TCP.

The engine's resolver in a container sends what it does not know to the gateway, from the container's own address; that
says whose networks are searched. A question asked before is answered by its bytes: one look-up, no parsing.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import itertools
import os
import socket
from collections.abc import Callable, Iterator, Mapping

from paddock.core.names.packet import STREAM_BYTES, Query, pack_answer, pack_refusal, read_query
from paddock.core.names.records import NamedContainer, NamedNetwork, NameRecords
from paddock.core.names.zone import Answer, Asker, Zone, asker_of
from paddock.drivers.dns_stream import DnsStream
from paddock.drivers.forwarder import DNS_PORT, Forwarder
from paddock.model.objects import NetworkId
from paddock.world.world import World

__all__ = ["NameRecords", "NamedContainer", "NamedNetwork", "Names"]

TTL_S = 1
BURST_DATAGRAMS = 64
MOST_ROTATIONS = 16
MOST_PACKED_BYTES = 1 << 23
PACKED_OVERHEAD_BYTES = 500
"""What Python spends on one packed answer besides its bytes."""
DATAGRAM_BYTES = 4096
SOCKET_BUFFER_BYTES = 1 << 22
LISTEN_BACKLOG = 128
IP_FREEBIND = 15

Packed = Iterator[bytes]
"""Answers without their id, one turn each."""


class _View:
    """Answers given to askers that are equal. `packed`: question bytes after the id -> answers in turn."""

    __slots__ = ("asker", "packed", "packed_bytes")

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.packed: dict[bytes, Packed] = {}
        self.packed_bytes = 0

    def forget(self) -> None:
        self.packed.clear()
        self.packed_bytes = 0


class Names:
    """`update` gives it everything it shall know and is cheap when little has changed; it goes on with the last it was
    given. Answers carry a TTL of one second: a change is seen by everyone within that."""

    def __init__(self, world: World, *, forwarder: Forwarder | None = None, port: int = DNS_PORT) -> None:
        self._world = world
        self._forwarder = forwarder or Forwarder(world)
        self._port = port
        self._zone = Zone()
        self._views: dict[Asker, _View] = {}
        self._sources: dict[NetworkId, dict[str, _View]] = {}
        self._packed_bytes = 0
        self._listeners: dict[NetworkId, _Listener] = {}
        self._streams: set[DnsStream] = set()
        self._one_update = asyncio.Lock()

    async def update(self, records: NameRecords) -> Mapping[str, str]:
        """Returns gateway address -> why nobody is answered there; tried again at the next update."""
        async with self._one_update:
            self._take(records)
            return await self._listen(records)

    async def close(self) -> None:
        async with self._one_update:
            for listener in self._listeners.values():
                listener.close()
            self._listeners.clear()
            for stream in list(self._streams):
                stream.abort()
            self._forwarder.close()

    def _take(self, records: NameRecords) -> None:
        zone = Zone.of(records)
        changed = zone.changed_since(self._zone)
        if zone.networks.keys() != self._zone.networks.keys():
            # Whether an address without a name is ours or the outside's may have changed for everybody.
            changed = frozenset(zone.networks)
        self._zone = zone
        views: dict[Asker, _View] = {}
        sources: dict[NetworkId, dict[str, _View]] = {one.network: {} for one in records.networks}
        for container in records.containers:
            asker = asker_of(container)
            view = views.setdefault(asker, self._views.get(asker) or _View(asker))
            for network, address in container.addresses.items():
                if network in sources:
                    sources[network][address] = view
        for network in sources:
            asker = Asker(networks=(network,))
            views.setdefault(asker, self._views.get(asker) or _View(asker))
        for view in views.values():
            if not changed.isdisjoint(view.asker.networks):
                view.forget()
        self._views = views
        self._packed_bytes = sum(view.packed_bytes for view in views.values())
        self._forwarder.own_addresses = frozenset(one.gateway for one in records.networks)
        for network, listener in self._listeners.items():
            if network in sources:
                listener.sources = sources[network]
                listener.default = views[Asker(networks=(network,))]
        self._sources = sources

    async def _listen(self, records: NameRecords) -> dict[str, str]:
        wanted = {one.network: one for one in records.networks}
        for network, listener in list(self._listeners.items()):
            if wanted.get(network) != listener.network:
                listener.close()
                del self._listeners[network]
        problems: dict[str, str] = {}
        for network, named in wanted.items():
            if network in self._listeners:
                continue
            try:
                self._listeners[network] = await self._open(named)
            except OSError as error:
                problems[named.gateway] = _explain(named, self._port, error)
        return problems

    async def _open(self, network: NamedNetwork) -> _Listener:
        listener = _Listener(network, self._miss)
        listener.sources = self._sources[network.network]
        listener.default = self._views[Asker(networks=(network.network,))]
        try:
            await listener.open(self._port, self._streams)
        except OSError:
            listener.close()
            raise
        return listener

    def _miss(self, view: _View, data: bytes, reply: Callable[[bytes], None], *, stream: bool) -> None:
        """A question not asked before, since its names last changed."""
        query = read_query(data)
        if query is None:
            return
        if query.problem:
            reply(data[:2] + pack_refusal(query, query.problem))
            return
        answer = self._zone.look_up(view.asker, query)
        if answer is None:
            self._forwarder.ask(data, query, reply, stream=stream, instead=view.asker.resolvers)
            return
        turns = _turns(query, answer, STREAM_BYTES if stream else query.udp_bytes)
        first = int(self._world.chance.uniform(0, len(turns))) % len(turns)
        turns = turns[first:] + turns[:first]
        if not stream:
            self._keep(view, data[2:], turns[1:] + turns[:1])
        reply(data[:2] + turns[0])

    def _keep(self, view: _View, question: bytes, turns: list[bytes]) -> None:
        """Askers can make up questions without end: when it is too much, all that is packed goes."""
        bytes_ = len(question) + sum(map(len, turns)) + PACKED_OVERHEAD_BYTES
        if self._packed_bytes + bytes_ > MOST_PACKED_BYTES:
            self._world.probe("names: packed answers full")
            for one in self._views.values():
                one.forget()
            self._packed_bytes = 0
        view.packed[question] = itertools.cycle(turns)
        view.packed_bytes += bytes_
        self._packed_bytes += bytes_

    @property
    def packed_bytes(self) -> int:
        return self._packed_bytes


def _turns(query: Query, answer: Answer, limit: int) -> list[bytes]:
    """The same answer with its addresses in other orders."""
    count = len(answer.records)
    turns = min(max(count, 1), MOST_ROTATIONS)
    starts = [turn * count // turns for turn in range(turns)]
    return [
        pack_answer(query, answer.code, answer.records[start:] + answer.records[:start], ttl_s=TTL_S, limit=limit)
        for start in starts
    ]


def _explain(network: NamedNetwork, port: int, error: OSError) -> str:
    text = os.strerror(error.errno or 0)
    if error.errno == errno.EADDRINUSE:
        text += f"; another DNS server listens there or on every address, see `ss -lunp sport = :{port}`"
    return f"names are not served on {network.gateway} port {port}: {text}"


class _Listener:
    """The sockets of one network. They are bound even while the engine has not given the bridge its address yet."""

    def __init__(self, network: NamedNetwork, miss: Callable[..., None]) -> None:
        self.network = network
        self.sources: Mapping[str, _View] = {}
        self.default = _View(Asker(networks=(network.network,)))
        self._subnet = ipaddress.ip_network(network.subnet)
        self._miss = miss
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def open(self, port: int, streams: set[DnsStream]) -> None:
        loop = asyncio.get_running_loop()
        self._socket = _bound(self.network.gateway, port, socket.SOCK_DGRAM)
        accepting = _bound(self.network.gateway, port, socket.SOCK_STREAM)
        try:
            self._server = await loop.create_server(
                lambda: DnsStream(self._answer_stream, streams), sock=accepting, backlog=LISTEN_BACKLOG
            )
        except OSError:
            accepting.close()
            raise
        loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._server is not None:
            self._server.close()
            self._server = None

    def _read(self) -> None:
        """The hot path."""
        assert self._socket is not None
        receive, send, sources = self._socket.recvfrom, self._socket.sendto, self.sources
        try:
            for _ in range(BURST_DATAGRAMS):
                data, source = receive(DATAGRAM_BYTES)
                view = sources.get(source[0])
                if view is not None and (packed := view.packed.get(data[2:])) is not None:
                    send(data[:2] + next(packed), source)
                else:
                    self._answer_datagram(view, data, source)
        except BlockingIOError:
            return
        except OSError:
            # An ICMP error for an earlier answer, or no buffers: the asker asks again.
            return

    def _answer_datagram(self, view: _View | None, data: bytes, source: tuple[str, int]) -> None:
        if view is None:
            if not self._may_ask(source[0]):
                return
            view = self.default
            packed = view.packed.get(data[2:])
            if packed is not None:
                self._send(data[:2] + next(packed), source)
                return
        self._miss(view, data, lambda answer: self._send(answer, source), stream=False)

    def _answer_stream(self, data: bytes, source: str, reply: Callable[[bytes], None]) -> None:
        if self._may_ask(source):
            self._miss(self.sources.get(source, self.default), data, reply, stream=True)

    def _may_ask(self, source: str) -> bool:
        """The network's own and this host; not whoever routes a packet to the gateway's address from outside."""
        return ipaddress.ip_address(source) in self._subnet

    def _send(self, answer: bytes, source: tuple[str, int]) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(answer, source)
        except OSError:
            # Full buffers or an asker that is gone: it asks again.
            return


def _bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER_BYTES)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound
