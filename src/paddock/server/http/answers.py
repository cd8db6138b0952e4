"""Errors as answers: one shape, stable codes, the status of the error's class, nothing of our insides."""

from __future__ import annotations

import http
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from paddock.model.errors import Broken, Full, Invalid, PaddockError, Problem, Refused, Transient, UserError
from paddock.wire.api import ErrorAnswer
from paddock.wire.engine_errors import EngineError
from paddock.world.world import World

NDJSON = "application/x-ndjson"
AnyRequest = Request[Any, Any, Any]
_CODES = {
    400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    413: "too_large", 415: "unsupported_media_type", 422: "invalid", 429: "too_many", 500: "internal", 503: "transient",
}  # fmt: skip


def status_of(error: PaddockError) -> int:
    match error:
        case UserError():
            return error.status
        case EngineError() if 400 <= error.status < 500:
            return error.status
        case EngineError():
            return 502
        case Refused():
            return 409
        case Transient():
            return 503
        case _:
            return 500


def answer_of(error: PaddockError) -> ErrorAnswer:
    """`Broken` is for the operator's log; callers learn only that it is."""
    if isinstance(error, Full):
        hint = "make room there and ask again: it comes back by itself where systemd runs it"
        return ErrorAnswer(code=error.code, message="the server's disk is full: this was not written", hint=hint)
    if isinstance(error, Broken):
        return ErrorAnswer(code=error.code, message="the server's own data is damaged; its log says how to restore it")
    problems = error.problems if isinstance(error, Invalid) else ()
    return ErrorAnswer(code=error.code, message=error.message, hint=error.hint, problems=problems)


def error_response(status: int, answer: ErrorAnswer, headers: Mapping[str, str] | None = None) -> Response[ErrorAnswer]:
    return Response(answer, status_code=status, headers=dict(headers or {}), media_type="application/json")


def exception_handlers(world: World) -> ExceptionHandlersMap:
    def on_paddock_error(_: AnyRequest, error: PaddockError) -> Response[ErrorAnswer]:
        headers: dict[str, str] = {}
        if isinstance(error, Transient):
            headers["Retry-After"] = str(max(1, round(error.retry_after_s or 1.0)))
        if isinstance(error, Broken):
            world.log.error("broken", reason=str(error))
        return error_response(status_of(error), answer_of(error), headers)

    def on_http_exception(_: AnyRequest, error: HTTPException) -> Response[ErrorAnswer]:
        status = error.status_code
        code = _CODES.get(status, "invalid_request" if status < 500 else "internal")
        problems = _problems(error) if isinstance(error, ValidationException) else ()
        message = error.detail if status < 500 else "something went wrong in the server; its log says what"
        if status >= 500:
            world.log.error("request failed", reason=error.detail)
        answer = ErrorAnswer(code=code, message=message or http.HTTPStatus(status).phrase, problems=problems)
        return error_response(status, answer, error.headers)

    def on_anything(request: AnyRequest, error: Exception) -> Response[ErrorAnswer]:
        world.log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
        message = "something went wrong in the server; its log says what"
        return error_response(500, ErrorAnswer(code="internal", message=message))

    return {PaddockError: on_paddock_error, HTTPException: on_http_exception, Exception: on_anything}


def _problems(error: ValidationException) -> tuple[Problem, ...]:
    found = error.extra if isinstance(error.extra, list) else []
    return tuple(
        Problem(message=str(one.get("message", "")), field=str(one.get("key", "")))
        for one in found
        if isinstance(one, dict)
    )


async def lines(things: AsyncIterator[msgspec.Struct | None]) -> AsyncIterator[bytes]:
    """NDJSON. None is an empty line, which keeps a quiet connection alive. What goes wrong after the first byte can no
    longer be a status: the last line is then an `ErrorAnswer`.
    """
    try:
        async for thing in things:
            yield b"\n" if thing is None else msgspec.json.encode(thing) + b"\n"
    except PaddockError as error:
        yield msgspec.json.encode(answer_of(error)) + b"\n"
