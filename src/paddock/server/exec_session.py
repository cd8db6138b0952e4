"""A command run in a container, with its terminal carried over a WebSocket (`wire.api.ExecStart`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from paddock.core.powers import check_powers
from paddock.model.errors import PaddockError, UserError
from paddock.wire.api import ExecControl, ExecEnd, ExecStart
from paddock.wire.channel import ChannelClosed
from paddock.wire.engine_http import EngineHttp, Hijacked
from paddock.wire.multiplexed import STDERR, STDOUT, Demultiplexer

START_TIMEOUT_S = 30.0
MOST_ROWS = 10_000

Receive = Callable[[], Awaitable[bytes | str | None]]
"""The client's next message; None when it has gone."""
Send = Callable[[bytes | str], Awaitable[None]]
"""Raises `ChannelClosed` when the client has gone."""

_start_decoder = msgspec.json.Decoder(ExecStart)
_control_decoder = msgspec.json.Decoder(ExecControl)


class ExecSession:
    """`run` returns when the command has ended or the client has gone; the last message said is an `ExecEnd`."""

    def __init__(self, engine: EngineHttp, container: str, receive: Receive, send: Send, *, privileged: bool) -> None:
        """`privileged`: whether the command may be, when the client asks for it."""
        self._engine = engine
        self._privileged = privileged
        self._container = container
        self._receive = receive
        self._send = send
        self._id = ""
        self.gone = False
        self._trouble: PaddockError | None = None

    async def run(self) -> None:
        try:
            start = await self._first_message()
            if start is None:
                return
            stream = await self._begin(start)
            try:
                await self._carry(stream, start)
            finally:
                await stream.close()
            if self.gone:
                return
            if self._trouble is not None:
                raise self._trouble
            end = ExecEnd(exit_code=await self._exit_code())
        except PaddockError as error:
            end = ExecEnd(exit_code=-1, error=str(error))
        try:
            await self._send(msgspec.json.encode(end).decode())
        except ChannelClosed:
            self.gone = True

    async def _first_message(self) -> ExecStart | None:
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                message = await self._receive()
        except TimeoutError:
            raise UserError(f"no ExecStart within {START_TIMEOUT_S:.0f} s") from None
        if message is None:
            return None
        if not isinstance(message, str):
            raise UserError("the first message must be text: an ExecStart")
        try:
            start = _start_decoder.decode(message)
        except msgspec.DecodeError as error:
            raise UserError(f"the first message is not an ExecStart: {error}") from error
        if not start.command:
            raise UserError("command must not be empty")
        check_powers(["--privileged"] if start.privileged else [], privileged=self._privileged)
        return start

    async def _begin(self, start: ExecStart) -> Hijacked:
        created = await self._engine.json(
            "POST",
            f"/containers/{self._container}/exec",
            body={
                "AttachStdin": start.stdin,
                "AttachStdout": True,
                "AttachStderr": True,
                "Tty": start.tty,
                "Cmd": list(start.command),
                "User": start.user,
                "WorkingDir": start.workdir,
                "Env": list(start.environment),
                "Privileged": start.privileged,
            },
        )
        self._id = str(created["Id"])
        body: dict[str, Any] = {"Detach": False, "Tty": start.tty}
        stream = await self._engine.upgrade("POST", f"/exec/{self._id}/start", body=body)
        if start.tty and start.rows and start.columns:
            await self._resize(start.rows, start.columns)
        return stream

    async def _carry(self, stream: Hijacked, start: ExecStart) -> None:
        async with asyncio.TaskGroup() as tasks:
            incoming = tasks.create_task(self._take_input(stream, start))
            outgoing = tasks.create_task(self._give_output(stream, start))
            incoming.add_done_callback(lambda _: outgoing.cancel() if self.gone else None)
            await asyncio.wait([outgoing])
            incoming.cancel()

    async def _take_input(self, stream: Hijacked, start: ExecStart) -> None:
        open_ = start.stdin
        while True:
            message = await self._receive()
            if message is None:
                self.gone = True
                return
            if isinstance(message, bytes):
                if open_:
                    open_ = await _written(stream, message)
                continue
            try:
                control = _control_decoder.decode(message)
            except msgspec.DecodeError:
                continue
            if control.eof and open_:
                stream.half_close()
                open_ = False
            if control.rows and control.columns and start.tty:
                await self._resize(control.rows, control.columns)

    async def _give_output(self, stream: Hijacked, start: ExecStart) -> None:
        try:
            await self._copy_output(stream, start)
        except ChannelClosed:
            self.gone = True
        except PaddockError as error:
            self._trouble = error

    async def _copy_output(self, stream: Hijacked, start: ExecStart) -> None:
        frames = Demultiplexer()
        async for chunk in stream.chunks():
            if start.tty:
                await self._send(b"\x01" + chunk)
                continue
            for piece in frames.feed(chunk):
                await self._send(bytes([STDERR if piece.stream == STDERR else STDOUT]) + piece.data)

    async def _resize(self, rows: int, columns: int) -> None:
        """A size that comes too early or too late is no reason to end the command."""
        if not (0 < rows <= MOST_ROWS and 0 < columns <= MOST_ROWS):
            return
        try:
            await self._engine.call("POST", f"/exec/{self._id}/resize", query={"h": rows, "w": columns})
        except PaddockError:
            return

    async def _exit_code(self) -> int:
        inspected = await self._engine.json("GET", f"/exec/{self._id}/json")
        code = inspected.get("ExitCode")
        if code is None:
            raise UserError("the connection to the container ended before the command did")
        return int(code)


async def _written(stream: Hijacked, data: bytes) -> bool:
    """False when the command does not read any more."""
    try:
        await stream.write(data)
    except PaddockError:
        return False
    return True
