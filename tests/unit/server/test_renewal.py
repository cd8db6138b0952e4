"""Certificates of hosts renewed by a real server over its agents' port, and what is said once one has ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from paddock.agent import certificate as keeping
from paddock.agent.certificate import HostCertificate, keep_renewed, key_and_request
from paddock.agent.identity import CERTIFICATE, KEY, RENEWED, Identity, load_identity, tls_of
from paddock.agent.join import join
from paddock.agent.ledger import Ledger
from paddock.agent.reports import Reports
from paddock.agent.sealing import Sealing, write_private
from paddock.agent.session import Session, Told
from paddock.agent.websocket import Dialler
from paddock.client import Client
from paddock.model.errors import Transient
from paddock.model.objects import HostFacts, HostId
from paddock.server.authority import HOST_DAYS, Authority
from paddock.server.plane import ControlPlane
from paddock.wire.messages import Goodbye, Renew
from paddock.world.world import MachineChance, MachineClock, World, machine_world
from serving import PlayedAgent, add_host, admin, host_of, running_plane
from waiting import until_async

TOLD = Told(assigned=lambda keys: None, open_stream=lambda stream: None, welcomed=lambda welcome: None)
FACTS = HostFacts(address="10.0.0.1", cpus=4, memory_bytes=2**33)


class LaterClock(MachineClock):
    """Eight months on, for the agent only, until it has a certificate that is renewed."""

    def __init__(self, renewed: Path) -> None:
        self._renewed = renewed

    def now_s(self) -> float:
        return super().now_s() + (0.0 if self._renewed.exists() else HOST_DAYS * 86400 * 0.67)


async def joined(client: Client, data: Path) -> Identity:
    token = (await client.create_join_token()).token
    return await asyncio.to_thread(join, token, data, "h1")


async def session_on(dialler: Dialler, data: Path) -> Session:
    world = machine_world()
    ledger = Ledger(data / "ledger.db", Sealing(data / "ledger.key", world))
    return Session(await dialler.session(), ledger, Reports(), TOLD, world)


def test_the_session_goes_on_and_new_connections_show_the_new_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "CHECK_S", 0.05)

    async def main() -> None:
        async with admin(tmp_path / "server") as (running, client):
            data = tmp_path / "agent"
            identity = await joined(client, data)
            host = HostId(identity.host)
            before = host_of(running.plane, host).certificate_fingerprint
            tls = tls_of(data)
            dialler = Dialler((identity.server, identity.agents_port), tls)
            session = await session_on(dialler, data)
            conversation = asyncio.create_task(session.run(host, "one", FACTS))
            certificate = HostCertificate(data, host, tls)
            renewing = asyncio.create_task(
                keep_renewed(certificate, lambda: session, World(LaterClock(data / RENEWED), MachineChance()))
            )
            await until_async((data / RENEWED).exists, "the renewed certificate is kept")
            assert host_of(running.plane, host).certificate_fingerprint != before
            assert not conversation.done()
            assert running.plane.sessions.live[host].number == session.number == 1
            assert load_identity(data) == identity

            await until_async(lambda: not (data / KEY).exists(), "the old pair is gone")
            renewing.cancel()
            later = await session_on(Dialler((identity.server, identity.agents_port), tls_of(data)), data)
            again = asyncio.create_task(later.run(host, "one", FACTS))
            await until_async(lambda: later.number == 2, "the new certificate is let in")
            for task in (conversation, again):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    asyncio.run(main())


def test_a_host_whose_certificate_has_ended_is_told_to_join_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with admin(tmp_path / "server") as (_, client):
            data = tmp_path / "agent"
            identity = await joined(client, data)
            world = machine_world()
            long_ago_s = world.now_s() - (HOST_DAYS + 2) * 86400
            key, request = key_and_request()
            signed, _ = Authority.open(tmp_path / "server", world.now_s()).sign_host(request, identity.host, long_ago_s)
            write_private(data / KEY, key)
            write_private(data / CERTIFICATE, signed.encode())
            tls = tls_of(data)
            certificate = HostCertificate(data, identity.host, tls)
            place = (identity.server, identity.agents_port)
            dialler = Dialler(place, tls, lambda: certificate.ended(world.now_s()))
            with pytest.raises(Transient, match=r"this host's certificate ended on .* join again"):
                await dialler.session()

    asyncio.run(main())


def test_what_is_not_a_request_ends_the_session_with_the_reason(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        await agent.say(Renew(csr="nonsense"))
        goodbye = await agent.hears(Goodbye)
        assert "not a certificate request" in goodbye.reason
        assert not goodbye.final

    async def main() -> None:
        authority = Authority.open(tmp_path / "ca", machine_world().now_s())
        async with running_plane(tmp_path, sign=authority.sign_host) as plane:
            await scene(plane)

    asyncio.run(main())
