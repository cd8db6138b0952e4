"""What `.dockerignore` leaves out of a context, as github.com/moby/patternmatcher reads it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import NamedTuple

Matches = tuple[bool, ...]
"""Which patterns fit a path or a directory above it."""


class _Pattern(NamedTuple):
    regex: re.Pattern[str]
    text: str
    keeps: bool
    """It began with `!`."""


class Ignore:
    """`decide` for each path from the top downwards, with what it said of the directory around it."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `ValueError` for a pattern that is none."""
        self._patterns = [_pattern(text) for text in patterns]
        self.nothing: Matches = (False,) * len(self._patterns)

    def decide(self, path: str, above: Matches) -> tuple[bool, Matches]:
        """Whether `path`, relative to the context, is left out; and what is to be given for what is below it."""
        fits = tuple(over or bool(one.regex.fullmatch(path)) for one, over in zip(self._patterns, above, strict=True))
        out = False
        for one, fit in zip(self._patterns, fits, strict=True):
            if fit:
                out = not one.keeps
        return out, fits

    def may_keep_below(self, directory: str) -> bool:
        """Something under a directory that is left out may be wanted all the same."""
        below = directory + "/"
        return any(
            one.keeps and ((one.text + "/").startswith(below) or any(letter in one.text for letter in "*?["))
            for one in self._patterns
        )


def patterns_of(text: str) -> list[str]:
    """A file's lines, cleaned: no comments, no leading slash, no `./` and `..`."""
    found = []
    for line in text.removeprefix("\ufeff").splitlines():
        line = line if line.startswith("#") else line.strip()
        if not line or line.startswith("#"):
            continue
        keeps = line.startswith("!")
        line = line[1:].strip() if keeps else line
        if not line:
            found.append("!")
            continue
        cleaned = posixpath.normpath(line)
        cleaned = cleaned.lstrip("/") or cleaned
        found.append(f"!{cleaned}" if keeps else cleaned)
    return found


def _pattern(text: str) -> _Pattern:
    keeps = text.startswith("!")
    text = text[1:] if keeps else text
    if not text:
        raise ValueError("illegal exclusion pattern: '!'")
    try:
        return _Pattern(re.compile(_regex(text), re.DOTALL), text, keeps)
    except re.error as error:
        raise ValueError(f"{text!r} is not a pattern: {error}") from None


def _regex(text: str) -> str:
    """`**` goes over directories, `*` and `?` do not."""
    found, at = "", 0
    while at < len(text):
        letter = text[at]
        at += 1
        if letter == "*" and text[at : at + 1] == "*":
            at += 1
            at += text[at : at + 1] == "/"
            found += ".*" if at == len(text) else "(?:.*/)?"
        elif letter == "*":
            found += "[^/]*"
        elif letter == "?":
            found += "[^/]"
        elif letter == "\\" and at < len(text):
            found += re.escape(text[at])
            at += 1
        else:
            found += f"\\{letter}" if letter in ".+()|{}$" else letter
    return found
