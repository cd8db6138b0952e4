"""Progress on a terminal as a live table, elsewhere as plain lines; both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from paddock.cli.output import colours_wanted, say
from paddock.cli.verdict import Progress
from paddock.wire.api import EventView

REFRESH_PER_S = 8
_MARKS = {True: "✓", False: "…"}


class Drawing(Protocol):
    def rows(self, rows: Sequence[Progress]) -> None: ...

    def event(self, event: EventView) -> None: ...


class Lines:
    """One line for each service whose state changed. Readable in a log file."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def rows(self, rows: Sequence[Progress]) -> None:
        for row in rows:
            text = line(row)
            if self._last.get(row.service) != text:
                self._last[row.service] = text
                say(text)

    def event(self, event: EventView) -> None:
        del event


def line(row: Progress) -> str:
    count = f"{row.running}/{row.wanted} running"
    healthy = f", {row.ready} ready" if row.ready != row.running else ""
    why = row.failed or row.waits_for
    return f"{row.service}: {count}{healthy}" + (f" ({why})" if why else "")


class Live:
    """The table is redrawn in place; `last` is the newest reason that the cluster gave."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._rows: Sequence[Progress] = ()
        self._last = ""

    def rows(self, rows: Sequence[Progress]) -> None:
        self._rows = rows
        self._live.update(self._table())

    def event(self, event: EventView) -> None:
        self._last = event.reason
        self._live.update(self._table())

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, show_header=True, header_style="bold", caption=Text(self._last, "dim"))
        table.caption_justify = "left"
        for header in ("", "SERVICE", "WANTED", "RUNNING", "READY", ""):
            table.add_column(header, justify="right" if header in ("WANTED", "RUNNING", "READY") else "left")
        for row in self._rows:
            style = "red" if row.failed else "green" if row.done else "yellow"
            mark = "✗" if row.failed else _MARKS[row.done]
            counts = (str(row.wanted), str(row.running), str(row.ready))
            table.add_row(Text(mark, style), row.service, *counts, Text(row.failed or row.waits_for, style))
        return table


@contextmanager
def drawing() -> Iterator[Drawing]:
    if not sys.stderr.isatty() or not colours_wanted(sys.stderr):
        yield Lines()
        return
    from rich.console import Console
    from rich.live import Live as RichLive

    with RichLive(console=Console(stderr=True), refresh_per_second=REFRESH_PER_S) as live:
        yield Live(live)
