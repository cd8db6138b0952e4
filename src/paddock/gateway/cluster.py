"""What the gateway needs of the control plane. `paddock.main` joins the two; neither imports the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, TypeVar

import msgspec

from paddock.model.changes import Change, Commit
from paddock.model.images import HeldImage
from paddock.model.objects import EnvironmentId, Host, HostId
from paddock.model.snapshot import Snapshot
from paddock.wire.engine_connection import ByteStream
from paddock.wire.engine_http import EngineHttp
from paddock.world.world import World

T = TypeVar("T")
Decide = Callable[[Snapshot], tuple[Sequence[Change], T]]
"""What to write, and what to tell the caller once it is written."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who is at the other end, and what it may do. `privileged`: host mounts, host namespaces, devices and the like."""

    environment: EnvironmentId
    name: str
    privileged: bool = True


Say = Callable[[str], None]


class ImageOf(msgspec.Struct, frozen=True):
    """An image and a connected host that has it."""

    host: Host
    image: HeldImage


class ClusterImages(Protocol):
    def holders(self, environment: str, name: str) -> Sequence[ImageOf]:
        """Who has what goes by this name, id or beginning of an id; the newest where the name means several, and only
        hosts with that one."""
        ...

    def on_host(self, host: HostId) -> tuple[HeldImage, ...]: ...

    async def refresh(self, host: HostId) -> None:
        """What was just changed on that engine is known from now on. Raises `PaddockError`."""
        ...

    async def bring(self, name: str, target: Host, say: Say) -> bool:
        """From another host that has it; False when none has. Raises `PaddockError`."""
        ...

    def auth(self, environment: str, name: str) -> str:
        """What the environment shows the image's registry, as `X-Registry-Auth`; "" where it is not logged in."""
        ...

    def auths(self, environment: str) -> dict[str, dict[str, str]]:
        """Everything it is logged in at, as in `X-Registry-Config`."""
        ...


class Cluster(Protocol):
    world: World

    @property
    def images(self) -> ClusterImages: ...

    def snapshot(self) -> Snapshot:
        """The newest, including what is being written: for decisions."""
        ...

    def durable(self) -> Snapshot: ...

    async def commit(self, decide: Decide[T]) -> tuple[T, int]:
        """Decides over the newest snapshot, and again when somebody was there in between. -> answer, version."""
        ...

    def watch(self) -> tuple[Snapshot, AsyncIterator[Commit]]:
        """A durable view and every commit after it."""
        ...

    def connected(self, host: HostId) -> bool: ...

    async def dial(self, host: HostId) -> ByteStream:
        """Bytes to and from that host's engine. Raises `Transient`."""
        ...

    def engine(self, host: HostId) -> EngineHttp:
        """Calls on that host's engine, over connections that are kept."""
        ...
