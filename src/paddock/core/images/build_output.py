"""What a builder says, as lines for people: the classic one's words, and BuildKit's trace (protobuf by hand)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""The classic builder paints what went to stderr."""
TRACE, IMAGE_ID = "moby.buildkit.trace", "moby.image.id"
_PULLED = ("Pulling from", "Digest:", "Status:", "Pull complete", "Already exists")


class BuildOutput:
    """`hear` each message in turn. `image` is the id of what was built, `error` why it was not."""

    def __init__(self) -> None:
        self.image = ""
        self.error = ""
        self._partial = ""
        self._numbers: dict[str, int] = {}
        self._told: dict[tuple[str, str], None] = {}
        self._logged: dict[str, str] = {}

    def hear(self, message: Json) -> Iterator[str]:
        if "error" in message:
            detail = message.get("errorDetail") or {}
            self.error = str(detail.get("message") or message["error"])
        elif message.get("id") == TRACE:
            yield from self._traced(str(message.get("aux") or ""))
        elif isinstance(message.get("aux"), dict):
            self.image = str(message["aux"].get("ID") or self.image)
        elif "stream" in message:
            yield from self._lines(str(message["stream"]))
        elif "status" in message and str(message["status"]).startswith(_PULLED):
            layer = f"{message['id']}: " if message.get("id") else ""
            yield f"{layer}{message['status']}"

    def _lines(self, text: str) -> Iterator[str]:
        *whole, self._partial = (self._partial + _COLOUR.sub("", text)).replace("\r\n", "\n").split("\n")
        yield from (line for line in whole if line.strip())

    def _traced(self, text: str) -> Iterator[str]:
        try:
            status = fields(base64.b64decode(text))
            for raw in status.get(1, ()):
                yield from self._vertex(fields(_raw(raw)))
            for raw in status.get(3, ()):
                yield from self._log(fields(_raw(raw)))
        except (binascii.Error, ValueError):
            return

    def _vertex(self, vertex: dict[int, list[int | bytes]]) -> Iterator[str]:
        """Begun, cached, failed; each is told once. What went wrong is also in the last message."""
        digest, name = _text(vertex, 1), _text(vertex, 3)
        if not (5 in vertex or 4 in vertex):
            return
        number = self._numbers.setdefault(digest, len(self._numbers) + 1)
        cached = bool(vertex.get(4, [0])[0])
        for word in [name, *(["CACHED"] if cached else ()), *(["DONE"] if 6 in vertex and not cached else ())]:
            if (digest, word) not in self._told:
                self._told[digest, word] = None
                yield f"#{number} {word}"

    def _log(self, log: dict[int, list[int | bytes]]) -> Iterator[str]:
        digest = _text(log, 1)
        text = self._logged.pop(digest, "") + _text(log, 4)
        *whole, rest = text.split("\n")
        if rest:
            self._logged[digest] = rest[-4096:]
        number = self._numbers.setdefault(digest, len(self._numbers) + 1)
        yield from (f"#{number} {line}" for line in whole if line.strip())


def fields(data: bytes) -> dict[int, list[int | bytes]]:
    """A protobuf message's fields by number. Raises `ValueError`."""
    found: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        match key & 7:
            case 0:
                value, at = _varint(data, at)
            case 1 | 5 as kind:
                size = 8 if kind == 1 else 4
                value, at = data[at : at + size], at + size
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case kind:
                raise ValueError(f"unknown wire type {kind}")
        if at > len(data):
            raise ValueError("cut off")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    raise ValueError("cut off")


def _raw(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a message was expected")
    return value


def _text(message: dict[int, list[int | bytes]], number: int) -> str:
    return _raw(message.get(number, [b""])[0]).decode("utf-8", "replace")
