"""Our own terminal, given over to a command elsewhere and taken back whatever happens."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any

READ_BYTES = 65536


class Terminal:
    """While entered, every key goes to the command: Ctrl-C too. Does nothing without `raw`."""

    def __init__(self, descriptor: int, *, raw: bool) -> None:
        self._descriptor = descriptor
        self._raw = raw
        self._before: list[Any] = []

    def __enter__(self) -> None:
        if self._raw:
            self._before = termios.tcgetattr(self._descriptor)
            tty.setraw(self._descriptor)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._raw:
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)


async def pieces(descriptor: int) -> AsyncIterator[bytes]:
    """What can be read, as it comes, until its end. Never blocks the loop, and leaves no thread behind."""
    loop = asyncio.get_running_loop()
    while True:
        ready = asyncio.Event()
        try:
            loop.add_reader(descriptor, ready.set)
        except PermissionError:
            # A regular file: the kernel cannot be asked, because it can always be read.
            await asyncio.sleep(0)
        else:
            try:
                await ready.wait()
            finally:
                loop.remove_reader(descriptor)
        data = os.read(descriptor, READ_BYTES)
        if not data:
            return
        yield data
