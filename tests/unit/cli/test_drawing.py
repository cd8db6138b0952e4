"""Progress: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from paddock.cli.drawing import Lines, Live, drawing
from paddock.cli.verdict import Progress

ROWS = (
    Progress("shop/api", wanted=3, running=1, ready=0, state="converging", waits_for="preparing"),
    Progress("shop/db", wanted=1, running=1, ready=1, state="running", done=True),
    Progress("shop/web", wanted=1, running=0, ready=0, state="failed", failed="no such image: web"),
)

TABLE = """\
   SERVICE   WANTED  RUNNING  READY
…  shop/api       3        1      0  preparing
✓  shop/db        1        1      1
✗  shop/web       1        0      0  no such image: web
"""


class Kept:
    """What a `rich.live.Live` would draw."""

    def update(self, table: object) -> None:
        self.table = table


def test_table() -> None:
    kept = Kept()
    Live(kept).rows(ROWS)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(kept.table)
    assert isinstance(console.file, io.StringIO)
    shown = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"
    assert shown.strip("\n") == TABLE.strip("\n")


def test_lines_say_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.rows(ROWS)
    lines.rows(ROWS)
    lines.rows(ROWS[:1])
    assert capsys.readouterr().err.splitlines() == [
        "shop/api: 1/3 running, 0 ready (preparing)",
        "shop/db: 1/1 running",
        "shop/web: 0/1 running (no such image: web)",
    ]


def test_no_terminal_means_lines() -> None:
    with drawing() as shown:
        assert isinstance(shown, Lines)
