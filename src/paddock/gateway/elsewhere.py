"""What the cluster does in another way than Docker's swarm mode: said clearly, with what to use instead."""

from __future__ import annotations

from paddock.gateway.call import Call
from paddock.gateway.client import Answer, problem
from paddock.gateway.router import Router

INSTEAD = {
    "swarm": "join hosts with `paddock join`",
    "nodes": "see `paddock hosts`",
    "services": "run stacks with `paddock up` or `docker compose up`",
    "tasks": "see `paddock ps`",
    "secrets": "write secrets in the compose file and run `paddock up`",
    "configs": "write configs in the compose file and run `paddock up`",
}
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD")


def register(router: Router) -> None:
    for method in METHODS:
        for word in INSTEAD:
            router.add(method, f"/{word}", no_swarm)
            router.add(method, f"/{word}/{{rest:path}}", no_swarm)
        router.add(method, "/plugins", no_plugins)
        router.add(method, "/plugins/{rest:path}", no_plugins)


async def no_swarm(call: Call) -> Answer:
    word = call.path.split("/")[1]
    return problem(
        503, f"This node is not a swarm manager. Paddock schedules over its hosts by itself: {INSTEAD[word]}."
    )


async def no_plugins(call: Call) -> Answer:
    if call.head.method == "GET" and call.path == "/plugins":
        return Answer(200, [])
    if call.head.method == "GET" and call.path.endswith("/json"):
        return problem(404, f'plugin "{call.params["rest"].removesuffix("/json")}" not found')
    return problem(501, "Plugins belong to single engines: install them on each host with its own docker CLI.")
