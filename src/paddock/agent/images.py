"""This host's images: the server hears of them as differences, and is asked for those that other hosts have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

from paddock.agent.session import Session
from paddock.drivers.engine import Engine, Say
from paddock.model.errors import Transient
from paddock.model.images import HeldImage
from paddock.model.steps import PullImage
from paddock.wire import messages
from paddock.wire.messages import FetchedImage, FetchImage, FetchingImage
from paddock.world.backoff import Backoff
from paddock.world.world import World

GATHER_S = 0.1
RELIST_S = 60.0
"""Some ways to make an image, such as BuildKit's, tell of no event."""
MOST_BACKOFF_S = 10.0
MOST_IN_MESSAGE = 100
FETCH_TIMEOUT_S = 3600.0


class Brought(NamedTuple):
    """`found` False: no other host has it, and the registry may be asked, showing it `auth`."""

    found: bool
    auth: str = ""


class Images:
    """`follow` and `run` for ever; `bring` before anything is pulled from a registry."""

    def __init__(self, engine: Engine, world: World) -> None:
        self._engine = engine
        self._world = world
        self._wake = asyncio.Event()
        self._held: dict[str, HeldImage] | None = None
        self._told: dict[str, HeldImage] | None = None
        self._session: Session | None = None
        self._asked: dict[int, tuple[asyncio.Future[Brought], Say]] = {}
        self._requests = 0
        self._bringing: dict[str, asyncio.Lock] = {}

    # The session

    def begin_session(self, session: Session) -> None:
        """A new session is told everything."""
        self._told = None
        self._session = session
        self._wake.set()

    def end_session(self) -> None:
        self._session = None
        for answer, _ in self._asked.values():
            if not answer.done():
                answer.set_exception(Transient("the server went away while it brought an image"))

    def heard(self, message: FetchingImage | FetchedImage) -> None:
        answer, say = self._asked.get(message.request, (None, None))
        if answer is None or say is None or answer.done():
            return
        if isinstance(message, FetchingImage):
            say(message.words)
        elif message.error:
            answer.set_exception(Transient(message.error))
        else:
            answer.set_result(Brought(found=message.found, auth=message.auth))

    # Bringing

    async def bring(self, step: PullImage, say: Say) -> Brought:
        """Raises `Transient` for trouble on the way."""
        wanted = step.image_id or step.image
        lock = self._bringing.setdefault(wanted, asyncio.Lock())
        try:
            async with lock:
                if not step.always and await self._engine.has_image(wanted):
                    return Brought(found=True)
                return await self._ask(step, say)
        finally:
            if not lock.locked():
                self._bringing.pop(wanted, None)

    async def _ask(self, step: PullImage, say: Say) -> Brought:
        session = self._session
        if session is None:
            return Brought(found=False)
        self._requests += 1
        request = self._requests
        answer: asyncio.Future[Brought] = asyncio.get_running_loop().create_future()
        self._asked[request] = (answer, say)
        try:
            await session.tell(_asked(request, step))
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                return await answer
        except TimeoutError:
            raise Transient(f"{step.image} was not brought within {FETCH_TIMEOUT_S:.0f} s") from None
        finally:
            del self._asked[request]

    # Telling

    async def follow(self) -> None:
        """Runs for ever."""
        backoff = Backoff(self._world, first_s=0.2, most_s=MOST_BACKOFF_S)
        while True:
            try:
                async for _ in self._engine.follow_images():
                    self._wake.set()
                    backoff.reset()
            except Transient:
                await backoff.wait()

    async def run(self) -> None:
        """Runs for ever."""
        backoff = Backoff(self._world, first_s=0.2, most_s=MOST_BACKOFF_S)
        while True:
            try:
                async with asyncio.timeout(RELIST_S):
                    await self._wake.wait()
                await asyncio.sleep(GATHER_S)
            except TimeoutError:
                self._world.probe("images were listed though nothing was told of them")
            self._wake.clear()
            try:
                self._held = await self._engine.images(self._held or {})
                await self._tell(self._held)
                backoff.reset()
            except Transient as error:
                self._world.log.warning("the engine's images are not known", error=str(error))
                self._wake.set()
                await backoff.wait()

    async def _tell(self, held: dict[str, HeldImage]) -> None:
        """All of it once in a session, then what differs. What was not said is said the next time."""
        session, told = self._session, self._told
        if session is None or (told is not None and told == held):
            return
        for message in differences(session.number, told, held):
            if not await session.tell(message):
                return
        if self._session is session:
            self._told = held


def _asked(request: int, step: PullImage) -> FetchImage:
    if step.image_id:
        return FetchImage(request=request, image=step.image_id, name=step.image, platform=step.platform)
    return FetchImage(request=request, image=step.image, platform=step.platform, pulled=step.always)


def differences(
    session: int, told: dict[str, HeldImage] | None, held: dict[str, HeldImage]
) -> Iterator[messages.Images]:
    """`told` None: everything."""
    gone = tuple(id for id in told if id not in held) if told is not None else ()
    changed = [image for id, image in held.items() if told is None or told.get(id) != image]
    for at in range(0, max(len(changed), 1), MOST_IN_MESSAGE):
        part = tuple(changed[at : at + MOST_IN_MESSAGE])
        first = at == 0
        yield messages.Images(session=session, whole=first and told is None, images=part, gone=gone if first else ())
