"""Where containers of `docker run` go, and what becomes of them and of those who watch them when a host is lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster_lab import Lab
from docker_client import Docker, missing
from waiting import until

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]
POLICY = 'com.docker.swarm.reschedule-policies=["on-node-failure"]'
SLEEP = ("busybox", "sleep", "1000")
NOTICED_WITHIN_S = 12.0
MOVED_WITHIN_S = 30.0


@pytest.fixture
def docker(lab: Lab, docker: Docker) -> Iterator[Docker]:
    yield docker
    for host in lab.hosts:
        lab.ground.heal(host)
        lab.ground.start(host)
    lab.all_active()


def run(docker: Docker, name: str, *options: str) -> str:
    """-> its host"""
    docker.done("run", "-d", "--name", name, *options, *SLEEP)
    return docker.host_of(name)


def test_the_filters_of_classic_swarm(lab: Lab, docker: Docker) -> None:
    assert run(docker, "db", "-e", "constraint:node==h2", "-l", "kind=store") == "h2"
    assert run(docker, "by-pattern", "-e", "constraint:node==/h[12]/", "-e", "constraint:node!=h1") == "h2"
    assert run(docker, "if-possible", "-e", "constraint:node==~h9")
    assert run(docker, "near", "-l", 'com.docker.swarm.affinities=["container==db"]') == "h2"
    assert run(docker, "near-id", "-e", f"affinity:container=={docker.inspect('db')['Id'][:12]}") == "h2"
    assert run(docker, "far", "-e", "affinity:container!=db") != "h2"
    assert run(docker, "with-store", "-e", "affinity:kind==store") == "h2"
    assert run(docker, "not-with-store", "-e", "affinity:kind!=store") != "h2"
    assert run(docker, "linked", "--link", "db:data") == "h2"
    assert "swarm" not in json.dumps(docker.inspect("near")["Config"])
    assert "affinity" not in docker.done("exec", "far", "env")
    wrong = ["run", "--volumes-from", "db", "-e", "constraint:node==h1", *SLEEP]
    told = docker.refused(*wrong, code=125)
    assert "dependency (it needs db on h2)" in told
    assert "constraint (node.hostname==h1)" in told


def test_images_draw_to_hosts_that_hold_them(lab: Lab, docker: Docker) -> None:
    lab.docker("h3", "tag", "busybox", "only-here:1")
    docker.done("image", "inspect", "only-here:1")  # What agents have not told of yet, engines are asked for.
    try:
        assert run(docker, "drawn", "-e", "affinity:image==only-here") == "h3"
        assert run(docker, "driven", "-e", "affinity:image!=only-here:1") != "h3"
        nowhere = docker.refused("run", "-e", "affinity:image==nowhere", *SLEEP, code=125)
        assert "3 hosts: affinity (image==nowhere)" in nowhere
    finally:
        lab.docker("h3", "rmi", "only-here:1")


def test_a_host_is_lost(lab: Lab, docker: Docker, tmp_path: Path) -> None:
    began = str(int(time.time()))
    docker.done("network", "create", "blue")
    run(docker, "friend", "-e", "constraint:node==h1", "--network", "blue")
    moving = ["-e", "reschedule:on-node-failure", "--network", "blue", "--network-alias", "site"]
    run(docker, "moves", *moving, "-e", "constraint:node==~h2", "-p", "8077:80")
    run(docker, "stays", "-e", "constraint:node==h2", "-l", "kind=pinned")
    id, before = docker.inspect("moves")["Id"], docker.inspect("moves")
    assert before["Node"]["Name"] == "h2"
    commands = [
        ("wait", "stays"),
        ("logs", "-f", "stays"),
        ("attach", "--no-stdin", "stays"),
        ("exec", "stays", "sleep", "1000"),
    ]
    watching = {words[0]: docker.begin(*words) for words in commands}
    log = tmp_path / "events"
    following = ["docker", "events", "--format", "json"]
    with log.open("w") as lines:
        events = subprocess.Popen(following, stdout=lines, env=docker.environment)
    until(lambda: docker("top", "stays").stdout.count("sleep 1000") == 2, "both its processes run")
    lab.ground.kill("h2")
    lost_s = time.monotonic()
    for words, one in watching.items():
        output, _ = one.communicate(timeout=NOTICED_WITHIN_S)
        assert one.returncode != 0 or (words == "wait" and output == "137\n"), (words, one.returncode, output)
    until(lambda: docker.host_of("moves") != "h2", "it is elsewhere", MOVED_WITHIN_S)
    until(lambda: docker.inspect("moves")["State"]["Running"], "and runs", MOVED_WITHIN_S)
    print(f"lost -> running elsewhere: {time.monotonic() - lost_s:.1f} s")
    check_made_anew(docker, id, before)
    check_what_is_out_of_sight(docker)
    lab.ground.start("h2")
    lab.all_active()
    until(lambda: id not in lab.docker("h2", "ps", "-aq", "--no-trunc"), "the old one is removed", MOVED_WITHIN_S)
    assert docker.done("ps", "-aq", "--no-trunc", "--filter", "name=moves") == id
    until(lambda: docker.inspect("stays")["State"]["Status"] == "exited", "the other is seen as it is")
    docker.done("start", "stays")
    until(lambda: [started for started in told(log, "start") if named(started) == "stays"], "its start is told", 15)
    events.terminate()
    events.wait(timeout=10)
    check_events(docker, told(log), began, id)


def told(log: Path, action: str = "") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [event for event in found if not action or event["Action"] == action]


def named(event: dict[str, Any]) -> str:
    return str(event["Actor"]["Attributes"].get("name"))


def check_made_anew(docker: Docker, id: str, before: dict[str, Any]) -> None:
    after = docker.inspect("moves")
    assert after["Id"] == id == docker.inspect(id[:10])["Id"] == docker.inspect("moves")["Id"]
    assert docker.done("ps", "-q", "--no-trunc", "--filter", f"id={id[:12]}") == id
    assert id in docker.inspect("blue", "network")["Containers"]
    address = before["NetworkSettings"]["Networks"]["blue"]["IPAddress"]
    assert after["NetworkSettings"]["Networks"]["blue"]["IPAddress"] == address
    assert "site" in after["NetworkSettings"]["Networks"]["blue"]["Aliases"]
    assert after["Config"]["Hostname"] == id[:12]
    assert after["HostConfig"]["PortBindings"] == before["HostConfig"]["PortBindings"]
    assert docker.done("exec", id, "hostname") == id[:12]
    until(lambda: docker("exec", "friend", "ping", "-c", "1", "-W", "1", "site").returncode == 0, "it is reached")


def check_what_is_out_of_sight(docker: Docker) -> None:
    state = docker.inspect("stays")["State"]
    assert (state["Status"], state["Running"], state["Error"][:15]) == ("dead", False, "host h2 is lost")
    shown = docker.done("ps", "-a", "--filter", "label=kind=pinned", "--format", "{{.Names}} {{.Status}}")
    assert shown == "stays Host Down (h2)"
    assert "stays" not in docker.done("ps", "--format", "{{.Names}}")
    assert "is not connected" in docker.refused("restart", "stays")
    began_s = time.monotonic()
    docker.done("info")
    docker.done("container", "prune", "-f")
    docker.done("events", "--since", "1", "--until", "2")
    assert time.monotonic() - began_s < 8


def check_events(docker: Docker, seen: list[dict[str, Any]], began: str, id: str) -> None:
    """One stream went on over the loss, and one that asks for the past gets it, the lost host's included."""
    hosts = [event["Actor"]["Attributes"]["state.new"] for event in seen if event["Type"] == "node"]
    assert hosts == ["down", "ready"]
    moved = [event["Action"] for event in seen if event["Actor"]["ID"] == id and event["Type"] == "container"]
    assert moved[:2] == ["create", "start"], moved
    assert "destroy" not in moved
    started = [e for e in seen if e["Action"] == "start" and named(e) == "stays"]
    assert [event["Actor"]["Attributes"]["node.name"] for event in started] == ["h2"]
    again = docker.done("events", "--since", began, "--until", str(int(time.time()) + 1), "--format", "json")
    past = [json.loads(line) for line in again.splitlines()]
    assert [event["timeNano"] for event in past] == sorted(event["timeNano"] for event in past)
    assert any(event["Actor"]["ID"] == id and event["Action"] == "start" for event in past)


