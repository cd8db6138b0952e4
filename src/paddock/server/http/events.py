"""The events of an environment: every commit that touches it, in order, from any version still kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from litestar import get
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from paddock.model.errors import TooOld
from paddock.model.objects import Environment
from paddock.server.event_views import events_of
from paddock.server.http.answers import NDJSON, lines
from paddock.server.http.api import Api, TheApi, TheEnvironment
from paddock.wire.api import EventView

QUIET_S = 15.0
RECENT_COMMITS = 1000


@get("/v1/environments/{environment_name:str}/events", tags=["events"], media_type=NDJSON)
async def stream_events(
    api: TheApi,
    environment: TheEnvironment,
    since: Annotated[int | None, QueryParameter(ge=0, description="Only what came after this version.")] = None,
    follow: FromQuery[bool] = False,
) -> Stream:
    """One EventView per line. `since` that is no longer kept: 410 with code `too_old`."""
    start = await _start(api, since, follow=follow)
    return Stream(lines(_events(api, environment, start, follow=follow)), media_type=NDJSON)


async def _start(api: Api, since: int | None, *, follow: bool) -> int:
    """Raises `TooOld` while there still is a status to say it with."""
    newest = api.snapshot.version
    if since is not None:
        await api.store.history(since, 1)
        return since
    if follow:
        return newest
    recent = max(0, newest - RECENT_COMMITS)
    try:
        await api.store.history(recent, 1)
    except TooOld:
        return newest
    return recent


async def _events(api: Api, environment: Environment, since: int, *, follow: bool) -> AsyncIterator[EventView | None]:
    if not follow:
        until = api.snapshot.version
        while since < until:
            kept = await api.store.history(since, 256)
            if not kept:
                return
            for one in kept:
                since = one.version
                for event in events_of(one, environment.id):
                    yield event
        return
    commits = api.store.watch(since)
    while True:
        try:
            async with asyncio.timeout(QUIET_S):
                commit = await anext(commits, None)
        except TimeoutError:
            yield None
            commits = api.store.watch(since)
            continue
        if commit is None:
            return
        since = commit.version
        for event in events_of(commit, environment.id):
            yield event


ROUTES = [stream_events]
