"""Placing many at once gives the sequence that placing one by one gives, and never exceeds the room there is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paddock.core.schedule.fleet import Ints
from paddock.core.schedule.scores import binpack, spread

hosts = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=12
)


def column(rows: list[tuple[int, ...]], at: int) -> Ints:
    return np.array([row[at] for row in rows], dtype=np.int64)


@settings(deadline=None, max_examples=150)
@given(hosts, st.integers(0, 30), st.booleans())
def test_spread_in_one_go_is_spread_one_by_one(rows: list[tuple[int, ...]], wanted: int, grouped: bool) -> None:
    room, count, units = column(rows, 0), column(rows, 1), column(rows, 2)
    groups = [column(rows, 3)] if grouped else []
    size = np.array([1.0 + at % 3 for at in range(len(rows))], dtype=np.float64)
    at_once = spread(room, count, units, size, groups, wanted).tolist()
    singly: list[int] = []
    room, count, units = room.copy(), count.copy(), units.copy()
    for _ in range(wanted):
        chosen = spread(room, count, units, size, groups, 1).tolist()
        if not chosen:
            break
        singly += chosen
        room[chosen[0]] -= 1
        count[chosen[0]] += 1
        units[chosen[0]] += 1
    assert at_once == singly
    assert len(at_once) == min(wanted, int(column(rows, 0).sum()))


@settings(deadline=None, max_examples=100)
@given(hosts, st.integers(0, 30))
def test_binpack_in_one_go_is_binpack_one_by_one(rows: list[tuple[int, ...]], wanted: int) -> None:
    room, units, fullness = column(rows, 0), column(rows, 1), column(rows, 2) / 100.0
    at_once = binpack(room, fullness, units, wanted).tolist()
    singly: list[int] = []
    room, units, fullness = room.copy(), units.copy(), fullness.copy()
    for _ in range(wanted):
        chosen = binpack(room, fullness, units, 1).tolist()
        if not chosen:
            break
        singly += chosen
        room[chosen[0]] -= 1
        units[chosen[0]] += 1
        fullness[chosen[0]] += 0.001
    assert at_once == singly
