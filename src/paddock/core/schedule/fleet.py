"""The hosts of one environment as arrays: what each has, and what is taken of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from paddock.core.schedule.ports import Claim, claims
from paddock.model.objects import Host, HostId, HostState, RevisionId, Unit
from paddock.model.snapshot import Usage
from paddock.model.specs import ServiceSpec

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

UNBOUNDED = 1 << 40
"""Stands for "no limit" in counts of units."""


class Fleet:
    """`take` and `give` keep it true as units come and go. Hosts keep their position for as long as the fleet lives."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = list(hosts)
        self.position = {host.id: at for at, host in enumerate(self.hosts)}
        self.cpu_milli = self._array([host.facts.cpus * 1000 for host in self.hosts])
        self.memory_bytes = self._array([host.facts.memory_bytes for host in self.hosts])
        self.ids = [HostId(host.id) for host in self.hosts]
        self.in_state = {
            state: np.array([host.state is state for host in self.hosts], dtype=np.bool_) for state in HostState
        }
        self.available = np.array([host.availability == "active" for host in self.hosts], dtype=np.bool_)
        self.ipv6 = np.array([host.facts.ipv6 for host in self.hosts], dtype=np.bool_)
        self.cpu_taken = self._array([0] * len(self.hosts))
        self.memory_taken = self._array([0] * len(self.hosts))
        self.units = self._array([0] * len(self.hosts))
        self._claims: dict[int, dict[Claim, int]] = {}
        self._matches: dict[str, Any] = {}

    @staticmethod
    def _array(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.hosts)

    def zeros(self) -> Ints:
        return np.zeros(len(self.hosts), dtype=np.int64)

    def remembered(self, key: str) -> Any:
        """What an expression meant on these hosts, if it was asked before (labels do not change under a fleet)."""
        return self._matches.get(key)

    def remember(self, key: str, value: Any) -> None:
        self._matches[key] = value

    def take_over(self, usages: Sequence[Usage], claims_of: Callable[[RevisionId], list[Claim]]) -> None:
        """What is taken already, one for each host in order. For a fleet of which nothing is taken."""
        self.units += self._array([usage.units for usage in usages])
        self.cpu_taken += self._array([usage.cpu_milli for usage in usages])
        self.memory_taken += self._array([usage.memory_bytes for usage in usages])
        for at, usage in enumerate(usages):
            for revision, count in usage.publishing.items():
                for claim in claims_of(revision):
                    self._claim(at, claim, count)

    def take(self, spec: ServiceSpec, units: Sequence[Unit]) -> None:
        """`units` are of one spec, each with a host."""
        self._count(spec, units, 1)

    def give(self, spec: ServiceSpec, units: Sequence[Unit]) -> None:
        self._count(spec, units, -1)

    def _count(self, spec: ServiceSpec, units: Sequence[Unit], sign: int) -> None:
        where = [at for unit in units if (at := self.position.get(unit.host or "")) is not None]
        if len(where) == 1:
            self._count_one(spec, where[0], sign)
        elif where:
            self.take_at(spec, np.array(where, dtype=np.int64), sign)

    def _count_one(self, spec: ServiceSpec, at: int, sign: int) -> None:
        self.units[at] += sign
        if spec.reservation.cpu_milli:
            self.cpu_taken[at] += sign * spec.reservation.cpu_milli
        if spec.reservation.memory_bytes:
            self.memory_taken[at] += sign * spec.reservation.memory_bytes
        for claim in claims(spec):
            self._claim(at, claim, sign)

    def take_at(self, spec: ServiceSpec, where: Ints, sign: int = 1) -> None:
        """One unit of `spec` at each position in `where` (positions may repeat)."""
        counts = np.bincount(where, minlength=len(self.hosts)).astype(np.int64) * sign
        self.units += counts
        self.cpu_taken += counts * spec.reservation.cpu_milli
        self.memory_taken += counts * spec.reservation.memory_bytes
        for claim in claims(spec):
            for at in np.nonzero(counts)[0].tolist():
                self._claim(at, claim, int(counts[at]))

    def _claim(self, at: int, claim: Claim, count: int) -> None:
        held = self._claims.setdefault(at, {})
        left = held.get(claim, 0) + count
        if left:
            held[claim] = left
        else:
            held.pop(claim, None)

    def held(self, at: int) -> dict[Claim, int]:
        """Published ports in use on the host at that position. Not to be changed by callers."""
        return self._claims.get(at, {})

    def holders(self) -> list[tuple[int, dict[Claim, int]]]:
        """Positions of hosts with published ports in use, and which."""
        return [(at, held) for at, held in self._claims.items() if held]
