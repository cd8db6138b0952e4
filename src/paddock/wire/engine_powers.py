"""What could be done to a host from inside one of its containers, as its engine tells."""

from __future__ import annotations

from typing import Any

from paddock.core.powers import own_files, powers_inside, volume_powers
from paddock.model.specs import ServiceSpec
from paddock.wire.engine_errors import EngineNotFound
from paddock.wire.engine_http import EngineHttp


async def container_powers(engine: EngineHttp, container: str, spec: ServiceSpec | None) -> list[str]:
    """`spec`: what the container is one of, when the cluster knows. Raises what the engine does: `EngineNotFound`, …"""
    seen: dict[str, Any] = await engine.json("GET", f"/containers/{container}/json")
    found, volumes = powers_inside(seen, own_files(spec) if spec is not None else frozenset())
    for name in volumes:
        found += await _volume_powers(engine, name)
    return found


async def _volume_powers(engine: EngineHttp, name: str) -> list[str]:
    try:
        volume: dict[str, Any] = await engine.json("GET", f"/volumes/{name}")
    except EngineNotFound:
        return []
    return volume_powers(volume.get("Options") or {})
