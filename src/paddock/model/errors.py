"""Every error Paddock raises on purpose.

PaddockError
├── UserError            the input or request cannot be honoured: CLI exit 2, API 4xx, never a traceback
│   ├── Invalid          a file or field is wrong; carries every problem found
│   ├── NotFound         nothing has that name
│   ├── Conflict         it clashes with what is there (name taken, version moved on)
│   ├── TooOld           the history asked for is no longer kept: take a snapshot and go on from there
│   └── Forbidden        the caller may not do this
├── Refused              the other side said no and will say no again: do not retry as it is
├── Transient            worth trying again; `retry_after_s` says when, if the other side knows
└── Broken               our own data or a promise of ours does not hold: stop and say how to restore
    └── Full             the disk under our data takes no more: all is as it was, and goes on once there is room
"""

from __future__ import annotations

import msgspec


class PaddockError(Exception):
    """Root of the tree above. `code` is stable and machine-readable; it is what the API sends."""

    code = "error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UserError(PaddockError):
    code = "invalid_request"
    status = 400


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with what a user wrote. `line` counts from 1; 0 means the whole file or request."""

    message: str
    file: str = ""
    line: int = 0
    field: str = ""
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        parts = [part for part in (place, self.field) if part]
        text = ": ".join([*parts, self.message])
        return f"{text} ({self.hint})" if self.hint else text


class Invalid(UserError):
    """Carries every problem found, not only the first."""

    code = "invalid"
    status = 422

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class NotFound(UserError):
    code = "not_found"
    status = 404


class Conflict(UserError):
    code = "conflict"
    status = 409


class TooOld(UserError):
    code = "too_old"
    status = 410


class Forbidden(UserError):
    code = "forbidden"
    status = 403


class Refused(PaddockError):
    code = "refused"


class Transient(PaddockError):
    code = "transient"

    def __init__(self, message: str, *, retry_after_s: float | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Broken(PaddockError):
    code = "broken"


class Full(Broken):
    code = "disk_full"
