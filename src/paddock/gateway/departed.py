"""Containers that are gone from their engines while the cluster still counts with them: `--rm` tells nobody in time."""

from __future__ import annotations

from collections.abc import Iterable

from paddock.core.standalone import forget
from paddock.gateway.call import Call
from paddock.model.changes import Change
from paddock.model.errors import Transient
from paddock.model.objects import Service, Unit
from paddock.model.snapshot import Snapshot
from paddock.wire.engine_errors import EngineError

MOST_LOOKED_AT = 20


async def any_gone(call: Call, units: Iterable[Unit]) -> bool:
    """Asked before something is refused on account of these."""
    found = False
    for unit in [unit for unit in units if unit.standalone][:MOST_LOOKED_AT]:
        found = await gone_meanwhile(call, unit) or found
    return found


async def gone_meanwhile(call: Call, unit: Unit) -> bool:
    """A container with --rm may have ended a moment ago, and its host's agent has not said so yet."""
    id = next((container.id for container in unit.containers), "") or call.gateway.finder.ids.get(unit.id)
    if not unit.standalone or not id or unit.host is None:
        return False
    try:
        await call.cluster.engine(unit.host).json("GET", f"/containers/{id}/json")
    except EngineError as error:
        if error.status == 404:
            await taken_back(call, unit.id)
            return True
    except Transient:
        return False
    return False


async def taken_back(call: Call, unit_id: str) -> None:
    """The wish goes, and its name is free; what there is of the container is removed by its host's agent."""

    def decide(snapshot: Snapshot) -> tuple[list[Change], None]:
        unit = snapshot.get(Unit, unit_id)
        service = snapshot.get(Service, unit.service) if unit is not None else None
        return (forget(snapshot, service) if service is not None else []), None

    await call.cluster.commit(decide)
