"""One control connection with the server, from hello to its end, over any `Channel`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from paddock import __version__
from paddock.agent.ledger import Gap, Ledger
from paddock.agent.reports import Reports
from paddock.model.errors import Refused, Transient
from paddock.model.objects import HostFacts
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.messages import (
    HEARTBEAT_S,
    OLDEST_PROTOCOL,
    PROTOCOL,
    SILENT_AFTER_S,
    Assign,
    Confirm,
    Facts,
    FetchedImage,
    FetchingImage,
    FromAgent,
    FromServer,
    Goodbye,
    Heartbeat,
    Hello,
    OpenStream,
    Renew,
    Renewed,
    Report,
    Reported,
    Welcome,
    decode_from_server,
    encode,
)
from paddock.world.world import World

WELCOME_TIMEOUT_S = 15.0
SEND_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
RENEW_TIMEOUT_S = 60.0


class SentAway(Refused):
    """The server will not have this agent until somebody acts on the reason."""

    code = "sent_away"


def unheard(message: FetchingImage | FetchedImage) -> None:
    """For who asks for no images."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a session calls. `assigned` gets the changed keys, after the ledger holds them; `welcomed` the welcome."""

    assigned: Callable[[tuple[str, ...]], None]
    open_stream: Callable[[OpenStream], None]
    welcomed: Callable[[Welcome], None]
    image_news: Callable[[FetchingImage | FetchedImage], None] = unheard


