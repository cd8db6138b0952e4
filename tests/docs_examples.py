"""Fenced blocks of the documentation.

A block's first line is its language and its marks: ```` ```console exit=1 ````. `console` is run: lines that begin with
`$ ` are commands, the rest is what they may print. Marks: `exit=CODE|any` for the block's last command, `host=NAME` for
the machine. `yaml` is a compose file: `file=NAME` keeps it for the commands that follow, `over=NAME` merges it over
that one, `refused=TEXT` says that it is refused, and in which words. Other languages are only shown.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MARKS = {"console": ("exit", "host"), "yaml": ("file", "over", "refused")}


class Block(NamedTuple):
    page: str
    line: int
    language: str
    marks: dict[str, str]
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Each with its continuation lines (a backslash at the end)."""
        found: list[str] = []
        going_on = False
        for line in self.text.splitlines():
            if going_on:
                found[-1] += f"\n{line}"
            elif line.startswith("$ "):
                found.append(line[2:])
            going_on = bool(found) and line.endswith("\\") and (going_on or line.startswith("$ "))
        return found


def blocks(page: Path) -> list[Block]:
    """Raises `AssertionError` for marks that mean nothing, so that a misspelt one is not passed over."""
    found: list[Block] = []
    begun: tuple[int, str] | None = None
    text: list[str] = []
    name = str(page.relative_to(ROOT))
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            text.append(line)
        elif begun is None:
            begun, text = (number, line[3:]), []
        else:
            found.append(_block(name, *begun, "\n".join(text) + "\n"))
            begun = None
    assert begun is None, f"{name}:{begun[0]}: this block never ends"
    return found


def _block(page: str, line: int, info: str, text: str) -> Block:
    language, *rest = shlex.split(info) or [""]
    marks = dict(word.partition("=")[::2] for word in rest)
    for mark in marks:
        assert mark in MARKS.get(language, ()), f"{page}:{line}: {mark!r} means nothing for {language!r}"
    return Block(page, line, language, marks, text)


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "guides").glob("*.md"))]
