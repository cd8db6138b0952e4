"""What breaks clients when a proxy gets it wrong, byte by byte against three hosts."""

from __future__ import annotations

import contextlib
import resource
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cluster_lab import Lab
from docker_client import Docker, Raw, missing
from waiting import until

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def cluster(lab: Lab) -> Lab:
    return lab


def answer(path: Path, method: str, target: str, body: object = None) -> tuple[int, Any]:
    with Raw(path) as raw:
        raw.request(method, target, body, headers="Connection: close\n")
        return raw.answer()


UPGRADE = "Connection: Upgrade\nUpgrade: tcp\n"


def test_the_head_of_wait_comes_at_once(docker: Docker, path: Path) -> None:
    docker.done("create", "--name", "later", "busybox", "sh", "-c", "exit 7")
    with Raw(path) as raw:
        raw.request("POST", "/v1.41/containers/later/wait?condition=next-exit")
        status, headers = raw.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        docker.done("start", "later")
        raw.until(b'"StatusCode":7')


def test_half_close_goes_through(docker: Docker, path: Path) -> None:
    docker.done("create", "-i", "--name", "counts", "busybox", "wc", "-c")
    with Raw(path) as raw:
        raw.request("POST", "/containers/counts/attach?stream=1&stdin=1&stdout=1", headers=UPGRADE)
        assert raw.head()[0] == 101
        docker.done("start", "counts")
        raw.send(b"12345")
        raw.half_close()
        assert raw.rest()[8:].strip() == b"5"


def test_the_head_of_an_upgrade_is_a_segment_of_its_own(docker: Docker, path: Path) -> None:
    docker.done("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
    for _ in range(10):
        made = answer(path, "POST", "/containers/busy/exec", {"Cmd": ["echo", "at once"], "AttachStdout": True})
        with Raw(path) as raw:
            raw.request("POST", f"/exec/{made[1]['Id']}/start", {"Detach": False, "Tty": False}, headers=UPGRADE)
            assert raw.some().endswith(b"\r\n\r\n")
            assert raw.rest()[8:] == b"at once\n"


def test_the_old_style_without_upgrade(docker: Docker, path: Path) -> None:
    docker.done("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
    _, made = answer(path, "POST", "/containers/busy/exec", {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True})
    with Raw(path) as raw:
        raw.request("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False})
        assert raw.head()[0] == 200
        raw.send(b"hello")
        raw.half_close()
        assert raw.rest()[8:] == b"hello"


def test_requests_follow_one_another_on_a_connection(docker: Docker, path: Path) -> None:
    with Raw(path) as raw:
        raw.send(
            "GET /_ping HTTP/1.1\nHost: x\n\nGET /v1.41/containers/none/json HTTP/1.1\nHost:\n\nGET /_ping HTTP/1.1\n\n"
        )
        assert raw.answer() == (200, b"OK")
        assert raw.answer() == (404, {"message": "No such container: none"})
        assert raw.answer() == (200, b"OK")


def test_a_connection_stays_after_what_an_engine_answered(docker: Docker, path: Path) -> None:
    docker.done("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
    with Raw(path) as raw:
        for _ in range(3):
            raw.request("GET", "/containers/busy/top")
            assert raw.answer()[0] == 200


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/v1.99/info", None, 400),
        ("GET", "/v1.10/info", None, 400),
        ("GET", "/nowhere", None, 404),
        ("GET", "/containers/none/json", None, 404),
        ("POST", "/containers/none/start", None, 404),
        ("DELETE", "/containers/none", None, 404),
        ("GET", "/networks/nosuch", None, 404),
        ("GET", "/volumes/none", None, 404),
        ("GET", "/exec/none/json", None, 404),
        ("GET", "/nodes", None, 503),
        ("POST", "/plugins/pull", None, 501),
        ("GET", "/containers/json?filters=x", None, 400),
        ("GET", "/containers/json?filters=%7B%22nosuch%22:%5B%22a%22%5D%7D", None, 400),
        ("POST", "/containers/create", {}, 400),
        ("POST", "/containers/create?name=-", {"Image": "busybox"}, 400),
        ("POST", "/containers/create", {"Image": "nosuchimage"}, 404),
        ("POST", "/containers/create", {"Image": "busybox", "Env": 3}, 400),
        ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"NetworkMode": "none-such"}}, 400),
        ("POST", "/networks/create", {"Name": "host"}, 403),
    ],
)
def test_statuses(cluster: Lab, path: Path, method: str, target: str, body: object, status: int) -> None:
    found, told = answer(path, method, target, body)
    assert found == status, told
    assert isinstance(told["message"], str)


def test_states_that_are_so_already(docker: Docker, path: Path) -> None:
    docker.done("create", "--name", "twice", "busybox", "sleep", "1000")
    assert [answer(path, "POST", "/containers/twice/start")[0] for _ in range(2)] == [204, 304]
    assert [answer(path, "POST", "/containers/twice/stop?t=0")[0] for _ in range(2)] == [204, 304]


