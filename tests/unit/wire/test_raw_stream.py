"""Frames of a stream's own: cut anywhere, half-closed, held back, and ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paddock.wire.channel import EOF, ChannelClosed
from paddock.wire.raw_stream import MOST_ARRIVED_BYTES, RawStream


class Wire(asyncio.Transport):
    """What one side writes, kept; `closed` and `reading` as the stream asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def sent(*messages: bytes | str) -> bytes:
    wire = Wire()
    stream = RawStream(wire)
    for message in messages:
        await stream.send(message)
    return wire.written


@pytest.mark.parametrize("step", [1, 3, 5, 7, 1000])
def test_what_is_sent_arrives_however_it_is_cut(step: int) -> None:
    async def main() -> None:
        data = await sent(b"hello", b"", b"x" * 300, EOF)
        stream = RawStream(Wire())
        for at in range(0, len(data), step):
            stream.feed(data[at : at + step])
        arrived = b""
        while (message := await stream.receive()) != EOF:
            assert isinstance(message, bytes)
            arrived += message
        assert arrived == b"hello" + b"x" * 300

    asyncio.run(main())


def test_a_slow_reader_holds_the_sender_back() -> None:
    async def main() -> None:
        wire = Wire()
        stream = RawStream(wire)
        stream.feed(await sent(b"x" * (MOST_ARRIVED_BYTES + 1)))
        assert not wire.reading
        assert await stream.receive()
        assert wire.reading

    asyncio.run(main())


def test_what_arrived_before_the_end_can_still_be_read() -> None:
    async def main() -> None:
        stream = RawStream(Wire())
        stream.feed(await sent(b"last words"))
        stream.lost(ConnectionResetError("cut"))
        assert await stream.receive() == b"last words"
        with pytest.raises(ChannelClosed, match="cut"):
            await stream.receive()
        with pytest.raises(ChannelClosed):
            await stream.send(b"nobody is there")

    asyncio.run(main())


def test_whoever_waits_hears_of_the_end() -> None:
    async def main() -> None:
        stream = RawStream(Wire())
        stream.pause_writing()
        receiving, sending = asyncio.ensure_future(stream.receive()), asyncio.ensure_future(stream.send(b"x"))
        await asyncio.sleep(0)
        stream.lost(None)
        async with asyncio.timeout(5):
            ended = await asyncio.gather(receiving, sending, return_exceptions=True)
        assert [type(one) for one in ended] == [ChannelClosed, ChannelClosed]

    asyncio.run(main())


def test_an_unknown_kind_of_frame_ends_the_connection() -> None:
    async def main() -> None:
        wire = Wire()
        RawStream(wire).feed(b"\x09\0\0\0\x01x")
        assert wire.closed

    asyncio.run(main())
