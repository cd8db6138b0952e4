"""Which host has which image, as agents report it: in memory only, since every session tells it anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from paddock.core.images.reference import id_prefix, tagged
from paddock.model.images import HeldImage
from paddock.model.objects import Host, HostId
from paddock.server.sessions import Sessions
from paddock.server.streams import Streams
from paddock.store.store import Store
from paddock.wire.engine_images import MOST_IMAGES, held_images
from paddock.wire.messages import FetchImage, Images
from paddock.world.world import World

SHORTEST_ID = 4


class Holding(msgspec.Struct, frozen=True):
    host: Host
    image: HeldImage


class Inventory:
    """Environments are never mixed: every question names one."""

    def __init__(self, world: World, store: Store, sessions: Sessions, streams: Streams) -> None:
        self._world = world
        self._store = store
        self._sessions = sessions
        self._streams = streams
        self._of_host: dict[HostId, dict[str, HeldImage]] = {}
        self._hosts_of: dict[str, dict[HostId, HeldImage]] = {}
        self._by_name: dict[str, dict[HostId, HeldImage]] = {}
        sessions.on_images = self._heard
        sessions.on_gone.append(self._host_gone)
        self.on_wanted: Callable[[HostId, FetchImage], None] = lambda host, message: None
        """Told of what agents ask for."""

    # Questions

    def host(self, id: HostId) -> Host | None:
        return self._store.snapshot().get(Host, id)

    def on_host(self, host: HostId) -> tuple[HeldImage, ...]:
        return tuple(self._of_host.get(host, {}).values())

    def holders(self, environment: str, name: str) -> tuple[Holding, ...]:
        """Connected hosts that have what goes by this name or id; the one where the name is newest comes first.

        Only those with that very image: elsewhere an older one may still have the name.
        """
        found = self._holders(environment, self._by_name.get(tagged(name), {}))
        if not found and len(digits := id_prefix(name)) >= SHORTEST_ID:
            found = self._with_id(environment, digits)
        return tuple(holding for holding in found if holding.image.id == found[0].image.id)

    def _with_id(self, environment: str, digits: str) -> list[Holding]:
        whole = self._hosts_of.get(f"sha256:{digits}")
        if whole is not None:
            return self._holders(environment, whole)
        fitting = [hosts for id, hosts in self._hosts_of.items() if id.startswith(f"sha256:{digits}")]
        found = [held for hosts in fitting if (held := self._holders(environment, hosts))]
        return found[0] if len(found) == 1 else []

    def _holders(self, environment: str, hosts: dict[HostId, HeldImage]) -> list[Holding]:
        snapshot = self._store.snapshot()
        found = [
            Holding(host, image)
            for id, image in hosts.items()
            if (host := snapshot.get(Host, id)) is not None and host.environment == environment
            if self._sessions.alive(id)
        ]
        return sorted(found, key=lambda holding: (-holding.image.tagged_at_s, holding.host.name))

    # What is learnt

    async def refresh(self, host: HostId) -> None:
        """Asks the engine now: for who has just changed something there and must see it. Raises `PaddockError`."""
        known = self._store.snapshot().get(Host, host)
        engine = self._streams.engine(host, known.name if known is not None else host)
        self._replace(host, await held_images(engine, self._of_host.get(host, {})))

    def put(self, host: HostId, image: HeldImage) -> None:
        self._forget(host, image.id)
        held = self._of_host.setdefault(host, {})
        if len(held) >= MOST_IMAGES:
            self._world.probe("a host has more images than are kept")
            return
        alike = next(iter(self._hosts_of.get(image.id, {}).values()), None)
        if alike is not None and alike.layers == image.layers:
            image = msgspec.structs.replace(image, id=alike.id, layers=alike.layers)
        held[image.id] = image
        self._hosts_of.setdefault(image.id, {})[host] = image
        for name in image.names:
            self._by_name.setdefault(name, {})[host] = image

    def _heard(self, host: HostId, message: Images | FetchImage) -> None:
        if isinstance(message, FetchImage):
            self.on_wanted(host, message)
            return
        if message.whole:
            self._replace(host, {})
        for id in message.gone:
            self._forget(host, id)
        for image in message.images:
            self.put(host, image)

    def _replace(self, host: HostId, images: dict[str, HeldImage]) -> None:
        before = self._of_host.get(host, {})
        self._forget_all(host, [id for id, image in before.items() if images.get(id) != image])
        for id, image in images.items():
            if before.get(id) != image:
                self.put(host, image)

    def _host_gone(self, host: HostId, reason: str) -> None:
        """A host that comes back says what it has; one that was removed does not, and others may have been since."""
        snapshot = self._store.snapshot()
        for id in [id for id in self._of_host if snapshot.get(Host, id) is None]:
            self._forget_all(id, list(self._of_host[id]))
            del self._of_host[id]

    def _forget_all(self, host: HostId, images: Iterable[str]) -> None:
        for image in images:
            self._forget(host, image)

    def _forget(self, host: HostId, id: str) -> None:
        image = self._of_host.get(host, {}).pop(id, None)
        if image is None:
            return
        _drop(self._hosts_of, id, host)
        for name in image.names:
            if self._by_name.get(name, {}).get(host) is image:
                _drop(self._by_name, name, host)


def _drop(table: dict[str, dict[HostId, HeldImage]], key: str, host: HostId) -> None:
    hosts = table.get(key, {})
    hosts.pop(host, None)
    if not hosts:
        table.pop(key, None)
