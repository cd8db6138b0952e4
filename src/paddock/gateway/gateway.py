"""The gateway's parts, and the path of one request through them."""

from __future__ import annotations

import re

from paddock.gateway.call import Api, Call
from paddock.gateway.client import Answer, Client, problem
from paddock.gateway.cluster import Caller, Cluster
from paddock.gateway.feeds import Feeds
from paddock.gateway.finding import Finder
from paddock.gateway.head import RequestHead
from paddock.gateway.hosts import OLDEST_API, Hosts, api_text
from paddock.gateway.problems import ApiProblem, status_and_words
from paddock.gateway.router import Router
from paddock.gateway.routes import router
from paddock.gateway.source import Source
from paddock.model.errors import PaddockError
from paddock.model.objects import HostId

_VERSIONED = re.compile(r"/v(\d{1,4})\.(\d{1,4})(/.*)")


class Gateway:
    """Shared by all connections. Handlers find what they need here: `cluster`, `hosts`, `finder`."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.hosts = Hosts(cluster)
        self.finder = Finder(cluster, self.hosts)
        self.feeds = Feeds(cluster, self.hosts)
        self.builders: dict[str, HostId] = {}
        """Environment -> the host that builds for it."""
        self.router: Router = router()

    def headers(self, caller: Caller) -> tuple[tuple[str, str], ...]:
        """Of every answer of our own."""
        return (
            ("Api-Version", api_text(self.hosts.newest_api(caller.environment))),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", "Docker/paddock (linux)"),
        )

    async def answer(self, caller: Caller, head: RequestHead, client: Client, source: Source) -> Call:
        """Whatever goes wrong is answered, unless an answer was begun: then the connection has to end."""
        call = Call(self, caller, head, client, source)
        try:
            self._versioned(call)
            handler, call.params = self.router.find(head.method, call.path)
            answer = await handler(call)
        except PaddockError as error:
            answer = self._refused(call, error)
        if answer is not None:
            await call.body.discard()
            if not call.body.done:
                client.closing = True
            await client.answer(answer, method=head.method)
        return call

    def _refused(self, call: Call, error: PaddockError) -> Answer | None:
        status, words = status_and_words(error)
        if status >= 500:
            self.cluster.world.log.warning(
                "docker request failed", method=call.head.method, path=call.head.path, error=words
            )
        if call.client.started:
            call.client.closing = True
            return None
        return problem(status, self.hosts.by_name(call.environment, words))

    def _versioned(self, call: Call) -> None:
        newest = self.hosts.newest_api(call.environment)
        call.api = newest
        found = _VERSIONED.fullmatch(call.head.path)
        if found is None:
            return
        asked: Api = (int(found.group(1)), int(found.group(2)))
        if asked > newest:
            raise ApiProblem(
                400,
                f"client version {api_text(asked)} is too new. Maximum supported API version is {api_text(newest)}",
            )
        if asked < OLDEST_API:
            raise ApiProblem(
                400,
                f"client version {api_text(asked)} is too old. Minimum supported API version is "
                f"{api_text(OLDEST_API)}, please upgrade your client to a newer version",
            )
        call.api, call.path = asked, found.group(3)