class Session:
    """`run` returns the reason it ended, or raises `SentAway`. Facts may change while it runs (`tell_facts`)."""

    def __init__(self, channel: Channel, ledger: Ledger, reports: Reports, told: Told, world: World) -> None:
        self._channel = channel
        self._ledger = ledger
        self._reports = reports
        self._told = told
        self._world = world
        self._over = asyncio.Event()
        self._reason = ""
        self._final = ""
        self.doubled = False
        """The server takes us for the copy of an agent."""
        self._sending = asyncio.Lock()
        self._sent_at_s = 0.0
        self._renewed: asyncio.Queue[str] = asyncio.Queue(1)
        self.number = 0

    async def run(self, host: str, instance: str, facts: HostFacts) -> str:
        try:
            await self._introduce(host, instance, facts)
            if not self._over.is_set():
                await self._converse()
        except ChannelClosed as closed:
            self._end(closed.reason or "the connection was closed")
        finally:
            await self._close()
        if self._final:
            raise SentAway(self._final)
        return self._reason

    def leave(self, reason: str) -> None:
        """Ends it from here. The server hears the reason."""
        self._end(reason)

    async def tell_facts(self, facts: HostFacts) -> None:
        await self.tell(Facts(session=self.number, facts=facts))

    async def tell(self, message: FromAgent) -> bool:
        """Whether it was said; a session that is not yet, or over, says nothing."""
        if self.number and not self._over.is_set():
            await self._say(message)
        return self.number > 0 and not self._over.is_set()

    async def renew(self, request: str) -> str:
        """A certificate for the request. Raises `ChannelClosed` when the session ends instead, or no answer comes."""
        while not self._renewed.empty():
            self._renewed.get_nowait()
        await self._send(Renew(csr=request))
        answered, ended = asyncio.ensure_future(self._renewed.get()), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((answered, ended), timeout=RENEW_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                raise ChannelClosed(self._reason or "the server does not answer the request for a certificate")
            return answered.result()
        finally:
            answered.cancel()
            ended.cancel()

    async def _introduce(self, host: str, instance: str, facts: HostFacts) -> None:
        await self._send(
            Hello(
                protocols=(OLDEST_PROTOCOL, PROTOCOL),
                host=host,
                instance=instance,
                agent_version=__version__,
                facts=facts,
                assignment=self._ledger.version,
                last_session=self._ledger.last_session,
            )
        )
        message = await self._receive(WELCOME_TIMEOUT_S)
        match message:
            case Welcome():
                self.number = message.session
                self._reports.begin_session()
                self._told.welcomed(message)
            case Goodbye():
                self._goodbye(message)
            case _:
                self._end(f"the server began with {type(message).__name__} instead of a welcome")

    async def _converse(self) -> None:
        """None of the three lets `ChannelClosed` out: an exception group from here could swallow a cancellation."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive_all())
            group.create_task(self._report_all())
            group.create_task(self._beat())

    async def _receive_all(self) -> None:
        try:
            while not self._over.is_set():
                await self._handle(await self._receive(SILENT_AFTER_S))
        except ChannelClosed as closed:
            self._end(closed.reason or "the connection was closed")

    async def _handle(self, message: FromServer) -> None:
        match message:
            case Assign():
                await self._assign(message)
            case Reported(number=number):
                self._reports.confirmed(number)
            case OpenStream():
                self._told.open_stream(message)
            case FetchingImage() | FetchedImage():
                self._told.image_news(message)
            case Renewed(certificate=certificate):
                if self._renewed.empty():
                    self._renewed.put_nowait(certificate)
            case Goodbye():
                self._goodbye(message)
            case Heartbeat() | Welcome():
                pass

    async def _assign(self, message: Assign) -> None:
        try:
            changed = self._ledger.apply(message)
            await self._ledger.sync()
        except Gap as gap:
            self._world.probe("an assignment that does not follow on the ledger")
            self._end(str(gap))
            return
        except Transient as trouble:
            self._world.log.error("the assignment cannot be kept", error=str(trouble))
            self._end(trouble.message)
            return
        if message.version < self._ledger.version:
            self._world.probe("a stale assignment ignored")
        if changed or message.whole:
            # A whole one counts though it be empty: what the host holds may be of a life before.
            self._world.log.info("assignment", version=message.version, changed=len(changed), whole=message.whole)
            self._told.assigned(changed)
        await self._send(Confirm(assignment=self._ledger.version))

    async def _report_all(self) -> None:
        while await self._woken(self._reports.wake):
            taken = self._reports.take()
            if taken is not None:
                told = Report(
                    session=self.number,
                    number=taken.number,
                    units=taken.units,
                    volumes=taken.volumes,
                    whole=taken.whole,
                )
                await self._say(told)

    async def _beat(self) -> None:
        """A heartbeat whenever nothing else was said for so long. At the end it closes, for the receiver's sake."""
        while not self._over.is_set():
            idle_s = self._world.clock.monotonic_s() - self._sent_at_s
            if idle_s >= HEARTBEAT_S:
                await self._say(Heartbeat())
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S - idle_s):
                    await self._over.wait()
            except TimeoutError:
                continue
        await self._close()

    async def _woken(self, wake: asyncio.Event) -> bool:
        """False when the session is over."""
        while not self._over.is_set():
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await wake.wait()
            except TimeoutError:
                continue
            return not self._over.is_set()
        return False

    async def _say(self, message: FromAgent) -> None:
        try:
            await self._send(message)
        except ChannelClosed as closed:
            self._end(closed.reason or "the connection was closed")

    async def _send(self, message: FromAgent) -> None:
        try:
            async with self._sending, asyncio.timeout(SEND_TIMEOUT_S):
                await self._channel.send(encode(message))
        except TimeoutError:
            raise ChannelClosed("the server does not take what it is sent") from None
        self._sent_at_s = self._world.clock.monotonic_s()

    async def _receive(self, timeout_s: float) -> FromServer:
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._channel.receive()
        except TimeoutError:
            raise ChannelClosed(f"nothing was heard from the server for {timeout_s:.0f} s") from None
        try:
            message: FromServer = decode_from_server(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._world.probe("unreadable message from the server")
            raise ChannelClosed(f"a message of the server could not be read: {error}") from error
        return message

    def _goodbye(self, message: Goodbye) -> None:
        self.doubled = message.doubled
        if message.final:
            self._final = message.reason
        self._end(message.reason)

    def _end(self, reason: str) -> None:
        if not self._over.is_set():
            self._reason = reason
            self._over.set()
            self._reports.wake.set()

    async def _close(self) -> None:
        self._over.set()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._channel.close(self._reason)
        except (ChannelClosed, TimeoutError):
            return
