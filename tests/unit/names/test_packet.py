from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.core.names import packet


def labels(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


def query(name: str, kind: int = packet.A, *, edns: int = 0, version: int = 0, flags: int = 0x0100) -> bytes:
    head = struct.pack("!HHHHHH", 0xBEEF, flags, 1, 0, 0, 1 if edns else 0)
    options = struct.pack("!BHHIH", 0, packet.OPT, edns, version << 16, 0) if edns else b""
    return head + labels(name) + struct.pack("!HH", kind, 1) + options


def test_a_question_is_read_without_regard_to_case() -> None:
    read = packet.read_query(query("Web.Shop"))
    assert read is not None
    assert (read.name, read.kind, read.class_, read.problem, read.udp_bytes) == ("web.shop", packet.A, 1, 0, 512)
    assert read.question == labels("Web.Shop") + b"\0\1\0\1"


@pytest.mark.parametrize(("offered", "granted"), [(100, 512), (512, 512), (1000, 1000), (4096, 1232), (65535, 1232)])
def test_edns_size_is_bounded_both_ways(offered: int, granted: int) -> None:
    read = packet.read_query(query("web", edns=offered))
    assert read is not None
    assert (read.edns, read.udp_bytes) == (True, granted)


PROBLEMS = {
    "no question": (struct.pack("!HHHHHH", 1, 0x0100, 0, 0, 0, 0), packet.FORMERR),
    "two questions": (struct.pack("!HHHHHH", 1, 0x0100, 2, 0, 0, 0) + labels("a") + b"\0\1\0\1", packet.FORMERR),
    "cut in the name": (query("web.shop")[:16], packet.FORMERR),
    "cut in the type": (query("web.shop")[:-3], packet.FORMERR),
    "pointer in the question": (struct.pack("!HHHHHH", 1, 256, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", packet.FORMERR),
    "name of 300 bytes": (query(".".join(["a" * 50] * 6)), packet.FORMERR),
    "zone transfer notice": (query("web", flags=0x2000), packet.NOTIMP),
    "EDNS of the future": (query("web", edns=1232, version=1), packet.BADVERS),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_bad_questions_get_their_code(case: str) -> None:
    data, code = PROBLEMS[case]
    read = packet.read_query(data)
    assert read is not None
    assert read.problem == code
    refusal = packet.pack_refusal(read, code)
    assert refusal[1] & 0xF == code & 0xF
    assert (code == packet.BADVERS) == (refusal[-6:-5] == b"\1" and len(refusal) > 15)


def test_answers_and_stubs_of_messages_are_left_unanswered() -> None:
    assert packet.read_query(query("web", flags=0x8000)) is None
    assert packet.read_query(b"\0" * 11) is None


@given(st.binary(max_size=600))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    read = packet.read_query(data)
    if read is not None:
        packet.pack_refusal(read, read.problem)
        packet.pack_answer(read, 0, [packet.address_record("10.0.0.1")], ttl_s=1, limit=read.udp_bytes)


@given(st.binary(max_size=40), st.integers(0, 40), st.binary(max_size=8))
def test_no_damage_to_a_question_makes_it_fail(junk: bytes, place: int, more: bytes) -> None:
    whole = query("web.shop", edns=1232)
    packet.read_query(whole[:place] + junk + whole[place + len(junk) :] + more)


@given(st.integers(0, 120), st.sampled_from([512, 1232, 65535]))
def test_an_answer_fits_and_says_when_it_does_not_hold_all(count: int, limit: int) -> None:
    read = packet.read_query(query("web.shop", edns=1232))
    assert read is not None
    records = [packet.address_record(f"10.0.0.{one}") for one in range(count)]
    answer = b"\0\0" + packet.pack_answer(read, 0, records, ttl_s=1, limit=limit)
    assert len(answer) <= limit
    cut = bool(answer[2] & 0x02)
    held = int.from_bytes(answer[6:8])
    assert (held < count) == cut
    assert packet.answers_to(answer, read.question)


@given(st.ip_addresses())
def test_address_records(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    kind = packet.A if address.version == 4 else packet.AAAA
    assert packet.address_record(str(address)) == kind.to_bytes(2) + address.packed


def test_an_answer_to_another_question_is_not_an_answer() -> None:
    read = packet.read_query(query("web"))
    other = packet.read_query(query("Web"))
    third = packet.read_query(query("wab"))
    assert read
    assert other
    assert third
    answer = b"\0\0" + packet.pack_refusal(read, packet.NXDOMAIN)
    assert packet.answers_to(answer, other.question)
    assert not packet.answers_to(answer, third.question)
    assert not packet.answers_to(query("web"), read.question)
