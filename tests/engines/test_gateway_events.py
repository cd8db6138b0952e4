"""`GET /events` as clients see it: what is asked of engines once for all says to each what engines would have said."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from cluster_lab import Lab
from docker_client import Docker, Raw, missing
from waiting import until

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]
FILTERS: list[dict[str, list[str]]] = [
    {},
    {"type": ["container"]},
    {"type": ["container"], "event": ["start", "die"]},
    {"event": ["exec_create"]},
    {"event": ["exec_create: true"]},
    {"container": ["told-1"]},
    {"container": ["told-1", "told-2"], "event": ["start"]},
    {"image": ["busybox"]},
    {"image": ["busybox:latest"], "event": ["create"]},
    {"image": ["busy"]},
    {"label": ["kind=a"]},
    {"label": ["kind", "other"]},
    {"network": ["events-net"]},
    {"scope": ["swarm"]},
    {"nosuch": ["x"], "event": ["destroy"]},
]


def lives(docker: Docker, number: int, host: str, label: str) -> None:
    name = f"told-{number}"
    docker.done("run", "-d", "--name", name, "--network", "events-net", "-l", label,
                "-e", f"constraint:node=={host}", "busybox", "sleep", "1000")  # fmt: skip
    docker.done("exec", name, "true")
    docker.done("rm", "-f", name)


def told(data: bytes, ended_s: float) -> list[tuple[int, str, str]]:
    """What each event until then is; chunks are a line each."""
    events = [json.loads(line) for line in data.split(b"\r\n") if line.startswith(b"{") and line.endswith(b"\n")]
    found = [(event["timeNano"], event["Action"], event["Actor"]["ID"]) for event in events]
    assert found == sorted(found, key=lambda one: one[0])
    return [one for one in found if one[0] <= ended_s * 1e9]


def asked(filters: dict[str, list[str]]) -> str:
    return "filters=" + quote(json.dumps(filters))


def test_each_hears_what_it_asked_for(lab: Lab, docker: Docker, path: Path) -> None:
    docker.done("network", "create", "events-net")
    began_s = time.time()
    with contextlib.ExitStack() as streams:
        readers = [streams.enter_context(Raw(path)) for _ in FILTERS]
        for raw, filters in zip(readers, FILTERS, strict=True):
            raw.request("GET", f"/events?{asked(filters)}")
            assert raw.head()[0] == 200
        for number, (host, label) in enumerate([("h1", "kind=a"), ("h2", "kind=b"), ("h3", "other=c")]):
            lives(docker, number, host, label)
        docker.done("run", "--name", "last", "--rm", "busybox", "true")
        until(lambda: not docker("inspect", "last").stdout.strip("[]\n "), "the last one is gone")
        ended_s, heard = time.time(), 0
        for raw, filters in zip(readers, FILTERS, strict=True):
            past = told(of_the_past(path, filters, began_s, ended_s), ended_s)
            live = b""
            while len(told(live, ended_s)) < len(past):
                live += raw.some()
            assert sorted(told(live, ended_s)) == sorted(past), filters
            heard += bool(past)
    assert heard > 8


def of_the_past(path: Path, filters: dict[str, list[str]], began_s: float, ended_s: float) -> bytes:
    """Chosen by the engines themselves."""
    with Raw(path) as raw:
        target = f"/events?since={began_s:.9f}&until={ended_s:.9f}&{asked(filters)}"
        raw.request("GET", target, headers="Connection: close\n")
        assert raw.head()[0] == 200
        return raw.rest()


def test_hosts_are_asked_once_for_all_that_listen(lab: Lab, docker: Docker, path: Path) -> None:
    agents = [lab.pid(host, "agent") for host in lab.hosts]
    with contextlib.ExitStack() as streams:
        readers = [streams.enter_context(Raw(path)) for _ in range(60)]
        for raw in readers:
            raw.request("GET", "/events")
            assert raw.head()[0] == 200
        docker.done("run", "--rm", "--name", "once", "busybox", "true")
        for raw in readers:
            raw.until(b'"once"')
        open_files = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in agents]
        assert max(open_files) < 100, open_files
