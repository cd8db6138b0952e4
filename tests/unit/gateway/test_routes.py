"""Which handler answers what."""

from __future__ import annotations

import pytest

from paddock.gateway import (
    arrivals,
    building,
    connecting,
    containers,
    create,
    elsewhere,
    events,
    execs,
    images,
    listing,
    lives,
    networks,
    system,
    volumes,
)
from paddock.gateway.problems import ApiProblem
from paddock.gateway.router import Handler, Router
from paddock.gateway.routes import router

TABLE = router()


@pytest.mark.parametrize(
    ("method", "path", "handler", "params"),
    [
        ("GET", "/_ping", system.ping, {}),
        ("HEAD", "/_ping", system.ping, {}),
        ("GET", "/containers/json", listing.containers, {}),
        ("POST", "/containers/create", create.create, {}),
        ("POST", "/containers/prune", lives.prune, {}),
        ("GET", "/containers/json/json", containers.inspect, {"name": "json"}),
        ("GET", "/containers/h1/web/json", containers.inspect, {"name": "h1/web"}),
        ("POST", "/containers/web/attach", containers.hijacked, {"name": "web"}),
        ("GET", "/containers/web/attach/ws", containers.hijacked, {"name": "web"}),
        ("POST", "/containers/h1/web/start", lives.started, {"name": "h1/web"}),
        ("POST", "/containers/h1/web/stop", containers.passed_on, {"name": "h1/web"}),
        ("DELETE", "/containers/web", lives.remove, {"name": "web"}),
        ("POST", "/containers/web/exec", execs.create, {"name": "web"}),
        ("POST", "/exec/abc/start", execs.start, {"id": "abc"}),
        ("GET", "/networks/n1", networks.inspected, {"name": "n1"}),
        ("POST", "/networks/create", networks.create, {}),
        ("POST", "/networks/create/connect", connecting.connected, {"name": "create"}),
        ("DELETE", "/volumes/data", volumes.remove, {"name": "data"}),
        ("GET", "/images/json", images.listed, {}),
        ("GET", "/images/get", images.saved_together, {}),
        ("GET", "/images/reg.local:5000/a/b:1/json", images.passed_on, {"name": "reg.local:5000/a/b:1"}),
        ("GET", "/images/json/json", images.passed_on, {"name": "json"}),
        ("POST", "/images/reg.local:5000/a/b/push", images.push, {"name": "reg.local:5000/a/b"}),
        ("POST", "/images/push/tag", images.tag, {"name": "push"}),
        ("POST", "/images/create", arrivals.create, {}),
        ("POST", "/images/prune", images.prune, {}),
        ("DELETE", "/images/a@sha256:12", images.remove, {"name": "a@sha256:12"}),
        ("GET", "/distribution/a/b:1/json", images.distribution, {"name": "a/b:1"}),
        ("POST", "/build", building.build, {}),
        ("POST", "/grpc", building.buildkit, {}),
        ("GET", "/events", events.events, {}),
        ("GET", "/services", elsewhere.no_swarm, {}),
        ("POST", "/swarm/init", elsewhere.no_swarm, {"rest": "init"}),
    ],
)
def test_a_handler(method: str, path: str, handler: Handler, params: dict[str, str]) -> None:
    assert TABLE.find(method, path) == (handler, params)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("PUT", "/info"), ("GET", "/containers"), ("GET", "")]
)
def test_no_handler(method: str, path: str) -> None:
    with pytest.raises(ApiProblem, match="page not found") as refusal:
        TABLE.find(method, path)
    assert refusal.value.status == 404


def test_what_is_special_in_a_pattern_is_not_in_a_path() -> None:
    table = Router()
    table.add("GET", "/a.b/{name}", system.ping)
    assert table.find("GET", "/a.b/x")[1] == {"name": "x"}
    with pytest.raises(ApiProblem):
        table.find("GET", "/aXb/x")
