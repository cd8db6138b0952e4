"""Calls on one container, answered by the engine of its host: inspect, top, logs, stats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from paddock.model.errors import NotFound, Transient, UserError
from paddock.model.objects import ContainerStatus, Environment, Host, HostId, Unit
from paddock.model.snapshot import Snapshot
from paddock.server.streams import Streams
from paddock.wire.api import LogLine, StatsSample, TopAnswer
from paddock.wire.engine_errors import EngineNotFound
from paddock.wire.engine_http import EngineHttp
from paddock.wire.multiplexed import STDERR, STDOUT, Piece, demultiplex

LONGEST_LINE = 256 * 1024
"""Bytes of a log line that has not ended; longer ones arrive in pieces."""


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """A container that exists on an engine. `name` is as the user knows it."""

    name: str
    id: str
    unit: Unit
    host: Host
    role: str


def locate(snapshot: Snapshot, environment: Environment, name: str) -> Located:
    """Raises `NotFound` when there is no such container, or not yet."""
    found = find_container(snapshot, environment.id, name)
    if found is None:
        raise NotFound(f"there is no container {name!r} in environment {environment.name}", hint="see `paddock ps -a`")
    unit, status = found
    host = snapshot.get(Host, unit.host) if unit.host else None
    if host is None or status is None or not status.id:
        waits = f": {unit.waiting.reason}" if unit.waiting is not None else ""
        raise NotFound(
            f"container {name} has not been created yet{waits}", hint=f"`paddock explain {name}` says what it waits for"
        )
    return Located(name=name, id=status.id, unit=unit, host=host, role=status.role)


def find_container(snapshot: Snapshot, environment: str, name: str) -> tuple[Unit, ContainerStatus | None] | None:
    """By the unit's name, a sidekick's container name, or a container id of at least 4 digits. Newest generation."""
    named = snapshot.units_named(environment, name)
    if named:
        unit = max(named, key=lambda unit: (unit.live, unit.created_at_s, unit.generation))
        primary = next((status for status in unit.containers if not status.role), None)
        return unit, primary
    for unit in sorted(snapshot.in_environment(Unit, environment), key=lambda unit: -unit.generation):
        for status in unit.containers:
            if status.name == name or (len(name) >= 4 and status.id.startswith(name)):
                return unit, status
    return None


class Containers:
    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def engine(self, located: Located) -> EngineHttp:
        return self._streams.engine(HostId(located.host.id), located.host.name)

    async def inspect(self, located: Located) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = await self.engine(located).json("GET", f"/containers/{located.id}/json")
        except EngineNotFound as error:
            raise NotFound(f"host {located.host.name} has no container {located.name} any more") from error
        return answer

    async def top(self, located: Located) -> TopAnswer:
        answer = await self.engine(located).json("GET", f"/containers/{located.id}/top")
        return TopAnswer(
            titles=tuple(answer.get("Titles") or ()),
            processes=tuple(tuple(row) for row in answer.get("Processes") or ()),
        )

    async def logs(self, located: Located, asked: LogsAsked) -> AsyncIterator[LogLine]:
        """What can be refused is refused at once. Ends with the log; with `follow`, with the container."""
        inspected = await self.inspect(located)
        tty = bool((inspected.get("Config") or {}).get("Tty"))
        return self._log_lines(located, asked, tty=tty)

    async def _log_lines(self, located: Located, asked: LogsAsked, *, tty: bool) -> AsyncIterator[LogLine]:
        query: dict[str, str | int | bool] = {
            "stdout": 1, "stderr": 1, "follow": asked.follow, "timestamps": asked.timestamps, "tail": asked.tail,
        }  # fmt: skip
        if asked.since:
            query["since"] = asked.since
        path = f"/containers/{located.id}/logs"
        async with self.engine(located).stream("GET", path, query=query) as answer:
            pieces = _as_stdout(answer.chunks()) if tty else demultiplex(answer.chunks())
            async for stream, line in _lines(pieces):
                yield _log_line(located.name, stream, line, timestamps=asked.timestamps)

    async def stats(self, located: Located, *, stream: bool) -> AsyncIterator[StatsSample]:
        query: dict[str, str | int | bool] = {"stream": stream}
        path = f"/containers/{located.id}/stats"
        async with self.engine(located).stream("GET", path, query=query) as answer:
            async for sample in answer.json_lines():
                if not isinstance(sample, dict):
                    raise Transient("the engine sent something that is not a sample")
                yield stats_sample(located.name, located.host.name, sample)


class LogsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """`tail`: "all" or a number. `since`: seconds since the epoch, as text, "" for all."""

    follow: bool = False
    tail: str = "all"
    since: str = ""
    timestamps: bool = False

    def checked(self) -> LogsAsked:
        if self.tail != "all" and not (self.tail.isdigit() and len(self.tail) < 10):
            raise UserError(f"tail must be `all` or a number, not {self.tail[:40]!r}")
        if self.since and not self.since.replace(".", "", 1).isdigit():
            raise UserError(f"since must be seconds since 1970, not {self.since[:40]!r}")
        return self


async def _as_stdout(chunks: AsyncIterator[bytes]) -> AsyncIterator[Piece]:
    async for chunk in chunks:
        yield Piece(STDOUT, chunk)


async def _lines(pieces: AsyncIterator[Piece]) -> AsyncIterator[tuple[int, bytes]]:
    """Whole lines per stream; what is left at the end is a line too."""
    pending: dict[int, bytes] = {STDOUT: b"", STDERR: b""}
    async for piece in pieces:
        *whole, rest = (pending.get(piece.stream, b"") + piece.data).split(b"\n")
        for line in whole:
            yield piece.stream, line
        if len(rest) > LONGEST_LINE:
            yield piece.stream, rest
            rest = b""
        pending[piece.stream] = rest
    for stream, rest in pending.items():
        if rest:
            yield stream, rest


def _log_line(container: str, stream: int, line: bytes, *, timestamps: bool) -> LogLine:
    text = line.removesuffix(b"\r").decode("utf-8", "replace")
    at, text = text.partition(" ")[::2] if timestamps else ("", text)
    return LogLine(container=container, stream="stderr" if stream == STDERR else "stdout", text=text, at=at)


def stats_sample(container: str, host: str, sample: dict[str, Any]) -> StatsSample:
    """The engine's sample in our words. CPU as `docker stats` computes it: the share of the time since the last one."""
    memory = sample.get("memory_stats") or {}
    networks = (sample.get("networks") or {}).values()
    blocks = (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    usage = int(memory.get("usage", 0))
    return StatsSample(
        container=container,
        host=host,
        cpu_percent=_cpu_percent(sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}),
        memory_bytes=usage - cache if cache < usage else usage,
        memory_limit_bytes=int(memory.get("limit", 0)),
        network_received_bytes=sum(int(network.get("rx_bytes", 0)) for network in networks),
        network_sent_bytes=sum(int(network.get("tx_bytes", 0)) for network in networks),
        block_read_bytes=sum(int(block["value"]) for block in blocks if str(block.get("op")).lower() == "read"),
        block_written_bytes=sum(int(block["value"]) for block in blocks if str(block.get("op")).lower() == "write"),
        pids=int((sample.get("pids_stats") or {}).get("current", 0)),
    )


def _cpu_percent(now: dict[str, Any], before: dict[str, Any]) -> float:
    def used(stats: dict[str, Any]) -> int:
        return int((stats.get("cpu_usage") or {}).get("total_usage", 0))

    used_ns = used(now) - used(before)
    passed_ns = int(now.get("system_cpu_usage", 0)) - int(before.get("system_cpu_usage", 0))
    cpus = int(now.get("online_cpus", 0)) or len((now.get("cpu_usage") or {}).get("percpu_usage") or ()) or 1
    if used_ns <= 0 or passed_ns <= 0 or not before.get("system_cpu_usage"):
        return 0.0
    return round(used_ns / passed_ns * cpus * 100.0, 2)
