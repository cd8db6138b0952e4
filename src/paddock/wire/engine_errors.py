"""What goes wrong with an engine: no answer, or an answer that says no."""

from __future__ import annotations

import msgspec

from paddock.model.errors import Refused, Transient


class EngineUnreachable(Transient):
    """No answer, or the connection broke: nothing is known about whether the call took effect."""

    code = "engine_unreachable"


class EngineError(Refused):
    """The engine answered no. `status` is its HTTP status, `message` its own words."""

    code = "engine"

    def __init__(self, status: int, message: str, call: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.call = call


class EngineBadRequest(EngineError):
    pass


class EngineNotFound(EngineError):
    pass


class EngineConflict(EngineError):
    pass


class EngineFault(EngineError):
    """500 and above: the engine tried and failed."""


def error_of(status: int, body: bytes, call: str) -> EngineError:
    try:
        message = msgspec.json.decode(body)["message"]
    except (msgspec.DecodeError, KeyError, TypeError):
        message = body.decode("utf-8", "replace").strip()[:500] or f"HTTP status {status}"
    classes: dict[int, type[EngineError]] = {400: EngineBadRequest, 404: EngineNotFound, 409: EngineConflict}
    cls = classes.get(status, EngineFault if status >= 500 else EngineError)
    return cls(status, str(message), call)
