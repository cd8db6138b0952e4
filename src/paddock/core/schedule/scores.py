"""Which of the hosts that could take a unit gets it, for one unit or a million alike.

Placing k units at once gives the very sequence that placing them one by one would (`tests/property` holds that): each
goes to the best host as it is then. Spreading fills lowest levels first, as Docker's swarmkit does (fewest tasks of the
service, then fewest tasks); preferences form groups which are levelled first, from the outermost in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paddock.core.schedule.fleet import Ints

Floats = npt.NDArray[np.float64]


def level(room: Ints, count: Ints, units: Ints, size: Floats, wanted: int) -> Ints:
    """Positions in the order they are chosen: always the lowest `count`, then the fewest `units` for its
    `size`, then the first.

    Each choice of a position adds one to its count and its units; none is chosen more often than it has `room`.
    """
    room = np.minimum(room, wanted)
    taken = _taken(room, count, units, size, wanted)
    chosen = np.repeat(np.arange(len(room), dtype=np.int64), taken)
    nth = np.arange(len(chosen), dtype=np.int64) - np.repeat(np.cumsum(taken) - taken, taken)
    order = np.lexsort((chosen, (units[chosen] + nth) / size[chosen], count[chosen] + nth))
    return chosen[order]


def _taken(room: Ints, count: Ints, units: Ints, size: Floats, wanted: int) -> Ints:
    """How often each position is chosen."""
    if int(room.sum()) <= wanted:
        return room
    low = int(count[room > 0].min())
    high = low + wanted + int(count.max() - low) + 1 if wanted > 1 else low + 2
    while high - low > 1:
        middle = (low + high) // 2
        if int(np.clip(middle - count, 0, room).sum()) <= wanted:
            low = middle
        else:
            high = middle
    taken = np.clip(low - count, 0, room)
    rest = wanted - int(taken.sum())
    if rest:
        open_ones = np.nonzero((count + taken == low) & (taken < room))[0]
        order = np.lexsort((open_ones, (units[open_ones] + taken[open_ones]) / size[open_ones]))
        taken[open_ones[order[:rest]]] += 1
    return taken


def spread(room: Ints, count: Ints, units: Ints, size: Floats, groups: list[Ints], wanted: int) -> Ints:
    """As `level`, but first over the groups in `groups[0]`, then within them over those in `groups[1]`, and so on."""
    if not groups:
        return level(room, count, units, size, wanted)
    names = np.unique(groups[0])
    members = [np.nonzero(groups[0] == name)[0] for name in names]
    room_of = np.array([int(np.minimum(room[those], wanted).sum()) for those in members], dtype=np.int64)
    count_of = np.array([int(count[those].sum()) for those in members], dtype=np.int64)
    endless = np.full(len(members), np.inf)
    turns = level(room_of, count_of, np.zeros(len(members), dtype=np.int64), endless, wanted)
    result = np.empty(len(turns), dtype=np.int64)
    for at, those in enumerate(members):
        places = np.nonzero(turns == at)[0]
        if len(places):
            inner = [group[those] for group in groups[1:]]
            chosen = spread(room[those], count[those], units[those], size[those], inner, len(places))
            result[places] = those[chosen]
    return result


def binpack(room: Ints, fullness: Floats, units: Ints, wanted: int) -> Ints:
    """The fullest host that still has room, until it has none."""
    order = np.lexsort((np.arange(len(room)), -units, -fullness))
    order = order[room[order] > 0]
    chosen = np.repeat(order, np.minimum(room[order], wanted))
    return chosen[:wanted].astype(np.int64)
