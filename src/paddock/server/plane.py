"""The control plane without its sockets: what the simulator runs, and what `main` puts behind TLS ports."""

from __future__ import annotations

import asyncio

import msgspec

from paddock.model.changes import Put
from paddock.model.objects import ApiKey, Environment
from paddock.model.snapshot import Snapshot
from paddock.server.auth import new_key
from paddock.server.committing import Decision, commit_decision
from paddock.server.convergence import Convergence
from paddock.server.image_copies import ImageCopies
from paddock.server.images import Inventory
from paddock.server.presence import Presence
from paddock.server.registries import Registries
from paddock.server.sealing import Sealer
from paddock.server.sessions import Sessions, Sign
from paddock.server.streams import Streams
from paddock.store.store import Store
from paddock.wire.api import NewApiKey
from paddock.world.world import World

DEFAULT_ENVIRONMENT = "default"
FIRST_KEY_NAME = "first admin key"


class ControlPlane:
    def __init__(self, world: World, store: Store, sealer: Sealer, sign: Sign | None = None) -> None:
        self.world = world
        self.store = store
        self.sealer = sealer
        self.sessions = Sessions(world, store, sealer, sign)
        self.streams = Streams(world, self.sessions)
        self.images = Inventory(world, store, self.sessions, self.streams)
        self.registries = Registries(store, sealer)
        self.copies = ImageCopies(world, self.sessions, self.streams, self.images)
        self.copies.auth_of = self.registries.auth
        self.presence = Presence(world, store, self.sessions)
        self.convergence = Convergence(world, store)

    async def first_start(self, pools: tuple[str, ...] = ()) -> str | None:
        """Makes the default environment and the first admin key where there is none. -> the key, to be shown once."""

        def decide(snapshot: Snapshot) -> Decision[str | None]:
            if len(snapshot.table(Environment)) or len(snapshot.table(ApiKey)):
                return (), None
            environment = Environment(
                id=self.world.new_id("env"), name=DEFAULT_ENVIRONMENT, created_at_s=self.world.now_s()
            )
            if pools:
                environment = msgspec.structs.replace(environment, pools=pools)
            keys, created = new_key(snapshot, NewApiKey(name=FIRST_KEY_NAME), self.world)
            return (Put(object=environment, reason="first start"), *keys), created.key

        key, _ = await commit_decision(self.store, decide)
        return key

    async def run(self) -> None:
        """Until cancelled, or the store is broken."""
        await self.presence.forgive()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.sessions.dispatch.run())
            tasks.create_task(self.sessions.reports.run())
            tasks.create_task(self.presence.run())
            tasks.create_task(self.convergence.run())
            tasks.create_task(self.copies.run())
