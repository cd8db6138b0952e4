"""A container engine as keepers need it: what is there, what changes, and one step at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

import msgspec

from paddock.model.errors import Refused
from paddock.model.images import HeldImage
from paddock.model.objects import NetworkId, VolumeId
from paddock.model.observed import ObservedContainer
from paddock.model.steps import AnyStep


class StepRefused(Refused):
    """The engine will not do this step; the message is in its words. Trouble that may pass is `Transient` instead."""


class ImageMissing(StepRefused):
    """Creation needs an image the host has not."""

    def __init__(self, message: str, image: str) -> None:
        super().__init__(message)
        self.image = image


class NameTaken(StepRefused):
    """Another container has the name."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class NetworkHeld(StepRefused):
    """A network cannot be made anew while containers are on the one of before."""


class EngineFacts(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    api_version: str
    engine_id: str
    os: str
    kernel: str
    architecture: str
    cpus: int
    memory_bytes: int
    labels: dict[str, str] = {}


Say = Callable[[str], None]


def say_nothing(words: str) -> None:
    """For who does not want to hear of progress."""


class Engine(Protocol):
    """Every method raises `Transient` when the engine does not answer."""

    async def facts(self) -> EngineFacts: ...

    async def containers(self) -> tuple[ObservedContainer, ...]:
        """All that carry our label."""
        ...

    def mind(self, container: str) -> None:
        """A container without our label that is ours all the same, from now on."""
        ...

    async def inspect(self, container: str) -> ObservedContainer | None:
        """By id or name, ours or not; None if there is none."""
        ...

    def follow(self) -> AsyncIterator[str]:
        """Ids of our containers that something happened to, "" once it is following: list after that, and nothing is
        missed. Ends with `Transient`; the caller begins again."""
        ...

    async def apply(self, step: AnyStep, say: Say = say_nothing) -> str:
        """Does one step; repeating it does no harm. The new container's id for `CreateContainer`, else "".

        Raises `StepRefused`. `say` hears how far long steps are.
        """
        ...

    async def networks(self) -> dict[NetworkId, str]:
        """Cluster networks that exist here -> their name on the engine."""
        ...

    async def volumes(self) -> dict[VolumeId, str]:
        """Cluster volumes that exist here -> their name on the engine."""
        ...

    async def images(self, known: Mapping[str, HeldImage]) -> dict[str, HeldImage]:
        """Image id -> image. `known`: what the last call gave, so that only new ones are looked at."""
        ...

    async def has_image(self, image: str) -> bool: ...

    def follow_images(self) -> AsyncIterator[None]:
        """Once it is following and whenever something happened to images. Ends with `Transient`."""
        ...
