"""A Dockerfile is heard in a BuildKit session, however its bytes are cut, and nothing else is taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paddock.core.images.session import MOST_STREAMS, SessionEar

SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def frame(stream: int, payload: bytes, *, kind: int = 0, flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(payload: bytes, *, compressed: bool = False) -> bytes:
    return bytes([compressed]) + len(payload).to_bytes(4, "big") + payload


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 127 else bytes([number])


def packet(content: bytes, *, kind: int = 2) -> bytes:
    return b"\x08" + bytes([kind]) + b"\x18\x01" + b"\x22" + varint(len(content)) + content


DOCKERFILE = b"FROM base:1 AS a\nRUN make\nFROM scratch\nCOPY --from=a /x /x\n"
SESSION = (
    SETTINGS
    + frame(1, message(packet(b"\x7fELF FROM nowhere\0")))
    + frame(1, b"headers: FROM x", kind=1)
    + frame(3, message(packet(DOCKERFILE))[:20])
    + frame(1, message(packet(b"just words from here")))
    + frame(3, message(packet(DOCKERFILE))[20:])
    + frame(5, message(packet(DOCKERFILE, kind=0)))
    + frame(7, message(packet(DOCKERFILE), compressed=True))
    + frame(9, message(bytes(300_000)))
    + frame(9, message(packet(b"ARG V=1\nfrom other:2\n")))
)


@given(st.lists(st.integers(1, 4000), max_size=60))
def test_however_it_is_cut(sizes: list[int]) -> None:
    ear = SessionEar()
    heard: list[str] = []
    at = 0
    for size in [*sizes, len(SESSION)]:
        heard += ear.feed(SESSION[at : at + size])
        at += size
    assert heard == [DOCKERFILE.decode(), "ARG V=1\nfrom other:2\n"]


@given(st.binary(max_size=5000))
def test_anything_may_come(data: bytes) -> None:
    assert isinstance(SessionEar().feed(data), list)


def test_many_streams_are_not_kept() -> None:
    ear = SessionEar()
    for stream in range(1, 10 * MOST_STREAMS):
        ear.feed(frame(stream, b"\0\0"))
    assert ear.feed(frame(99_999, message(packet(DOCKERFILE)))) == [DOCKERFILE.decode()]
    assert len(ear._streams) <= MOST_STREAMS
