"""The server over real loopback sockets, with resolvers of the test's own."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import uvloop

from named import Named, records_of
from paddock.core.names.packet import FORMERR, NOERROR, NXDOMAIN, REFUSED, SERVFAIL, A, pack_refusal, read_query
from paddock.drivers import forwarder as forwarding
from paddock.drivers import names as names_server
from paddock.drivers.forwarder import Forwarder
from paddock.drivers.names import NamedContainer, NamedNetwork, NameRecords, Names
from paddock.drivers.resolv_conf import Resolvers
from paddock.model.objects import NetworkId
from paddock.world.world import machine_world

FRONT, BACK = NetworkId("front"), NetworkId("back")
GATEWAY = "127.84.0.1"
ASKER = "127.84.0.7"
STRANGER = "127.84.0.99"
DEADLINE_S = 5.0


class Given(Resolvers):
    def __init__(self, *addresses: str) -> None:
        super().__init__()
        self.addresses = addresses

    def current(self, now_s: float) -> tuple[str, ...]:
        return self.addresses


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((GATEWAY, 0))
        return int(probe.getsockname()[1])


def records(*names: Named) -> NameRecords:
    return records_of(
        (
            NamedNetwork(network=FRONT, gateway=GATEWAY, subnet="127.84.0.0/24"),
            NamedNetwork(network=BACK, gateway="127.84.1.1", subnet="127.84.1.0/24"),
        ),
        names,
        (NamedContainer(addresses={FRONT: ASKER, BACK: "127.84.1.7"}, links={"cache": "redis"}),),
    )


WEB = Named(FRONT, "web", ("127.84.0.21", "127.84.0.22", "127.84.0.23"))
REDIS = Named(BACK, "redis", ("127.84.1.30",))
MANY = Named(FRONT, "many", tuple(f"127.84.0.{one}" for one in range(20, 120)))


class Answer:
    def __init__(self, data: bytes) -> None:
        self.code = data[3] & 0xF
        self.cut = bool(data[2] & 2)
        count, offset = int.from_bytes(data[6:8]), 12
        while data[offset : offset + 1] not in (b"\0", b""):
            offset += 1 + data[offset]
        offset += 5
        rows = [data[offset + 16 * one : offset + 16 * (one + 1)] for one in range(count)]
        self.addresses = [socket.inet_ntoa(row[12:]) for row in rows if row[2:4] == b"\0\1"]


def question(name: str, kind: int = A, number: int = 0x1234) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


class Client:
    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, data: bytes, source: str = ASKER, gateway: str = GATEWAY) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.setblocking(False)
            asker.bind((source, 0))
            asker.connect((gateway, self.port))
            await loop.sock_sendall(asker, data)
            async with asyncio.timeout(DEADLINE_S):
                received = await loop.sock_recv(asker, 65535)
        assert received[:2] == data[:2]
        return received

    async def look_up(self, name: str, source: str = ASKER, gateway: str = GATEWAY) -> Answer:
        return Answer(await self.ask(question(name), source, gateway))

    async def ask_stream(self, *questions: bytes) -> list[bytes]:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(GATEWAY, self.port, local_addr=(ASKER, 0))
            for data in questions:
                writer.write(len(data).to_bytes(2) + data)
            answers = [await reader.readexactly(int.from_bytes(await reader.readexactly(2))) for _ in questions]
            writer.close()
            await writer.wait_closed()
        return answers


@asynccontextmanager
async def serving(first: NameRecords, *resolvers: str, upstream_port: int = 9) -> AsyncIterator[tuple[Names, Client]]:
    port = free_port()
    world = machine_world()
    names = Names(world, forwarder=Forwarder(world, Given(*resolvers), port=upstream_port), port=port)
    assert await names.update(first) == {}
    try:
        yield names, Client(port)
    finally:
        await names.close()


def run(body: Coroutine[Any, Any, None], *, fast: bool = False) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if fast else None) as runner:
        runner.run(body)


@pytest.mark.parametrize("fast", [False, True], ids=["asyncio", "uvloop"])
def test_every_asker_gets_all_addresses_in_turning_order(fast: bool) -> None:
    async def body() -> None:
        async with serving(records(WEB)) as (_, client):
            answers = [await client.look_up("WEB") for _ in range(6)]
            assert {tuple(sorted(one.addresses)) for one in answers} == {WEB.addresses}
            firsts = [one.addresses[0] for one in answers]
            assert sorted(firsts) == sorted(WEB.addresses * 2)

    run(body(), fast=fast)


def test_the_asker_decides_the_networks_and_links() -> None:
    async def body() -> None:
        async with serving(records(WEB, REDIS)) as (_, client):
            assert (await client.look_up("redis")).addresses == ["127.84.1.30"]
            assert (await client.look_up("cache")).addresses == ["127.84.1.30"]
            for_stranger = await client.look_up("web", STRANGER)
            assert sorted(for_stranger.addresses) == list(WEB.addresses)
            # Not its network, and no resolver to forward to.
            assert (await client.look_up("redis", STRANGER)).code == SERVFAIL

    run(body())


def test_a_change_is_answered_at_once() -> None:
    async def body() -> None:
        async with serving(records(WEB)) as (names, client):
            assert len((await client.look_up("web")).addresses) == 3
            fewer = Named(FRONT, "web", ("127.84.0.21",))
            await names.update(records(fewer))
            assert (await client.look_up("web")).addresses == ["127.84.0.21"]
            await names.update(records(Named(FRONT, "web", ())))
            empty = await client.look_up("web")
            assert (empty.code, empty.addresses) == (NOERROR, [])

    run(body())


@pytest.mark.parametrize("fast", [False, True], ids=["asyncio", "uvloop"])
def test_what_does_not_fit_a_datagram_is_cut_and_whole_over_tcp(fast: bool) -> None:
    async def body() -> None:
        async with serving(records(MANY, WEB)) as (_, client):
            short = await client.look_up("many")
            assert short.cut
            assert 25 <= len(short.addresses) < 100
            whole, web = [Answer(one) for one in await client.ask_stream(question("many"), question("web"))]
            assert not whole.cut
            assert sorted(whole.addresses) == sorted(MANY.addresses)
            assert len(web.addresses) == 3

    run(body(), fast=fast)


def test_rubbish_is_answered_with_a_code_or_not_at_all() -> None:
    async def body() -> None:
        async with serving(records(WEB)) as (_, client):
            assert Answer(await client.ask(question("web")[:15])).code == FORMERR
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.ask(b"\1\2\3")
            assert (await client.look_up("web")).code == NOERROR

    run(body())


def test_who_is_not_on_the_network_gets_no_answer() -> None:
    async def body() -> None:
        async with serving(records(WEB)) as (_, client):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.look_up("web", "127.84.9.9")

    run(body())


def test_an_address_that_is_not_there_yet_is_listened_on_and_one_taken_is_told() -> None:
    async def body() -> None:
        async with serving(records(WEB)) as (names, client):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind(("127.84.2.1", client.port))
                taken = NamedNetwork(network=NetworkId("third"), gateway="127.84.2.1", subnet="127.84.2.0/24")
                later = NamedNetwork(network=NetworkId("fourth"), gateway="198.51.100.77", subnet="198.51.100.0/24")
                first = records(WEB)
                more = NameRecords(networks=(*first.networks, taken, later), addresses=first.addresses)
                problems = await names.update(more)
                assert list(problems) == ["127.84.2.1"]
                assert "another DNS server" in problems["127.84.2.1"]
            assert await names.update(more) == {}
            await names.update(NameRecords())
            with pytest.raises(OSError):
                await client.look_up("web")

    run(body())


class Upstream(asyncio.DatagramProtocol):
    """A resolver of the test's: `answer` makes the datagrams to send for each question."""

    def __init__(self, answer: Callable[[bytes], list[bytes]]) -> None:
        self.answer = answer
        self.asked: list[tuple[bytes, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append((data, addr[1]))
        for answer in self.answer(data):
            self.transport.sendto(answer, addr)


def with_code(data: bytes, code: int) -> bytes:
    query = read_query(data)
    assert query
    return data[:2] + pack_refusal(query, code)


async def upstream(address: str, port: int, answer: Callable[[bytes], list[bytes]]) -> Upstream:
    loop = asyncio.get_running_loop()
    _, protocol = await loop.create_datagram_endpoint(lambda: Upstream(answer), local_addr=(address, port))
    return protocol


def forwarded(*answers: Callable[[bytes], list[bytes]]) -> Callable[[Callable[..., Awaitable[None]]], None]:
    """Runs a body with a server whose resolvers answer so, and those resolvers."""

    def runner(body: Callable[..., Awaitable[None]]) -> None:
        async def whole() -> None:
            port = free_port()
            addresses = [f"127.84.200.{place}" for place in range(1, len(answers) + 1)]
            started = [
                await upstream(address, port, answer) for address, answer in zip(addresses, answers, strict=True)
            ]
            async with serving(records(WEB), *addresses, upstream_port=port) as (names, client):
                await body(names, client, started)
            for one in started:
                one.transport.close()

        run(whole())

    return runner


def test_other_names_are_asked_of_the_hosts_resolver_with_fresh_ids_and_ports() -> None:
    async def body(_: Names, client: Client, resolvers: list[Upstream]) -> None:
        answers = [await client.look_up("example.org") for _ in range(20)]
        assert {one.code for one in answers} == {NXDOMAIN}
        asked = resolvers[0].asked
        assert len({data[:2] for data, _ in asked}) > 15
        assert len({port for _, port in asked}) > 15

    forwarded(lambda data: [with_code(data, NXDOMAIN)])(body)


def test_a_container_with_resolvers_of_its_own_has_those_asked() -> None:
    async def body(names: Names, client: Client, resolvers: list[Upstream]) -> None:
        first = records(WEB)
        own = NamedContainer(addresses={FRONT: "127.84.0.8"}, resolvers=("127.84.200.2",))
        await names.update(NameRecords(networks=first.networks, addresses=first.addresses, containers=(own,)))
        assert (await client.look_up("example.org", "127.84.0.8")).code == NXDOMAIN
        assert len((await client.look_up("web", "127.84.0.8")).addresses) == 3
        assert [len(one.asked) for one in resolvers] == [0, 1]

    forwarded(lambda data: [], lambda data: [with_code(data, NXDOMAIN)])(body)


def test_forged_answers_are_passed_over() -> None:
    def forge(data: bytes) -> list[bytes]:
        wrong_id = bytes([data[0] ^ 1]) + with_code(data, NOERROR)[1:]
        wrong_name = with_code(data[:2] + question("evil.org")[2:], NOERROR)
        return [wrong_id, wrong_name, data, b"", with_code(data, NXDOMAIN)]

    async def body(_: Names, client: Client, __: list[Upstream]) -> None:
        assert (await client.look_up("example.org")).code == NXDOMAIN

    forwarded(forge)(body)


def test_the_next_resolver_is_asked_when_one_is_silent_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "TRY_TIMEOUT_S", 0.05)

    async def body(_: Names, client: Client, resolvers: list[Upstream]) -> None:
        assert (await client.look_up("example.org")).code == NXDOMAIN
        assert [len(one.asked) for one in resolvers] == [1, 1, 1]

    forwarded(lambda data: [], lambda data: [with_code(data, REFUSED)], lambda data: [with_code(data, NXDOMAIN)])(body)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "TRY_TIMEOUT_S", 0.05)

    async def body(_: Names, client: Client, resolvers: list[Upstream]) -> None:
        assert (await client.look_up("example.org")).code == SERVFAIL
        assert len(resolvers[0].asked) == forwarding.LEAST_TRIES

    forwarded(lambda data: [])(body)


