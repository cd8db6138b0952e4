"""The images of an engine, as the cluster wants to know them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paddock.model.images import HeldImage
from paddock.wire.engine_errors import EngineNotFound
from paddock.wire.engine_http import EngineHttp

MOST_IMAGES = 10_000
"""Of one host; those beyond are not known to the cluster."""
INSPECTS_AT_ONCE = 4
_NONE = "<none>"


async def held_images(http: EngineHttp, known: Mapping[str, HeldImage]) -> dict[str, HeldImage]:
    """id -> image. Of those in `known` with the same names nothing more is asked: an image's content never changes."""
    listed = (await http.json("GET", "/images/json"))[:MOST_IMAGES]
    gate = asyncio.Semaphore(INSPECTS_AT_ONCE)

    async def one(entry: dict[str, Any]) -> HeldImage | None:
        before = known.get(entry["Id"])
        if before is not None and before.names == names_in(entry):
            return before
        async with gate:
            return await held_image(http, entry["Id"])

    found = await asyncio.gather(*(one(entry) for entry in listed))
    return {image.id: image for image in found if image is not None}


async def held_image(http: EngineHttp, name: str) -> HeldImage | None:
    try:
        seen = await http.json("GET", f"/images/{name}/json")
    except EngineNotFound:
        return None
    platform = "/".join(part for part in (seen.get("Os"), seen.get("Architecture"), seen.get("Variant")) if part)
    return HeldImage(
        id=seen["Id"],
        names=names_in(seen),
        layers=tuple((seen.get("RootFS") or {}).get("Layers") or ()),
        platform=platform,
        size_bytes=int(seen.get("Size") or 0),
        tagged_at_s=_seconds((seen.get("Metadata") or {}).get("LastTagTime")),
    )


def names_in(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Tags and digests, without the engine's words for there being none."""
    names = [*(entry.get("RepoTags") or ()), *(entry.get("RepoDigests") or ())]
    return tuple(sorted(dict.fromkeys(name for name in names if _NONE not in name)))


def _seconds(text: str | None) -> float:
    if not text or text.startswith("0001-"):
        return 0.0
    try:
        return datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    except ValueError:
        return 0.0
