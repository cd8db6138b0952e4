"""Who has which image: told as differences, forgotten with the host, never mixed between environments."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from paddock.agent.images import differences
from paddock.model.images import HeldImage
from paddock.server.plane import ControlPlane
from paddock.wire.messages import FetchedImage, FetchImage, Images
from serving import PlayedAgent, add_host, host_of, running_plane
from waiting import until_async

ID, OLD, LAYER = (f"sha256:{letter * 64}" for letter in "abc")


def image(id: str = ID, *names: str, at_s: float = 1.0) -> HeldImage:
    return HeldImage(id=id, names=names or ("app:1",), layers=(LAYER,), tagged_at_s=at_s, platform="linux/amd64")


def play(tmp_path: Path, scene: Callable[[ControlPlane, PlayedAgent, PlayedAgent], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20.0), running_plane(tmp_path) as plane:
            agents = [PlayedAgent(plane, await add_host(plane, name)) for name in ("h1", "h2")]
            for agent in agents:
                await agent.hello()
            await scene(plane, *agents)

    asyncio.run(main())


def holders(plane: ControlPlane, agent: PlayedAgent, name: str) -> list[str]:
    return [held.host.name for held in plane.images.holders(host_of(plane, agent.host).environment, name)]


def test_the_newest_image_of_a_name_is_meant(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, one: PlayedAgent, other: PlayedAgent) -> None:
        await one.say(Images(session=one.session, whole=True, images=(image(OLD),)))
        await other.say(Images(session=other.session, whole=True, images=(image(ID, "app:1", "b:2", at_s=2.0),)))
        await until_async(lambda: holders(plane, one, "app:1") == ["h2"], "the newer one is known")
        assert holders(plane, one, "docker.io/library/app:1") == ["h2"]
        assert holders(plane, one, "a" * 12) == ["h2"]
        assert holders(plane, one, OLD) == ["h1"]
        assert holders(plane, one, "app:2") == []
        assert plane.images.holders("another environment", "app:1") == ()
        await other.say(Images(session=other.session, gone=(ID,)))
        await until_async(lambda: holders(plane, one, "app:1") == ["h1"], "the older one is what is left")
        await other.say(Images(session=other.session, images=(image(OLD, "c:3"),)))
        await until_async(lambda: holders(plane, one, OLD) == ["h1", "h2"], "both have it")
        await other.say(Images(session=other.session, whole=True))
        await until_async(lambda: holders(plane, one, "c:3") == [], "a whole message takes the place of all before")
        await one.leave()
        assert holders(plane, one, OLD) == [], "a host that is not connected gives nothing"

    play(tmp_path, scene)


def test_an_image_that_nobody_has_is_said_to_be_nowhere(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, one: PlayedAgent, other: PlayedAgent) -> None:
        digest = f"app@{OLD}"
        await one.say(Images(session=one.session, whole=True, images=(image(ID, "app:1", digest),)))
        await other.say(FetchImage(request=6, image=digest))
        assert await other.hears(FetchedImage) == FetchedImage(request=6), "an archive would lose that name"
        await one.say(FetchImage(request=7, image="app:1"))
        assert await one.hears(FetchedImage) == FetchedImage(request=7), "its own copy is no help"
        await other.say(FetchImage(request=8, image="app:1", platform="linux/arm64"))
        assert await other.hears(FetchedImage) == FetchedImage(request=8), "another architecture is no help"

    play(tmp_path, scene)


def test_a_copy_that_fails_is_said_with_its_reason_and_can_be_asked_for_again(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, one: PlayedAgent, other: PlayedAgent) -> None:
        await one.say(Images(session=one.session, whole=True, images=(image(),)))
        await until_async(lambda: holders(plane, one, "app:1") == ["h1"], "it is known")
        for request in (1, 2):
            await other.say(FetchImage(request=request, image="app:1"))
            await until_async(lambda: plane.copies.under_way == 1, "the copy is under way")
            plane.sessions.live[one.host].finish("the test ends it")
            answer = await other.hears(FetchedImage)
            assert answer.request == request
            assert "is not connected any more" in answer.error
            one = PlayedAgent(plane, one.host)
            await one.hello()
        assert plane.copies.under_way == 0

    play(tmp_path, scene)


def test_differences_are_small_and_make_the_same_picture() -> None:
    many = {f"sha256:{number:064}": image(f"sha256:{number:064}", f"n:{number}") for number in range(250)}
    whole = list(differences(1, None, many))
    assert [len(message.images) for message in whole] == [100, 100, 50]
    assert [message.whole for message in whole] == [True, False, False]
    assert next(differences(1, None, {})).whole
    first = next(iter(many))
    changed = {id: held for id, held in many.items() if id != first}
    (message,) = differences(1, many, changed)
    assert message == Images(session=1, gone=(first,))
