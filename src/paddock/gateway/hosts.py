"""The environment's hosts as the gateway asks them: which can be asked, all at once, with a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from paddock.gateway.cluster import Cluster
from paddock.gateway.problems import ApiProblem
from paddock.model.errors import PaddockError, Transient
from paddock.model.objects import Host, HostId

ASK_TIMEOUT_S = 10.0
PING_TIMEOUT_S = 3.0
AT_ONCE = 64
OLDEST_API = (1, 24)
FALLBACK_API = (1, 41)
NEWEST_API = (1, 47)
"""What this gateway has been tried with; newer clients speak it too."""
T = TypeVar("T")
Api = tuple[int, int]


class Hosts:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def all(self, environment: str) -> list[Host]:
        """By name."""
        found = self._cluster.snapshot().in_environment(Host, environment)
        return sorted(found, key=lambda host: host.name)

    def reachable(self, environment: str) -> list[Host]:
        return [host for host in self.all(environment) if self._cluster.connected(HostId(host.id))]

    def any(self, environment: str) -> Host:
        """One that can be asked what all would answer alike."""
        found = self.reachable(environment)
        if not found:
            raise ApiProblem(503, "no host of this environment is connected: see `paddock hosts`")
        return found[0]

    def newest_api(self, environment: str) -> Api:
        """What all engines speak that can be asked."""
        spoken = [api_of(host.facts.api_version) for host in self.reachable(environment)]
        return min([NEWEST_API, *(api for api in spoken if api is not None)]) if spoken else FALLBACK_API

    async def ask_each(
        self, hosts: Iterable[Host], ask: Callable[[Host], Awaitable[T]], timeout_s: float = ASK_TIMEOUT_S
    ) -> list[tuple[Host, T | PaddockError]]:
        """In the order of `hosts`. A host that does not answer in time has its error in place of the answer."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(host: Host) -> tuple[Host, T | PaddockError]:
            try:
                async with gate, asyncio.timeout(timeout_s):
                    if timeout_s > ASK_TIMEOUT_S:
                        await self._answers(host)
                    return host, await ask(host)
            except TimeoutError:
                return host, Transient(f"host {host.name} did not answer within {timeout_s:.0f} s")
            except PaddockError as error:
                return host, error

        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(one(host)) for host in hosts]
        return [task.result() for task in asked]

    async def _answers(self, host: Host) -> None:
        """What may take its time is not asked of an engine that does not say a word. Raises `Transient`."""
        await self._cluster.engine(HostId(host.id)).call("GET", "/_ping", timeout_s=PING_TIMEOUT_S)


def answered(found: Iterable[tuple[Host, T | PaddockError]]) -> list[tuple[Host, T]]:
    return [(host, answer) for host, answer in found if not isinstance(answer, PaddockError)]


def api_of(text: str) -> Api | None:
    major, _, minor = text.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() and len(text) < 12 else None


def api_text(api: Api) -> str:
    return f"{api[0]}.{api[1]}"