def test_what_is_under_way_is_bounded_and_our_own_names_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "TRY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(forwarding, "MOST_FLIGHTS", 4)

    async def body(_: Names, client: Client, __: list[Upstream]) -> None:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(client.look_up(f"n{one}.example.org")) for one in range(8)]
            group.create_task(client.look_up("web"))
        codes = [task.result().code for task in asked]
        assert codes.count(REFUSED) == 4
        assert codes.count(SERVFAIL) == 4

    forwarded(lambda data: [])(body)


def test_over_tcp_it_is_forwarded_over_tcp() -> None:
    async def body() -> None:
        port = free_port()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            whole = with_code(data, NXDOMAIN)
            # In two pieces: nobody promises that a message comes in one.
            writer.write(len(whole).to_bytes(2) + whole[:5])
            await writer.drain()
            writer.write(whole[5:])
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.84.200.1", port)
        async with serving(records(WEB), "127.84.200.1", upstream_port=port) as (_, client):
            (received,) = await client.ask_stream(question("example.org"))
            assert Answer(received).code == NXDOMAIN
        server.close()

    run(body())


def test_ten_thousand_names_are_taken_in_without_holding_up_answers() -> None:
    async def body() -> None:
        async with serving(records(WEB)) as (names, client):
            many = [Named(FRONT, f"n{one}", (f"127.84.{one >> 8}.{one & 255}",)) for one in range(10_000)]
            await names.update(records(WEB, *many))
            assert (await client.look_up("n9999")).addresses == ["127.84.39.15"]
            assert len((await client.look_up("web")).addresses) == 3

    run(body())


def test_made_up_questions_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_server, "MOST_PACKED_BYTES", 20_000)

    async def body() -> None:
        async with serving(records(WEB)) as (names, client):
            most = 0
            for kind in range(1, 200):
                await client.ask(question("web", kind))
                most = max(most, names.packed_bytes)
            assert 15_000 < most <= 20_000
            await names.update(records(REDIS))
            assert names.packed_bytes == 0

    run(body())
