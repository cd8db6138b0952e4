"""How the command line prints: data to stdout, talk to stderr, readable without colour."""

from __future__ import annotations

import os
import sys
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

_PALETTE = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_STATE_COLOURS = {
    "running": 32, "active": 32, "complete": 32, "healthy": 32,
    "converging": 33, "waiting": 33, "updating": 33, "starting": 33, "draining": 33, "silent": 33, "degraded": 33,
    "failed": 31, "rejected": 31, "lost": 31, "unhealthy": 31, "orphaned": 31,
}  # fmt: skip


def say(text: str) -> None:
    """To the person, not to the pipe."""
    print(text, file=sys.stderr, flush=True)


def now_s() -> float:
    """The only look at a clock here: ages are shown relative to it."""
    return time.time()


def colours_wanted(stream: Any) -> bool:
    """https://no-color.org; a dumb terminal has none."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def painted(text: str, colour: int | None, *, wanted: bool) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if wanted and colour else text


def name_colour(name: str) -> int:
    """Always the same for a name, on every machine."""
    return _PALETTE[zlib.crc32(name.encode()) % len(_PALETTE)]


def state_colour(state: str) -> int | None:
    return _STATE_COLOURS.get(state)


def print_json(value: Any) -> None:
    """Views as they are: an array for a listing."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(text.decode() + "\n")


def print_json_line(value: Any) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    colour = headers.index("STATE") if "STATE" in headers and colours_wanted(sys.stdout) else None
    sys.stdout.write(table(headers, rows, colour=colour))


def print_listing(
    views: Sequence[Any], headers: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool, quiet: bool
) -> None:
    """The views as JSON, only their names, which are the first column, or the whole table."""
    if as_json:
        print_json(views)
    elif quiet:
        for row in rows:
            print(row[0])
    else:
        print_table(headers, rows)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, colour: int | None = None) -> str:
    """Columns three spaces apart, as docker prints them. `colour` is the column painted by its state."""
    lines = [list(headers), *([cell or "" for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    text = ""
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        if colour is not None and number:
            words = line[colour].split(" ", 1)
            cells[colour] = painted(cells[colour], state_colour(words[0].lower()), wanted=True)
        text += "   ".join(cells).rstrip() + "\n"
    return text


_AGES = ((86400 * 2, 86400, "days"), (3600 * 2, 3600, "hours"), (120, 60, "minutes"))


def age(seconds: float) -> str:
    """`45 seconds`, `3 minutes`, `26 hours`, `9 days`."""
    for least, unit, name in _AGES:
        if seconds >= least:
            return f"{int(seconds // unit)} {name}"
    whole = max(0, int(seconds))
    return "1 second" if whole == 1 else f"{whole} seconds"


def since(at_s: float, now: float) -> str:
    return f"{age(now - at_s)} ago" if at_s else ""


_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """`512 B`, `1.5 GiB`."""
    number = 0
    while count >= 1024 and number < len(_SIZES) - 1:
        count /= 1024
        number += 1
    shown = f"{count:.0f}" if number == 0 or count >= 100 else f"{count:.1f}".removesuffix(".0")
    return f"{shown} {_SIZES[number]}"


def clock_text(at_s: float) -> str:
    """Local time to the millisecond, as `events` and the progress lines show it."""
    return time.strftime("%H:%M:%S", time.localtime(at_s)) + f".{int(at_s * 1000) % 1000:03d}"
