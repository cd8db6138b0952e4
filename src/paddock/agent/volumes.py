"""Cluster volumes on this host: made before the first container that uses them, gone when not to be kept."""

from __future__ import annotations

import asyncio

from paddock.agent.ledger import Ledger
from paddock.agent.reports import Reports
from paddock.drivers.engine import Engine
from paddock.model.assignment import ContainerAssignment, VolumeAssignment
from paddock.model.errors import Refused, Transient
from paddock.model.objects import UnitState, VolumeId
from paddock.model.steps import EnsureVolume, RemoveVolume
from paddock.world.world import World

AGAIN_S = 5.0


class Volumes:
    def __init__(self, ledger: Ledger, engine: Engine, reports: Reports, world: World) -> None:
        self._ledger = ledger
        self._engine = engine
        self._reports = reports
        self._world = world
        self._there: dict[VolumeId, None] = {}
        self._wake = asyncio.Event()
        self._wake.set()

    async def ensure(self, container: ContainerAssignment) -> None:
        for id in container.volumes:
            volume = self._ledger.items.get(f"volume/{id}")
            if not isinstance(volume, VolumeAssignment):
                raise Transient(f"{container.name} waits for volume {id}, which this host has not been given yet")
            if id not in self._there:
                await self._engine.apply(EnsureVolume(volume=volume))
                self._there[id] = None

    def changed(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Runs for ever."""
        again_s: float | None = None
        while True:
            try:
                async with asyncio.timeout(again_s):
                    await self._wake.wait()
            except TimeoutError:
                self._world.log.debug("volumes are looked at again")
            self._wake.clear()
            again_s = AGAIN_S if await self._remove_unwanted() else None

    async def _remove_unwanted(self) -> bool:
        """Whether some are left that have to go. The server is told of those that have gone."""
        going = [item for item in self._ledger.items.values() if isinstance(item, VolumeAssignment) and not item.keep]
        if not going:
            self._reports.put_removed(())
            return False
        try:
            found = await self._engine.volumes()
        except (Transient, Refused):
            return True
        used = self._used()
        gone: list[VolumeId] = []
        for volume in going:
            self._there.pop(volume.volume, None)
            if volume.volume in used:
                continue
            # What an earlier volume of the name left behind was taken for it by the engine, and is it.
            held = volume.volume in found or volume.engine_name in found.values()
            if not held or await self._removed(volume, volume.engine_name):
                gone.append(volume.volume)
        self._reports.put_removed(tuple(sorted(gone)))
        return len(gone) < len(going)

    async def _removed(self, volume: VolumeAssignment, name: str) -> bool:
        try:
            await self._engine.apply(RemoveVolume(name=name))
        except (Transient, Refused) as error:
            self._world.log.info("volume stays for now", volume=name, reason=str(error))
            return False
        self._world.log.info("volume is removed", volume=name)
        return True

    def _used(self) -> set[VolumeId]:
        units = [self._ledger.unit(unit) for unit in self._ledger.units()]
        return {
            volume
            for unit in units
            if unit is not None and self._ledger.progress_of(unit.unit).state < UnitState.REMOVED
            for container in unit.containers
            for volume in container.volumes
        }
