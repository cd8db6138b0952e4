"""What an agent sees on its engine, and what it remembers of a unit."""

from __future__ import annotations

from typing import Literal

import msgspec

from paddock.model.objects import NetworkId, UnitId, UnitState

ContainerState = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]

UNIT_LABEL = "io.paddock.unit"
ROLE_LABEL = "io.paddock.role"
NAME_LABEL = "io.paddock.name"
"""The name the container was made with. An image committed from one of ours carries its labels; this tells it apart."""
NETWORK_LABEL = "io.paddock.network"
VOLUME_LABEL = "io.paddock.volume"


class ObservedContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`unit` is the label's word, None for containers that are not ours. `networks`: engine network name -> address.

    `interrupted`: it did not end by itself: somebody stopped it, or its engine went down.
    """

    id: str
    name: str
    state: ContainerState
    unit: UnitId | None = None
    role: str = ""
    image: str = ""
    exit_code: int | None = None
    interrupted: bool = False
    error: str = ""
    oom_killed: bool = False
    health: str = ""
    restarts: int = 0
    restart_policy: str = ""
    started_at_s: float = 0.0
    finished_at_s: float = 0.0
    networks: dict[str, str] = {}
    ports: tuple[str, ...] = ()

    @property
    def alive(self) -> bool:
        """Has a process, or the engine is about to start one again."""
        return self.state in ("running", "paused", "restarting")


class OwnedContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container made for a unit, or taken over from the unit it reuses.

    `baseline_s`: its `started_at_s` when it became this unit's; a different one means it was started for this unit.
    -1.0 until the container is seen.
    """

    id: str
    baseline_s: float = 0.0


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the ledger remembers of a unit. `state` only climbs. `owned`: role -> container.

    `refused`: the engine will not do it, in its words. `pulled`: roles whose image was pulled because asked for always.
    `prepared`: networks made ready for a container somebody else creates, None before the first time.
    `given_up`: its containers are another unit's now. `local_restarts`: how often it was started again while cut off.
    """

    state: UnitState = UnitState.PREPARING
    owned: dict[str, OwnedContainer] = {}
    refused: str = ""
    message: str = ""
    pulled: tuple[str, ...] = ()
    prepared: tuple[NetworkId, ...] | None = None
    given_up: bool = False
    local_restarts: int = 0


class ObservedUnit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`containers` are this unit's own: owned by id, or labelled with it. `named`: who holds the names it wants or
    waits for, or nobody. `missing_images`: references the engine said it has not. `networks`: id -> engine name.

    `waiting`: what hinders the next step for now, in words. `cut_off`: there is no session with the server.
    """

    containers: tuple[ObservedContainer, ...] = ()
    named: dict[str, ObservedContainer] = {}
    missing_images: tuple[str, ...] = ()
    networks: dict[NetworkId, str] = {}
    waiting: str = ""
    cut_off: bool = False
