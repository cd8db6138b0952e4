"""The few rtnetlink messages that come by the thousand, packed and read by hand.

Through pyroute2 one forwarding entry costs 250 us to write and a link 200 us to read; a host with a thousand peers
would spend seconds of CPU on every change. Layouts: linux/rtnetlink.h, neighbour.h, if_link.h. Blocking; for a thread.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from paddock.model.errors import Transient

TIMEOUT_S = 5.0
BATCH_MESSAGES = 128
DUMP_TRIES = 4
BUFFER_BYTES = 1 << 18

NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
NTF_SELF, NTF_MASTER = 0x2, 0x4
NUD_NOARP, NUD_PERMANENT = 0x40, 0x80
NDA_DST, NDA_LLADDR, NDA_MASTER = 1, 2, 9
SOL_NETLINK, NETLINK_CAP_ACK = 270, 10
GROUP_LINK = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_LINK = struct.Struct("=BxHiII")

NEIGHBOUR_BYTES = _NEIGHBOUR.size
LINK_BYTES = _LINK.size


class Interrupted(Transient):
    """The tables kept changing while they were read."""


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attribute type -> payload; of a type given twice, the last."""
    found: dict[int, bytes] = {}
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, body) of each message in a datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16 or offset + length > len(data):
            break
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def link_header(body: bytes) -> tuple[int, int]:
    """(index, flags) of a link message."""
    _, _, index, flags, _ = _LINK.unpack_from(body)
    return index, flags


def neighbour_header(body: bytes) -> tuple[int, int, int]:
    """(index, state, flags) of a neighbour message."""
    _, index, state, flags, _ = _NEIGHBOUR.unpack_from(body)
    return index, state, flags


def pack_address(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def text_address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)


def pack_mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def text_mac(packed: bytes) -> str:
    return packed.hex(":")


class Change:
    """A neighbour or forwarding entry to write or remove."""

    __slots__ = ("body", "present", "what")

    def __init__(self, what: str, body: bytes, *, present: bool) -> None:
        self.what = what
        self.body = body
        self.present = present


def forward(index: int, mac: str, host: str, *, present: bool) -> Change:
    """Without `host`, a removal takes every destination of the MAC."""
    destination = _attribute(NDA_DST, pack_address(host)) if host else b""
    header = _NEIGHBOUR.pack(socket.AF_BRIDGE, index, NUD_PERMANENT, NTF_SELF, 0)
    body = header + _attribute(NDA_LLADDR, pack_mac(mac)) + destination
    return Change(f"forward {mac} {host}", body, present=present)


def seat(index: int, mac: str, *, present: bool) -> Change:
    header = _NEIGHBOUR.pack(socket.AF_BRIDGE, index, NUD_NOARP, NTF_MASTER, 0)
    return Change(f"seat {mac}", header + _attribute(NDA_LLADDR, pack_mac(mac)), present=present)


def neighbour(index: int, address: str, mac: str, *, present: bool) -> Change:
    packed = pack_address(address)
    family = socket.AF_INET6 if len(packed) == 16 else socket.AF_INET
    body = _NEIGHBOUR.pack(family, index, NUD_PERMANENT, 0, 0) + _attribute(NDA_DST, packed)
    if present:
        body += _attribute(NDA_LLADDR, pack_mac(mac))
    return Change(f"neighbour {address} {mac}", body, present=present)


def _attribute(kind: int, payload: bytes) -> bytes:
    padding = -len(payload) % 4
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + b"\0" * padding


class RouteSocket:
    """One blocking rtnetlink socket, in the network namespace of the thread that opens it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def links(self) -> list[bytes]:
        return self._dump(RTM_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def neighbours(self, family: int) -> list[bytes]:
        """Bodies of all entries; family AF_BRIDGE gives the forwarding tables."""
        if family == socket.AF_BRIDGE:
            return self._dump(RTM_GETNEIGH, _LINK.pack(family, 0, 0, 0, 0))
        return self._dump(RTM_GETNEIGH, _NEIGHBOUR.pack(family, 0, 0, 0, 0))

    def change(self, changes: Sequence[Change]) -> list[tuple[Change, int]]:
        """Applies them in order; returns those the kernel refused, with the error number."""
        refused: list[tuple[Change, int]] = []
        for start in range(0, len(changes), BATCH_MESSAGES):
            refused += self._change_batch(changes[start : start + BATCH_MESSAGES])
        return refused

    def _change_batch(self, batch: Sequence[Change]) -> list[tuple[Change, int]]:
        """Only the last message asks for an answer; before it come the errors, each with its sequence number."""
        first = self._sequence + 1
        self._sequence += len(batch)
        data = b"".join(
            _pack(change, first + place, last=place == len(batch) - 1) for place, change in enumerate(batch)
        )
        self._socket.send(data)
        refused: list[tuple[Change, int]] = []
        while True:
            for kind, _, sequence, body in messages(self._receive()):
                if kind != NLMSG_ERROR or not first <= sequence <= self._sequence:
                    continue
                code = -struct.unpack_from("=i", body)[0]
                change = batch[sequence - first]
                if code and (change.present or code not in (errno.ENOENT, errno.ENODEV)):
                    refused.append((change, code))
                if sequence == self._sequence:
                    return refused

    def _dump(self, kind: int, body: bytes) -> list[bytes]:
        for _ in range(DUMP_TRIES):
            self._sequence += 1
            flags = NLM_F_REQUEST | NLM_F_DUMP
            self._socket.send(_HEADER.pack(16 + len(body), kind, flags, self._sequence, 0) + body)
            found, whole = self._dumped(self._sequence)
            if whole:
                return found
        raise Interrupted("the kernel's network tables changed all the while they were read", retry_after_s=0.2)

    def _dumped(self, wanted: int) -> tuple[list[bytes], bool]:
        found: list[bytes] = []
        whole = True
        while True:
            for kind, flags, sequence, body in messages(self._receive()):
                if sequence != wanted:
                    continue
                whole = whole and not flags & NLM_F_DUMP_INTR
                if kind == NLMSG_DONE:
                    return found, whole
                if kind == NLMSG_ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    raise Transient(f"reading the kernel's network tables: {os.strerror(code)}", retry_after_s=1.0)
                found.append(body)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(BUFFER_BYTES)
        except TimeoutError:
            raise Transient(f"the kernel gave no netlink answer within {TIMEOUT_S:.0f} s", retry_after_s=1.0) from None
        except OSError as error:
            raise Transient(f"a netlink answer was lost: {error.strerror}", retry_after_s=0.2) from error


def _pack(change: Change, sequence: int, *, last: bool) -> bytes:
    flags = NLM_F_REQUEST | (NLM_F_ACK if last else 0)
    if change.present:
        flags |= NLM_F_CREATE | NLM_F_REPLACE
    kind = RTM_NEWNEIGH if change.present else RTM_DELNEIGH
    return _HEADER.pack(16 + len(change.body), kind, flags, sequence, 0) + change.body
