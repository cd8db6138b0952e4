"""Collects every problem found in a set of compose files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from paddock.model.errors import Invalid, Problem

from .tree import Mark, Path, Value, dotted, locate

PROBLEM_LIMIT = 100


class Report:
    """What is wrong and what is odd so far. `file` is what is being read now, for problems without a place."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def add(
        self, message: str, *, path: Path = (), root: Value = None, mark: Mark | None = None, hint: str = ""
    ) -> None:
        """One more problem, at most `PROBLEM_LIMIT`; the same field and message is told once."""
        place = mark or locate(root, path) or Mark(self.file, 0)
        field = dotted(path)
        if len(self.problems) >= PROBLEM_LIMIT:
            return
        if any(known.field == field and known.message == message for known in self.problems):
            return
        self.problems.append(Problem(message=message, file=place.file, line=place.line, field=field, hint=hint))

    def warn(self, message: str) -> None:
        if message not in self.warnings and len(self.warnings) < PROBLEM_LIMIT:
            self.warnings.append(message)

    def stop(self) -> None:
        """Raise `Invalid` with everything found, if anything was."""
        if self.problems:
            raise Invalid(tuple(self.problems))


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest valid word, or nothing."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
