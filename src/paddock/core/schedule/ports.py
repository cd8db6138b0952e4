"""Published ports as the scheduler sees them: what a unit takes of its host."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from paddock.model.specs import ContainerSpec, PortSpec, ServiceSpec

ANY_ADDRESS = ("", "0.0.0.0", "::")


class Claim(NamedTuple):
    """One published port, or one out of `first`..`last`, on one address ("" is every address) of the host."""

    protocol: str
    address: str
    first: int
    last: int

    @property
    def single(self) -> bool:
        return self.first == self.last

    def clashes(self, other: Claim) -> bool:
        """Both cannot be had on one host; only meaningful between single ports."""
        same_address = not self.address or not other.address or self.address == other.address
        return (
            same_address and self.protocol == other.protocol and self.first <= other.last and other.first <= self.last
        )

    def __str__(self) -> str:
        ports = str(self.first) if self.single else f"{self.first}-{self.last}"
        return f"{self.address + ':' if self.address else ''}{ports}/{self.protocol}"


def containers_of(spec: ServiceSpec) -> list[tuple[str, ContainerSpec]]:
    """(role, container): the primary with role "" first, then the sidekicks by name."""
    return [("", spec.container), *sorted(spec.sidekicks.items())]


@lru_cache(maxsize=4096)
def _claim(port: PortSpec) -> Claim | None:
    if not port.published:
        return None
    first, _, last = port.published.partition("-")
    address = "" if port.host_ip in ANY_ADDRESS else port.host_ip
    return Claim(port.protocol, address, int(first), int(last or first))


def claims(spec: ServiceSpec) -> list[Claim]:
    """What one unit asks of its host. Ports the engine may choose freely claim nothing."""
    found: list[Claim] = []
    for _, container in containers_of(spec):
        if container.network_mode == "host":
            continue
        found += [claim for port in container.ports if (claim := _claim(port)) is not None]
    return found
