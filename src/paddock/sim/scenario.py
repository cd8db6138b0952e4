"""What a run is made of: how many hosts, what operators do, what goes wrong, and which rare states it must reach."""

from __future__ import annotations

from pathlib import Path

import msgspec

FOLDER = Path(__file__).with_name("scenarios")
DEFAULT = "mixed"


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`operators` and `faults`: what -> its weight. `probes` must each be reached by a set of runs of this scenario."""

    about: str
    hosts: int = 4
    storm_s: float = 90.0
    operator_every_s: tuple[float, float] = (2.0, 10.0)
    operators: dict[str, float] = {}
    fault_every_s: tuple[float, float] = (1.0, 8.0)
    faults: dict[str, float] = {}
    probes: tuple[str, ...] = ()


def load(name: str) -> Scenario:
    return msgspec.toml.decode((FOLDER / f"{name}.toml").read_bytes(), type=Scenario)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))
