"""Questions that are not ours, asked of the host's own resolvers.

Each try has its own socket, and so a port the kernel chose by chance, and its own random id: an answer must match both
and the question (RFC 5452). No task, no cache; what is under way is bounded.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from paddock.core.names.packet import REFUSED, SERVFAIL, Query, answers_to, code_of, pack_refusal
from paddock.drivers.resolv_conf import MOST_RESOLVERS, Resolvers
from paddock.world.world import World

TRY_TIMEOUT_S = 2.0
LEAST_TRIES = 2
MOST_FLIGHTS = 512
DNS_PORT = 53
RECEIVE_BYTES = 65_537

Reply = Callable[[bytes], None]


class Forwarder:
    """`ask` calls back once, with an answer that bears the id of the question; refused at once beyond the bound."""

    def __init__(self, world: World, resolvers: Resolvers | None = None, port: int = DNS_PORT) -> None:
        self._world = world
        self._resolvers = resolvers or Resolvers()
        self._port = port
        self._flights: set[_Flight] = set()
        self.own_addresses: frozenset[str] = frozenset()
        """Where we listen ourselves; never asked."""

    def ask(self, data: bytes, query: Query, reply: Reply, *, stream: bool, instead: Sequence[str] = ()) -> None:
        """`instead`: resolvers to ask in place of the host's own."""
        if len(self._flights) >= MOST_FLIGHTS:
            self._world.probe("names: too many forwarded questions")
            reply(data[:2] + pack_refusal(query, REFUSED))
            return
        loop = asyncio.get_running_loop()
        given = instead[:MOST_RESOLVERS] or self._resolvers.current(loop.time())
        resolvers = [one for one in given if one not in self.own_addresses]
        tries = resolvers * LEAST_TRIES if len(resolvers) == 1 else resolvers
        flight = _Flight(data, query, stream=stream)
        flight.targets = [(address, self._port) for address in tries]
        flight.new_id = lambda: int(self._world.chance.hex(4), 16).to_bytes(2)
        flight.landed = lambda answer: self._land(flight, reply, answer)
        self._flights.add(flight)
        flight.next_try()

    def close(self) -> None:
        for flight in list(self._flights):
            flight.abandon()
        self._flights.clear()

    @property
    def under_way(self) -> int:
        return len(self._flights)

    def _land(self, flight: _Flight, reply: Reply, answer: bytes) -> None:
        self._flights.discard(flight)
        reply(answer)


class _Flight:
    """One question, tried at one resolver after another."""

    new_id: Callable[[], bytes]
    landed: Reply

    def __init__(self, data: bytes, query: Query, *, stream: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._data = data
        self._query = query
        self._stream = stream
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._id = b""
        self._received = b""
        self._unsent = b""
        self._refusal = b""
        self.targets: list[tuple[str, int]] = []

    def next_try(self) -> None:
        self.abandon()
        while self.targets:
            if self._begin(self.targets.pop(0)):
                return
        self.landed(self._data[:2] + (self._refusal or pack_refusal(self._query, SERVFAIL)))

    def abandon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _begin(self, target: tuple[str, int]) -> bool:
        self._id = self.new_id()
        question = self._id + self._data[2:]
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            if self._stream:
                self._received, self._unsent = b"", len(question).to_bytes(2) + question
                self._socket.connect_ex(target)
                self._loop.add_writer(self._socket.fileno(), self._write)
            else:
                self._socket.connect(target)
                self._socket.send(question)
                self._loop.add_reader(self._socket.fileno(), self._read_datagram)
        except OSError:
            self.abandon()
            return False
        self._timer = self._loop.call_later(TRY_TIMEOUT_S, self.next_try)
        return True

    def _write(self) -> None:
        assert self._socket is not None
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self.next_try()
            return
        if not self._unsent:
            self._loop.remove_writer(self._socket.fileno())
            self._loop.add_reader(self._socket.fileno(), self._read_stream)

    def _read_datagram(self) -> None:
        received = self._receive()
        if received:
            self._judge(received)

    def _read_stream(self) -> None:
        received = self._receive()
        if received is None:
            return
        self._received += received
        whole = int.from_bytes(self._received[:2]) + 2
        if len(self._received) >= max(whole, 14):
            self._judge(self._received[2:whole])
        elif not received:
            self.next_try()

    def _receive(self) -> bytes | None:
        """None when there is nothing, or when the try has failed and the next was begun."""
        assert self._socket is not None
        try:
            return self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            self.next_try()
            return None

    def _judge(self, response: bytes) -> None:
        if response[:2] != self._id or not answers_to(response, self._query.question):
            return
        if code_of(response) in (SERVFAIL, REFUSED) and self.targets:
            self._refusal = response[2:]
            self.next_try()
            return
        self.abandon()
        self.landed(self._data[:2] + response[2:])
