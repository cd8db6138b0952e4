"""Agents' connections: who may come in, what each is told, what each reports, and who has gone quiet.

Knows channels only, so that the simulator can put its own network in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from paddock.model.assignment import AnyItem, FileAssignment
from paddock.model.changes import Put
from paddock.model.errors import NotFound, Transient, UserError
from paddock.model.objects import File, Host, HostId
from paddock.model.snapshot import Snapshot
from paddock.server.admission import Unwelcome, activation, common_protocol, hello_on
from paddock.server.committing import Decision, commit_decision
from paddock.server.dispatch import Dispatch
from paddock.server.reports import Reports
from paddock.server.sealing import Sealer
from paddock.server.session import Peer, Session
from paddock.store.store import Store
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.messages import (
    SILENT_AFTER_S,
    Confirm,
    Facts,
    FetchImage,
    FromAgent,
    FromServer,
    Goodbye,
    Heartbeat,
    Hello,
    Images,
    Renew,
    Renewed,
    Report,
    Welcome,
    decode_from_agent,
)
from paddock.world.world import World

Sign = Callable[[str, str, float], tuple[str, str]]
"""Certificate request PEM, host id, now -> certificate PEM, its fingerprint. Raises `UserError`."""


class Gone(NamedTuple):
    """`since_s`: monotonic time of its last word."""

    since_s: float
    reason: str


class Sessions:
    """`serve` runs for each connection; `dispatch.run` and `reports.run` for as long as the server does."""

    def __init__(self, world: World, store: Store, sealer: Sealer, sign: Sign | None = None) -> None:
        self._world = world
        self._sign = sign
        self._store = store
        self._sealer = sealer
        self.reports = Reports(world, store)
        self.live: dict[HostId, Session] = {}
        self.dispatch = Dispatch(world, store, self.live, self._dismiss)
        self.gone: dict[HostId, Gone] = {}
        """Those whose connection ended since this server started."""
        self._refused: dict[HostId, str] = {}
        """Why it was refused last: who tries again every few seconds is logged once. Only hosts of ours get so far."""
        self.changed = asyncio.Event()
        """Set when a session begins or ends."""
        self.on_gone: list[Callable[[HostId, str], None]] = []
        """Told the host and the reason when a session ended and no other has taken its place."""
        self.on_images: Callable[[HostId, Images | FetchImage], None] = lambda host, message: None
        """Told what agents say of images, in the order they say it."""
        self._empty = asyncio.Event()
        self.stopping = False

    def alive(self, host: HostId) -> bool:
        session = self.live.get(host)
        return session is not None and not session.over.is_set() and session.silence_s() < SILENT_AFTER_S

    def say(self, host: HostId, message: FromServer) -> None:
        """Raises `Transient` when the host has no session."""
        session = self.live.get(host)
        if session is None or session.over.is_set() or not session.number:
            raise Transient(f"host {host} is not connected", retry_after_s=1.0)
        session.say(message)

    def stop(self) -> None:
        """The server ends: agents are told to come back, and no host is called silent because of it."""
        self.stopping = True
        for session in list(self.live.values()):
            session.finish("the server stops", Goodbye(reason="the server stops"))

    async def all_gone(self) -> None:
        """Returns when no session is left."""
        self._empty.clear()
        if self.live:
            await self._empty.wait()

    # One connection

    async def serve(self, channel: Channel, peer: Peer) -> None:
        """Returns when the connection is over, whatever ended it."""
        try:
            session = await self._admit(channel, peer)
        except Unwelcome as refusal:
            if self._refused.get(peer.host) != str(refusal):
                self._refused[peer.host] = str(refusal)
                self._world.log.warning("agent refused", host=peer.host, address=peer.address, reason=str(refusal))
            farewell = Session(self._world, channel, peer, "")
            farewell.finish(str(refusal), refusal.goodbye)
            await farewell.close()
            return
        except ChannelClosed:
            self._world.probe("connection closed before hello")
            return
        await self._run(session)

    async def _run(self, session: Session) -> None:
        host = session.peer.host
        self._world.log.info("agent connected", host=host, session=session.number, address=session.peer.address)
        try:
            async with asyncio.TaskGroup() as tasks:
                ends = [
                    tasks.create_task(self._receive_all(session)),
                    tasks.create_task(session.send_all(self._filled)),
                ]
                await session.over.wait()
                for end in ends:
                    end.cancel()
        finally:
            session.finish("the connection's tasks ended")
            self._forget(session)
        await session.close()

    def _forget(self, session: Session) -> None:
        host = session.peer.host
        if self.live.get(host) is not session:
            return
        del self.live[host]
        self.gone[host] = Gone(session.last_heard_s, session.reason)
        self.changed.set()
        if not self.live:
            self._empty.set()
        self._world.log.info("agent gone", host=host, session=session.number, reason=session.reason)
        for told in self.on_gone:
            told(host, session.reason)

    async def _admit(self, channel: Channel, peer: Peer) -> Session:
        """Raises `Unwelcome`."""
        hello = await hello_on(channel)
        if self.stopping:
            raise Unwelcome("the server stops", final=False)
        protocol = common_protocol(hello)
        if hello.host != peer.host:
            raise Unwelcome(f"the certificate is for {peer.host}, the agent says it is {hello.host}", final=True)
        self._refuse_double(hello, peer)
        session = Session(self._world, channel, peer, hello.instance)
        before = self.live.get(peer.host)
        self.live[peer.host] = session
        if before is not None:
            before.finish("the same agent has connected anew")
        welcome: Welcome | None = None
        try:
            (number, name, environment), _ = await commit_decision(self._store, activation(hello, self._world))
            session.number = number
            welcome = Welcome(protocol=protocol, session=number, name=name, environment=environment)
        except NotFound as missing:
            raise Unwelcome(missing.message, final=True) from missing
        except Transient as trouble:
            raise Unwelcome(trouble.message, final=False) from trouble
        finally:
            if welcome is None:
                session.finish("not admitted")
                self._forget(session)
        session.say(welcome)
        self._refused.pop(peer.host, None)
        self.dispatch.ask(peer.host)
        self.gone.pop(peer.host, None)
        self.changed.set()
        return session

    def _refuse_double(self, hello: Hello, peer: Peer) -> None:
        other = self.live.get(peer.host)
        if other is None or other.instance == hello.instance or not self.alive(peer.host):
            return
        self._world.probe("doubled agent identity refused")
        raise Unwelcome(
            f"another agent with the identity of {peer.host} is connected from {other.peer.address or 'elsewhere'}; "
            "if this machine was cloned, remove the copy's agent data and join it with a token of its own",
            final=False,
            doubled=True,
        )

    async def _receive_all(self, session: Session) -> None:
        try:
            while True:
                data = await session.channel.receive()
                session.heard()
                await self._handle(session, decode_from_agent(data))
        except ChannelClosed as closed:
            session.finish(closed.reason or "connection closed")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._world.probe("unreadable message from an agent")
            reason = f"a message could not be read: {error}"
            session.finish(reason, Goodbye(reason=reason))

    async def _handle(self, session: Session, message: FromAgent) -> None:
        match message:
            case Heartbeat():
                pass
            case Confirm(assignment=version):
                session.confirmed = max(session.confirmed, version)
            case Report():
                await self.reports.take(session, message)
            case Facts():
                await self._take_facts(session, message)
            case Images() | FetchImage():
                self.on_images(session.peer.host, message)
            case Renew():
                await self._renew(session, message)
            case Hello():
                session.finish("hello twice", Goodbye(reason="hello may be said once in a connection"))

    async def _take_facts(self, session: Session, message: Facts) -> None:
        def decide(snapshot: Snapshot) -> Decision[None]:
            host = snapshot.get(Host, session.peer.host)
            if host is None or message.session != session.number or host.facts == message.facts:
                return (), None
            return (Put(object=msgspec.structs.replace(host, facts=message.facts), reason="its facts changed"),), None

        try:
            await commit_decision(self._store, decide)
        except Transient as trouble:
            session.finish(trouble.message, Goodbye(reason=trouble.message))

    async def _renew(self, session: Session, message: Renew) -> None:
        """The certificate it holds goes on being good until its end: the new one may never arrive."""
        if self._sign is None:
            self._world.probe("a certificate asked for where none is needed")
            return
        host_id = session.peer.host
        try:
            certificate, fingerprint = self._sign(message.csr, host_id, self._world.now_s())

            def decide(snapshot: Snapshot) -> Decision[None]:
                host = snapshot.get(Host, host_id)
                if host is None or host.session != session.number:
                    raise NotFound(f"this session of {host_id} was succeeded by another")
                renewed = msgspec.structs.replace(host, certificate_fingerprint=fingerprint)
                return (Put(object=renewed, reason="its certificate was renewed"),), None

            await commit_decision(self._store, decide)
        except (UserError, Transient) as trouble:
            session.finish(trouble.message, Goodbye(reason=trouble.message))
            return
        self._world.log.info("certificate renewed", host=host_id, fingerprint=fingerprint[:16])
        session.say(Renewed(certificate=certificate))

    # What they are told

    def _dismiss(self, host: HostId, name: str) -> None:
        session = self.live.get(host)
        if session is not None:
            reason = f"host {name} was removed from its environment"
            session.finish(reason, Goodbye(reason=reason, final=True))
        self.gone.pop(host, None)

    def _filled(self, item: AnyItem) -> AnyItem:
        """Contents leave the seal here and nowhere else."""
        if not isinstance(item, FileAssignment):
            return item
        file = self._store.durable().get(File, item.file)
        if file is None:
            return item
        return msgspec.structs.replace(item, content=self._sealer.unseal(file))
