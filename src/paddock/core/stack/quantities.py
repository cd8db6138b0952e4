"""Durations, sizes and processor counts as the canonical model writes them."""

from __future__ import annotations

import re
import struct
from typing import Any

_UNITS_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"-?(?:{_PART.pattern})+")


def nanoseconds(duration: Any) -> int:
    """A Go duration (`1m30s`, `1.5s`, `0s`) or a plain number of nanoseconds."""
    if isinstance(duration, int):
        return duration
    text = str(duration)
    if text in {"", "0"}:
        return 0
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 1m30s")
    total = 0
    for amount, unit in _PART.findall(text):
        whole, _, fraction = amount.partition(".")
        total += int(whole or 0) * _UNITS_NS[unit]
        total += int(fraction or 0) * _UNITS_NS[unit] // 10 ** len(fraction)
    return -total if text.startswith("-") else total


def seconds(duration: Any) -> float:
    return nanoseconds(duration) / 1e9


def whole(number: Any) -> int:
    """Sizes are strings in the canonical model (`"536870912"`)."""
    return int(number or 0)


def nano_cpus(cpus: Any) -> int:
    """Computed in 32-bit floats, as docker compose does: 0.1 is exactly what it sends for 0.1."""
    return int(_float32(_float32(float(cpus or 0)) * _float32(1e9)))


def cpu_percent(percent: Any) -> int:
    return int(_float32(_float32(float(percent or 0)) * 100))


def _float32(number: float) -> float:
    value: float = struct.unpack("f", struct.pack("f", number))[0]
    return value
