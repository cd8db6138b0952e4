"""What the server has to be told of units and has not confirmed yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from paddock.model.objects import UnitId, VolumeId
from paddock.model.reports import UnitReport

MOST_AT_ONCE = 500
MOST_UNCONFIRMED = 64


class Taken(NamedTuple):
    number: int
    units: tuple[UnitReport, ...]
    volumes: tuple[VolumeId, ...]
    whole: bool


class Reports:
    """Only the newest report of a unit is kept: its state only climbs, so a later one says all an earlier one did."""

    def __init__(self) -> None:
        self.latest: dict[UnitId, UnitReport] = {}
        self._waiting: dict[UnitId, None] = {}
        self._unconfirmed: dict[int, tuple[UnitReport, ...]] = {}
        self._volumes: tuple[VolumeId, ...] = ()
        self._volumes_waiting = False
        self._number = 0
        self._told_whole = False
        self.whole: Callable[[], bool] = lambda: False
        """Whether every unit of the host has been looked at. Set by who looks."""
        self.wake = asyncio.Event()

    def put(self, report: UnitReport) -> None:
        self.latest[report.unit] = report
        self._waiting[report.unit] = None
        self.wake.set()

    def put_removed(self, volumes: tuple[VolumeId, ...]) -> None:
        """All volumes that are gone and that the server has not dropped yet."""
        if volumes != self._volumes:
            self._volumes, self._volumes_waiting = volumes, bool(volumes)
            if volumes:
                self.wake.set()

    def forget(self, unit: UnitId) -> None:
        """The server has dropped it and would not hear of it."""
        self.latest.pop(unit, None)
        self._waiting.pop(unit, None)
        if not self._told_whole:
            self.wake.set()

    def begin_session(self) -> None:
        """A new session is told everything: what the last one was told may not have been committed."""
        self._number = 0
        self._told_whole = False
        self._unconfirmed.clear()
        self._waiting = dict.fromkeys(self.latest)
        self._volumes_waiting = bool(self._volumes)
        self.wake.set()

    def take(self) -> Taken | None:
        """The next report's contents; None when nothing is to be said or too much is unconfirmed."""
        if len(self._unconfirmed) >= MOST_UNCONFIRMED:
            self.wake.clear()
            return None
        units = tuple(self._waiting)[:MOST_AT_ONCE]
        for unit in units:
            del self._waiting[unit]
        if not self._waiting:
            self.wake.clear()
        volumes = self._volumes if self._volumes_waiting else ()
        self._volumes_waiting = False
        whole = not self._told_whole and not self._waiting and self.whole()
        if not units and not volumes and not whole:
            return None
        self._told_whole = self._told_whole or whole
        self._number += 1
        reports = tuple(self.latest[unit] for unit in units if unit in self.latest)
        self._unconfirmed[self._number] = reports
        return Taken(self._number, reports, volumes, whole)

    def confirmed(self, number: int) -> None:
        for sent in [sent for sent in self._unconfirmed if sent <= number]:
            del self._unconfirmed[sent]
        if self._waiting:
            self.wake.set()

    @property
    def unconfirmed(self) -> int:
        return len(self._unconfirmed)
