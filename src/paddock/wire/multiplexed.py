"""The engine's framing of stdout and stderr on one stream: 1 byte stream, 3 zero bytes, 4 bytes big-endian length.

Whether a stream is framed follows from the container's `Tty`, never from the Content-Type: engines before API 1.42 call
a framed stream raw.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

from paddock.model.errors import Broken

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
_HEADER = struct.Struct(">BxxxI")
_HEADER_BYTES = _HEADER.size


class Piece(NamedTuple):
    """Bytes of one stream. A frame larger than what has arrived comes in several pieces."""

    stream: int
    data: bytes


class Demultiplexer:
    """Holds at most one unfinished header; payload is handed on as it arrives."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = STDOUT
        self._missing = 0

    def feed(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        position = 0
        while position < len(data):
            if self._missing:
                taken = data[position : position + self._missing]
                pieces.append(Piece(self._stream, taken))
                self._missing -= len(taken)
                position += len(taken)
                continue
            wanted = _HEADER_BYTES - len(self._header)
            self._header += data[position : position + wanted]
            position += wanted
            if len(self._header) == _HEADER_BYTES:
                self._open_frame()
        return pieces

    @property
    def between_frames(self) -> bool:
        """False when the stream has been cut in the middle of a frame."""
        return not self._missing and not self._header

    def _open_frame(self) -> None:
        stream, self._missing = _HEADER.unpack(self._header)
        if stream > SYSTEM_ERROR or self._header[1:4] != b"\0\0\0":
            raise Broken(f"not a multiplexed stream: it has a frame that begins with {self._header!r}")
        self._stream, self._header = stream, b""


async def demultiplex(chunks: AsyncIterator[bytes]) -> AsyncIterator[Piece]:
    demultiplexer = Demultiplexer()
    async for chunk in chunks:
        for piece in demultiplexer.feed(chunk):
            yield piece


def frame(stream: int, data: bytes) -> bytes:
    return _HEADER.pack(stream, len(data)) + data
