"""What agents tell the server about their host."""

from __future__ import annotations

import msgspec

from paddock.model.objects import ContainerStatus, UnitId, UnitState


class UnitReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a unit is. `healthy` as in `Unit.healthy`; `message` says what went wrong, in the engine's words."""

    unit: UnitId
    state: UnitState
    healthy: bool = False
    containers: tuple[ContainerStatus, ...] = ()
    message: str = ""
    at_s: float = 0.0
