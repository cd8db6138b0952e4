"""Rare states, counted by name."""

from __future__ import annotations

from collections import Counter


class Probes:
    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()

    def hit(self, name: str) -> None:
        self.hits[name] += 1
