"""Refusals in the words and with the statuses that Docker's clients know."""

from __future__ import annotations

from paddock.model.errors import Forbidden, PaddockError, Transient, UserError
from paddock.wire.engine_errors import EngineError


class ApiProblem(PaddockError):
    """Answered as `{"message": …}` with `status`."""

    code = "docker_api"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BadMessage(ApiProblem):
    """The bytes are not HTTP as we speak it: answered once, then the connection is closed."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(status, message)


def no_such(kind: str, name: str) -> ApiProblem:
    """`kind`: "container", "image"; networks and volumes have words of their own in the engine."""
    match kind:
        case "network":
            return ApiProblem(404, f"network {name} not found")
        case "volume":
            return ApiProblem(404, f"get {name}: no such volume")
    return ApiProblem(404, f"No such {kind}: {name}")


def status_and_words(error: PaddockError) -> tuple[int, str]:
    match error:
        case ApiProblem() | EngineError():
            return error.status, error.message
        case Forbidden():
            return 403, str(error)
        case UserError():
            return (400 if error.status == 422 else error.status), str(error)
        case Transient():
            return 503, str(error)
    return 500, str(error)
