"""Images as the cluster knows them: what makes two of them one, and what of one is elsewhere already."""

from __future__ import annotations

import msgspec


class HeldImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image on one host. `layers`: digests of their contents, the lowest first. `tagged_at_s`: when a name was last
    put on it there, so that of two images with one name the newer can be told."""

    id: str
    names: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    platform: str = ""
    size_bytes: int = 0
    tagged_at_s: float = 0.0


class SaveImage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image as `docker save` writes it, without the first `left_out` of its `layers`."""

    image: str
    layers: tuple[str, ...] = ()
    left_out: int = 0
