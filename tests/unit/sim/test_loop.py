from __future__ import annotations

import asyncio

import pytest

from paddock.sim.link import Weather, connect
from paddock.sim.loop import Deadlock, run
from paddock.wire.channel import ChannelClosed


def test_a_day_passes_at_once() -> None:
    async def day() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(86_400):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run(day()) == pytest.approx(86_400)


def test_a_deadlock_is_reported() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(stuck())


def test_messages_arrive_in_order_and_a_drop_ends_both_ends() -> None:
    async def story() -> list[bytes]:
        weather = Weather("seed")
        weather.zombie_chance = 0.0
        agent, server = connect(weather)
        for number in range(5):
            await agent.send(str(number).encode())
        got = [await server.receive() for _ in range(5)]
        server.drop("cable")
        with pytest.raises(ChannelClosed):
            await agent.receive()
        with pytest.raises(ChannelClosed):
            await agent.send(b"late")
        return got

    assert run(story()) == [b"0", b"1", b"2", b"3", b"4"]