def test_a_host_is_cut_off(lab: Lab, docker: Docker) -> None:
    """Its containers run on unseen: the one made anew stays, the old one goes when its host is heard again."""
    id = docker.done("run", "-d", "--name", "split", "-l", POLICY, "-e", "constraint:node==~h3", *SLEEP)
    assert docker.host_of("split") == "h3"
    waiting = docker.begin("wait", "split")
    until(lambda: "sleep" in docker("top", "split").stdout, "it runs")
    lab.ground.cut("h3")
    began_s = time.monotonic()
    docker.done("ps", "-a")
    assert time.monotonic() - began_s < NOTICED_WITHIN_S
    assert waiting.communicate(timeout=NOTICED_WITHIN_S)[0] == "137\n"
    until(lambda: docker.host_of("split") != "h3", "it is elsewhere", MOVED_WITHIN_S)
    assert id in lab.docker("h3", "ps", "-q", "--no-trunc")
    lab.ground.heal("h3")
    lab.all_active()
    until(lambda: id not in lab.docker("h3", "ps", "-aq", "--no-trunc"), "the old one is removed", MOVED_WITHIN_S)
    assert docker.done("ps", "-q", "--no-trunc") == id


def test_a_host_that_cannot_make_it_is_not_asked_again(lab: Lab, docker: Docker) -> None:
    """Spreading would give every next container to the host that has fewest, since it can make none."""
    for host in lab.hosts:
        run(docker, f"on-{host}", "-e", f"constraint:node=={host}")
    containers = "/var/lib/docker/containers"
    lab.ground.exec("h3", ["mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", containers])
    try:
        assert {run(docker, f"full-{number}") for number in range(4)} == {"h1", "h2"}
        told = docker.refused("run", "-e", "constraint:node==h3", *SLEEP, code=125)
        assert "read-only file system" in told
    finally:
        lab.ground.exec("h3", ["umount", containers])
    lab.end("h3", "engine")
    assert {run(docker, f"dead-{number}") for number in range(2)} <= {"h1", "h2"}
