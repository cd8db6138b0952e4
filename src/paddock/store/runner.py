"""Where blocking work on the disk runs: on a thread of its own, or inline where the loop's time is not real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol, TypeVar

from paddock.model.errors import PaddockError

T = TypeVar("T")
Writer = Literal["thread", "inline"]


class Runner(Protocol):
    """One piece of work at a time, in the order given."""

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]: ...

    def stop(self) -> None: ...


class ThreadRunner:
    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return self._loop.run_in_executor(self._executor, work)

    def stop(self) -> None:
        self._executor.shutdown(wait=False)


class InlineRunner:
    """For the simulator: works on the loop's next turn, so a virtual clock does not move meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        self._loop.call_soon(self._work, work, future)
        return future

    def _work(self, work: Callable[[], T], future: asyncio.Future[T]) -> None:
        try:
            result = work()
            if not future.done():
                future.set_result(result)
        except PaddockError as error:
            if not future.done():
                future.set_exception(error)
        finally:
            future.cancel()

    def stop(self) -> None:
        pass


def runner(kind: Writer, name: str) -> Runner:
    return ThreadRunner(name) if kind == "thread" else InlineRunner()
