"""Bugs planted on purpose are found. `python tests/sim/planted.py` tries all of them."""

from __future__ import annotations

import pytest

from sim.planted import find


@pytest.mark.parametrize("name", ["ledger-not-synced", "taken-out-halfway", "states-go-back"])
def test_a_planted_bug_is_found(name: str) -> None:
    seed, words = find(name)
    assert seed, f"{name} survived"
    assert words
