"""Dockerfiles overheard in a BuildKit session: HTTP/2 frames, in them gRPC messages, in them packets of files.

Only what travels from the client is looked at, and nothing is changed. What does not look as expected is passed over:
then no Dockerfile is found, and nothing else happens. (HTTP/2: RFC 9113 4.1; packets: github.com/tonistiigi/fsutil.)
"""

from __future__ import annotations

import re

from paddock.core.images.build_output import fields

MOST_MESSAGE_BYTES = 256 * 1024
MOST_STREAMS = 64
_FRAME_HEAD, _MESSAGE_HEAD = 9, 5
_DATA, _PADDED = 0, 0x08
_PACKET_DATA, _PACKET_FIELD = 2, 4
_FROM = re.compile(rb"^[ \t]*FROM[ \t]+\S", re.IGNORECASE | re.MULTILINE)


class SessionEar:
    """`feed` returns the texts of what may be Dockerfiles and ended with these bytes."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._is_data = False
        self._stream = 0
        self._streams: dict[int, _Messages] = {}

    def feed(self, data: bytes) -> list[str]:
        found: list[str] = []
        at = 0
        while at < len(data):
            if not self._left:
                taken = data[at : at + _FRAME_HEAD - len(self._head)]
                self._head += taken
                at += len(taken)
                if len(self._head) == _FRAME_HEAD:
                    self._begin_frame()
                continue
            piece = data[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._is_data:
                found += self._messages().feed(piece)
        return found

    def _begin_frame(self) -> None:
        """Padded frames, which gRPC never sends, are passed over."""
        self._left = int.from_bytes(self._head[:3], "big")
        self._is_data = self._head[3] == _DATA and not self._head[4] & _PADDED
        self._stream = int.from_bytes(self._head[5:9], "big") & 0x7FFFFFFF
        self._head = b""

    def _messages(self) -> _Messages:
        known = self._streams.get(self._stream)
        if known is None:
            if len(self._streams) >= MOST_STREAMS:
                del self._streams[next(iter(self._streams))]
            known = self._streams[self._stream] = _Messages()
        return known


class _Messages:
    """One stream's messages. Large ones, and compressed ones, are passed over."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._kept: bytearray | None = None

    def feed(self, data: bytes) -> list[str]:
        found = []
        at = 0
        while at < len(data):
            if len(self._head) < _MESSAGE_HEAD:
                taken = data[at : at + _MESSAGE_HEAD - len(self._head)]
                self._head += taken
                at += len(taken)
                if len(self._head) == _MESSAGE_HEAD:
                    self._left = int.from_bytes(self._head[1:], "big")
                    plain = not self._head[0] and self._left <= MOST_MESSAGE_BYTES
                    self._kept = bytearray() if plain else None
            else:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._kept is not None:
                    self._kept += piece
            if len(self._head) == _MESSAGE_HEAD and not self._left:
                if self._kept is not None and (text := _dockerfile(bytes(self._kept))):
                    found.append(text)
                self._head, self._kept = b"", None
        return found


def _dockerfile(message: bytes) -> str:
    """The text in a packet that carries a file's content, if it could be a Dockerfile's."""
    if b"from" not in message.lower():
        return ""
    try:
        packet = fields(message)
    except ValueError:
        return ""
    content = packet.get(_PACKET_FIELD, [b""])[0]
    if packet.get(1) != [_PACKET_DATA] or not isinstance(content, bytes) or b"\0" in content:
        return ""
    return content.decode("utf-8", "replace") if _FROM.search(content) else ""
