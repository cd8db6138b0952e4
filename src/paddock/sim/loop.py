"""An asyncio loop whose clock jumps: when nothing is ready, time moves to the next timer instead of passing.

Nothing in it may wait for the outside; a loop with no timer and nothing ready can never go on, and says so.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


TURN_S = 1e-6
"""What one turn of the loop takes at least. Without it, a wait too short for a float's digits would never end."""


class Deadlock(Exception):
    """Every task waits for another one. What they wait for is in their stacks."""


class _JumpingSelector(selectors.BaseSelector):
    """Has no files to watch but the loop's own wake-up socket; `select` moves the clock by its timeout."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is ready and no timer is set")
        self.now_s += max(TURN_S, timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class NumberedTask(asyncio.Task[Any]):
    """Task groups keep their tasks in a set; numbered ones are cancelled in the same order in every run."""

    _numbers = itertools.count(1)

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(NumberedTask._numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


def _numbered(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any) -> asyncio.Task[T]:
    return NumberedTask(coroutine, loop=loop, **options)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        NumberedTask._numbers = itertools.count(1)
        self.set_task_factory(_numbered)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._jumping.now_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` to its end in virtual time. Tasks left over are cancelled, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
