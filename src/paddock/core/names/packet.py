"""DNS messages: reading one question, packing one answer (RFC 1035, EDNS0 of RFC 6891)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
CLASS_IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
BADVERS = 16
PLAIN_UDP_BYTES = 512
EDNS_UDP_BYTES = 1232
"""Fits every path without fragments (DNS flag day 2020); what we offer and the most we send."""
STREAM_BYTES = 65_535
MOST_ADDITIONAL = 4

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHHIH")
_PAIR = struct.Struct("!HH")
_OPT = struct.Struct("!BHHIH")
_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800


class Query(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One question as asked. `problem` is the response code it deserves by itself, 0 when it can be looked up.

    `name` is lower case without the last dot; `question` the raw section, sent back as it came (0x20 mixed case).
    """

    flags: int
    name: str = ""
    kind: int = 0
    class_: int = 0
    question: bytes = b""
    udp_bytes: int = PLAIN_UDP_BYTES
    edns: bool = False
    problem: int = NOERROR


def read_query(data: bytes) -> Query | None:
    """None for what must not be answered: too short to have a header, or itself an answer."""
    if len(data) < 12:
        return None
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & _QR:
        return None
    if flags & _OPCODE:
        return Query(flags=flags, problem=NOTIMP)
    read = _read_name(data) if questions == 1 else None
    if read is None or read[1] + 4 > len(data):
        return Query(flags=flags, problem=FORMERR)
    name, end = read
    kind, class_ = _PAIR.unpack_from(data, end)
    query = Query(flags=flags, name=name, kind=kind, class_=class_, question=data[12 : end + 4])
    if answers or authorities or not additionals:
        return query
    return _with_edns(query, data, end + 4, min(additionals, MOST_ADDITIONAL))


def _read_name(data: bytes) -> tuple[str, int] | None:
    """(name, offset after it); None when it is cut, too long, or points elsewhere."""
    labels: list[bytes] = []
    offset = 12
    while offset < len(data):
        length = data[offset]
        offset += 1
        if length == 0:
            return b".".join(labels).lower().decode("latin-1"), offset
        if length > 63 or offset + length > len(data) or offset + length - 12 > 254:
            return None
        # A dot inside a label is not a separator; no name of ours holds a backslash.
        labels.append(data[offset : offset + length].replace(b".", b"\\."))
        offset += length
    return None


def _with_edns(query: Query, data: bytes, offset: int, count: int) -> Query:
    for _ in range(count):
        if offset + 11 > len(data) or data[offset] != 0:
            return query
        kind, size, extended, length = struct.unpack_from("!HHIH", data, offset + 1)
        if kind == OPT:
            version = (extended >> 16) & 0xFF
            return msgspec.structs.replace(
                query,
                edns=True,
                udp_bytes=max(PLAIN_UDP_BYTES, min(size, EDNS_UDP_BYTES)),
                problem=BADVERS if version else NOERROR,
            )
        offset += 11 + length
    return query


def pack_answer(query: Query, code: int, records: Sequence[bytes], *, ttl_s: int, limit: int) -> bytes:
    """An authoritative answer without its two bytes of id. `records` are type and data from `address_record` or
    `name_record`; those that do not fit in `limit` are left out and the answer is marked as cut."""
    options = _OPT.pack(0, OPT, EDNS_UDP_BYTES, (code >> 4) << 24, 0) if query.edns else b""
    room = limit - 12 - len(query.question) - len(options)
    body: list[bytes] = []
    for record in records:
        packed = b"\xc0\x0c" + record[:2] + _TTL.pack(CLASS_IN, ttl_s, len(record) - 2) + record[2:]
        room -= len(packed)
        if room < 0:
            break
        body.append(packed)
    flags = _QR | _AA | _RA | (query.flags & _RD) | (code & 0xF)
    if len(body) < len(records):
        flags |= _TC
    counts = struct.pack("!HHHHH", flags, 1 if query.question else 0, len(body), 0, 1 if options else 0)
    return b"".join((counts, query.question, *body, options))


_TTL = struct.Struct("!HIH")


def pack_refusal(query: Query, code: int) -> bytes:
    """An answer with a code and nothing else, not authoritative; without its two bytes of id."""
    options = _OPT.pack(0, OPT, EDNS_UDP_BYTES, (code >> 4) << 24, 0) if query.edns else b""
    flags = _QR | _RA | (query.flags & (_RD | _OPCODE)) | (code & 0xF)
    counts = struct.pack("!HHHHH", flags, 1 if query.question else 0, 0, 0, 1 if options else 0)
    return counts + query.question + options


def address_record(address: str) -> bytes:
    """Type and data of an A or AAAA record."""
    if ":" in address:
        return AAAA.to_bytes(2) + _pack_ipv6(address)
    return A.to_bytes(2) + bytes(int(part) for part in address.split("."))


def _pack_ipv6(address: str) -> bytes:
    head, gap, tail = address.partition("::")
    before = [int(part, 16).to_bytes(2) for part in head.split(":") if part]
    after = [int(part, 16).to_bytes(2) for part in tail.split(":") if part]
    middle = [b"\0\0"] * (8 - len(before) - len(after)) if gap else []
    return b"".join([*before, *middle, *after])


def name_record(name: str) -> bytes:
    """Type and data of a PTR record."""
    labels = [label.encode("latin-1", "replace")[:63] for label in name.split(".") if label]
    return PTR.to_bytes(2) + b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def answers_to(response: bytes, question: bytes) -> bool:
    """Whether `response`, of any length, is an answer and to this very question."""
    if len(response) < 12 + len(question) or not response[2] & 0x80 or response[4:6] != b"\0\1":
        return False
    return response[12 : 12 + len(question)].lower() == question.lower()


def code_of(response: bytes) -> int:
    return response[3] & 0x0F