def test_create_wants_json(cluster: Lab, path: Path) -> None:
    with Raw(path) as raw:
        raw.send("POST /containers/create HTTP/1.1\nContent-Length: 2\n\n{}")
        assert raw.answer()[0] == 400


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\r\n\r\nX Y Z\r\n\r\n"]
)
def test_what_is_not_http_is_refused_and_over(cluster: Lab, path: Path, data: bytes) -> None:
    with Raw(path) as raw:
        raw.send(data)
        raw.half_close()
        assert raw.rest().startswith(b"HTTP/1.1 ")
    assert answer(path, "GET", "/_ping")[0] == 200


def test_filters_in_both_encodings(docker: Docker, path: Path) -> None:
    docker.done("create", "--name", "marked", "--label", "a=b", "busybox")
    for filters in ('{"label":{"a=b":true}}', '{"label":["a=b"]}'):
        quoted = "".join(f"%{ord(letter):02X}" for letter in filters)
        status, found = answer(path, "GET", f"/containers/json?all=1&limit=-1&size=0&trunc_cmd=0&filters={quoted}")
        assert (status, [one["Names"] for one in found]) == (200, [["/marked"]])


def test_a_slow_reader_costs_no_memory(cluster: Lab, docker: Docker, path: Path) -> None:
    """200 MB wait to be read; what the server holds of them is a few buffers."""
    docker.done("run", "-d", "--name", "pours", "busybox", "sleep", "1000")
    _, made = answer(path, "POST", "/containers/pours/exec", {
        "Cmd": ["dd", "if=/dev/zero", "bs=1M", "count=200"], "AttachStdout": True,
    })  # fmt: skip
    before = resident(cluster)
    with Raw(path, timeout_s=60.0) as raw:
        raw.request("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True}, headers=UPGRADE)
        assert raw.head()[0] == 101
        raw.some()
        until(lambda: settled(path, made["Id"]), "the engine has come to a standstill")
        assert resident(cluster) - before < 16 * 2**20
        assert sum(len(piece) for piece in iter(raw.some, b"")) > 199 * 2**20
    assert resident(cluster) - before < 32 * 2**20


def settled(path: Path, exec_id: str) -> bool:
    status, told = answer(path, "GET", f"/exec/{exec_id}/json")
    return status == 200 and bool(told["Running"])


def resident(cluster: Lab, host: str | None = None, label: str = "server") -> int:
    pages = Path(f"/proc/{cluster.pid(host, label)}/statm").read_text().split()[1]
    return int(pages) * 4096


def test_an_abandoned_stream_ends_at_the_engine(cluster: Lab, docker: Docker, path: Path) -> None:
    docker.done("run", "-d", "--name", "long", "busybox", "sleep", "1000")
    with Raw(path) as raw:
        raw.request("GET", "/containers/long/logs?follow=1&stdout=1")
        assert raw.head()[0] == 200
        before = descriptors(cluster)
    until(lambda: descriptors(cluster) < before, "the server let go of the stream")


def descriptors(cluster: Lab, host: str | None = None, label: str = "server") -> int:
    return len(list(Path(f"/proc/{cluster.pid(host, label)}/fd").iterdir()))


STREAMS = 1000
FEW = 150
"""With what is kept for the streams to come."""
WAITS = ["sh", "-c", "while [ ! -e /go ]; do sleep 0.2; done; echo now; sleep 1000"]


def test_a_thousand_streams_at_once(cluster: Lab, docker: Docker, path: Path) -> None:
    """Asked for in one go; while they are open others are answered, and what comes reaches all of them."""
    for host in cluster.hosts:
        docker.done("run", "-d", "--name", f"told-{host}", "-e", f"constraint:node=={host}", "busybox", *WAITS)
    with contextlib.ExitStack() as streams:
        streams.callback(resource.setrlimit, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        before = {name: resident(cluster, *name) for name in processes(cluster)}
        readers = [streams.enter_context(Raw(path, timeout_s=60.0)) for _ in range(STREAMS)]
        for at, raw in enumerate(readers):
            name = f"told-{cluster.hosts[at // 3 % 3]}"
            if at % 3 == 0:
                raw.request("GET", "/events")
            elif at % 3 == 1:
                raw.request("POST", f"/containers/{name}/attach?stream=1&stdout=1", headers=UPGRADE)
            else:
                raw.request("GET", f"/containers/{name}/logs?follow=1&stdout=1")
        assert {raw.head()[0] for raw in readers} == {101, 200}
        began = time.monotonic()
        assert docker.done("exec", f"told-{cluster.hosts[0]}", "echo", "hi") == "hi"
        assert time.monotonic() - began < 10
        for host in cluster.hosts:
            docker.done("exec", f"told-{host}", "touch", "/go")
        for at, raw in enumerate(readers):
            raw.until(b"now" if at % 3 else b"touch /go")
        grown = {name: resident(cluster, *name) - before[name] for name in before}
        assert all(size < STREAMS * 300 * 2**10 for size in grown.values()), grown
    for one in before:
        until(partial(let_go, cluster, one), f"{one} let go of the streams", 30)


def let_go(cluster: Lab, process: tuple[str | None, str]) -> bool:
    return descriptors(cluster, *process) < FEW


def processes(cluster: Lab) -> list[tuple[str | None, str]]:
    return [(None, "server"), *((host, "agent") for host in cluster.hosts)]
