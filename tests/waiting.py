"""Waiting in tests: on a condition, with a deadline, never for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
PAUSE_S = 0.02


def until(condition: Callable[[], T], what: str, within_s: float = 10.0) -> T:
    """The condition's first true answer. Fails with `what` when the deadline passes."""
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} (last answer: {answer!r})")
        time.sleep(PAUSE_S)


@overload
async def until_async(condition: Callable[[], Awaitable[T]], what: str, within_s: float = 10.0) -> T: ...
@overload
async def until_async(condition: Callable[[], T], what: str, within_s: float = 10.0) -> T: ...
async def until_async(condition: Callable[[], Any], what: str, within_s: float = 10.0) -> Any:
    """As `until`, in a running loop; the condition may be a coroutine function."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        answer = condition()
        if isinstance(answer, Awaitable):
            answer = await answer
        if answer:
            return answer
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} (last answer: {answer!r})")
        await asyncio.sleep(PAUSE_S)
