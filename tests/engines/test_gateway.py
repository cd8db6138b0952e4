"""The unmodified docker command line against three hosts."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path

import pytest

from cluster_lab import Lab
from docker_client import Docker, missing
from waiting import until

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture
def cluster(lab: Lab) -> Lab:
    return lab


def test_version_and_info(docker: Docker) -> None:
    version = json.loads(docker.done("version", "--format", "json"))
    assert version["Server"]["Platform"]["Name"].startswith("Paddock")
    info = json.loads(docker.done("info", "--format", "json"))
    assert info["DriverStatus"][0] == ["Hosts", "3"]
    assert info["NCPU"] >= 3


def test_run_in_front(docker: Docker) -> None:
    assert docker.done("run", "--rm", "busybox", "echo", "hello") == "hello"
    assert docker("run", "--rm", "busybox", "sh", "-c", "exit 7").returncode == 7
    assert docker.done("run", "-i", "--rm", "busybox", "wc", "-c", stdin="abc\n").strip() == "4"
    until(lambda: docker.done("ps", "-aq") == "", "containers run with --rm are gone")


@pytest.mark.parametrize(("command", "code"), [(["nosuchcmd"], 127), (["/etc"], 126)])
def test_a_command_that_cannot_be_run(docker: Docker, command: list[str], code: int) -> None:
    assert docker("run", "--rm", "busybox", *command).returncode == code


def test_a_container_lives(docker: Docker) -> None:
    id = docker.done("run", "-d", "--name", "life", "busybox", "sleep", "1000")
    assert len(id) == 64
    assert docker.done("ps", "--format", "{{.Names}}") == "life"
    assert docker.inspect("life")["Id"] == id == docker.inspect(id[:8])["Id"]
    assert docker.inspect(f"{docker.host_of('life')}/life")["Id"] == id
    docker.done("pause", "life")
    assert docker.inspect("life")["State"]["Status"] == "paused"
    docker.done("unpause", "life")
    docker.done("restart", "-t", "0", "life")
    docker.done("update", "--memory", "64m", "--memory-swap", "64m", "life")
    assert docker.inspect("life")["HostConfig"]["Memory"] == 64 * 2**20
    docker.done("rename", "life", "death")
    assert "No such container: life" in docker.refused("logs", "life")
    assert "sleep" in docker.done("top", "death")
    docker.done("stop", "-t", "0", "death")
    assert docker.done("wait", "death") == "137"
    docker.done("start", "death")
    docker.done("kill", "death")
    docker.done("rm", "death")
    assert docker.done("ps", "-aq") == ""
    docker.done("run", "-d", "--name", "death", "busybox", "true")


def test_exec_and_logs(docker: Docker) -> None:
    docker.done("run", "-d", "--name", "works", "busybox", "sh", "-c", "echo out; echo err >&2; sleep 1000")
    assert docker.done("exec", "works", "echo", "hi") == "hi"
    assert docker("exec", "works", "sh", "-c", "exit 3").returncode == 3
    assert docker.done("exec", "-i", "works", "cat", stdin="through") == "through"
    until(lambda: docker("logs", "works").stdout == "out\n", "its output is in the log")
    assert docker("logs", "works").stderr == "err\n"


def test_logs_are_followed_to_the_end(docker: Docker) -> None:
    docker.done("run", "-d", "--name", "counts", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    assert docker.done("logs", "-f", "counts") == "1\n2\n3"


def test_files_go_in_and_out(docker: Docker, tmp_path: Path) -> None:
    docker.done("create", "--name", "box", "busybox", "sleep", "1000")
    (tmp_path / "in.txt").write_text("there and back")
    docker.done("cp", str(tmp_path / "in.txt"), "box:/tmp/x.txt")
    docker.done("cp", "box:/tmp/x.txt", str(tmp_path / "out.txt"))
    assert (tmp_path / "out.txt").read_text() == "there and back"
    assert "A /tmp/x.txt" in docker.done("diff", "box")
    docker.done("export", "-o", str(tmp_path / "all.tar"), "box")
    with tarfile.open(tmp_path / "all.tar") as tar:
        found = tar.extractfile("tmp/x.txt")
        assert found is not None
        assert io.BytesIO(found.read()).getvalue() == b"there and back"


def test_a_name_is_had_by_one(docker: Docker) -> None:
    racing = [docker.begin("create", "--name", "prize", "busybox") for _ in range(6)]
    outputs = [one.communicate(timeout=60)[0] for one in racing]
    assert sorted(one.returncode for one in racing) == [0, 1, 1, 1, 1, 1], outputs
    lost = [output for one, output in zip(racing, outputs, strict=True) if one.returncode]
    assert all('The container name "/prize" is already in use' in output for output in lost)
    assert docker.done("ps", "-a", "--format", "{{.Names}}") == "prize"


def test_a_name_is_free_at_once_after_it_ends(docker: Docker) -> None:
    for _ in range(3):
        assert docker.done("run", "--rm", "--name", "again", "busybox", "echo", "x") == "x"


def test_containers_reach_each_other_by_name_across_hosts(docker: Docker) -> None:
    for name, host in (("left", "h1"), ("right", "h2")):
        docker.done("run", "-d", "--name", name, "-e", f"constraint:node=={host}", "busybox", "sleep", "1000")
        assert docker.host_of(name) == host
    until(lambda: docker("exec", "left", "ping", "-c", "1", "-W", "1", "right").returncode == 0, "right is reached")
    assert "constraint" not in docker.done("exec", "left", "env")


def test_networks_are_joined_and_left(docker: Docker) -> None:
    docker.done("network", "create", "--label", "a=b", "blue")
    assert docker.inspect("blue", "network")["Labels"] == {"a": "b"}
    docker.done("run", "-d", "--name", "near", "-e", "constraint:node==h1", "busybox", "sleep", "1000")
    far = ["-e", "constraint:node==h3", "--network", "blue", "--network-alias", "web"]
    docker.done("run", "-d", "--name", "far", *far, "busybox", "sleep", "1000")
    assert docker("exec", "near", "ping", "-c", "1", "-W", "1", "web").returncode != 0
    docker.done("network", "connect", "blue", "near")
    until(lambda: docker("exec", "near", "ping", "-c", "1", "-W", "1", "web").returncode == 0, "web is reached")
    assert sorted(one["Name"] for one in docker.inspect("blue", "network")["Containers"].values()) == ["far", "near"]
    assert "active endpoints" in docker.refused("network", "rm", "blue")
    docker.done("network", "disconnect", "blue", "near")
    assert docker("exec", "near", "ping", "-c", "1", "-W", "1", "web").returncode != 0
    docker.done("rm", "-f", "far")
    docker.done("network", "rm", "blue")
    assert "not found" in docker.refused("network", "inspect", "blue")


def test_an_address_may_be_asked_for(docker: Docker) -> None:
    docker.done("network", "create", "--subnet", "10.203.0.0/16", "green")
    docker.done("run", "-d", "--name", "fixed", "--network", "green", "--ip", "10.203.9.9", "busybox", "sleep", "1000")
    assert docker.inspect("fixed")["NetworkSettings"]["Networks"]["green"]["IPAddress"] == "10.203.9.9"
    assert "Pool overlaps" in docker.refused("network", "create", "--subnet", "10.203.1.0/24", "other")


def test_what_shares_is_on_one_host(docker: Docker) -> None:
    docker.done("run", "-d", "--name", "first", "-v", "kept:/data", "busybox", "sleep", "1000")
    docker.done("exec", "first", "sh", "-c", "echo here > /data/x")
    host = docker.host_of("first")
    for options in (["-v", "kept:/data"], ["--volumes-from", "first"]):
        assert docker.done("run", "--rm", *options, "busybox", "cat", "/data/x") == "here"
    docker.done("run", "-d", "--name", "second", "--network", "container:first", "busybox", "sleep", "1000")
    assert docker.host_of("second") == host
    assert docker.done("exec", "first", "hostname", "-i") == docker.done("exec", "second", "hostname", "-i")
    assert "volume is in use" in docker.refused("volume", "rm", "kept")
    docker.done("rm", "-f", "first", "second")
    docker.done("volume", "rm", "kept")


def test_a_port_is_reached_at_its_host(docker: Docker) -> None:
    command = ["sh", "-c", "mkdir /w; echo shown > /w/index.html; httpd -f -p 80 -h /w"]
    docker.done("run", "-d", "--name", "site", "-p", "8099:80", "busybox", *command)
    address = docker.done("port", "site", "80")
    assert address.endswith(":8099")
    assert address.split(":")[0] == docker.inspect("site")["Node"]["IP"]
    other = ["run", "-d", "--name", "other", "-p", "8099:80", "busybox", "sleep", "1000"]
    docker.done(*other)
    assert docker.host_of("other") != docker.host_of("site")


def test_what_cannot_be_placed_says_why(docker: Docker) -> None:
    told = docker.refused("run", "-e", "constraint:node==h9", "busybox", code=125)
    assert "constraint (node.hostname==h9)" in told
    assert docker.done("ps", "-aq") == ""


def test_filters(docker: Docker) -> None:
    for name, host in (("one", "h1"), ("two", "h2")):
        docker.done("create", "--name", name, "--label", f"at={host}", "-e", f"constraint:node=={host}", "busybox")
    assert docker.done("ps", "-a", "--filter", "node=h2", "--format", "{{.Names}}") == "two"
    assert docker.done("ps", "-a", "--filter", "label=at=h1", "--format", "{{.Names}}") == "one"
    assert docker.done("ps", "-a", "--filter", "name=tw", "--format", "{{.Names}}") == "two"


def test_events_of_all_hosts(docker: Docker) -> None:
    began = str(int(time.time()))
    docker.done("run", "--rm", "-e", "constraint:node==h1", "--name", "ev1", "busybox", "true")
    docker.done("run", "--rm", "-e", "constraint:node==h3", "--name", "ev2", "busybox", "true")
    until_then = ["--since", began, "--until", str(int(time.time()) + 2)]
    lines = docker.done("events", *until_then, "--filter", "event=die", "--format", "json")
    events = [json.loads(line) for line in lines.splitlines()]
    mine = [event for event in events if event["Actor"]["Attributes"]["name"] in ("ev1", "ev2")]
    assert [event["Actor"]["Attributes"]["node.name"] for event in mine] == ["h1", "h3"]
    assert [event["timeNano"] for event in events] == sorted(event["timeNano"] for event in events)


def test_prune(docker: Docker) -> None:
    docker.done("run", "--name", "over", "busybox", "true")
    docker.done("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    docker.done("container", "prune", "-f")
    assert docker.done("ps", "-a", "--format", "{{.Names}}") == "stays"
    docker.done("run", "--name", "over", "busybox", "true")


@pytest.mark.parametrize(
    "command", [["node", "ls"], ["service", "ls"], ["secret", "ls"], ["config", "ls"], ["swarm", "init"]]
)
def test_swarm_mode_says_what_to_use_instead(docker: Docker, command: list[str]) -> None:
    assert "Paddock" in docker.refused(*command)


def test_paddock_knows_them_too(cluster: Lab, docker: Docker) -> None:
    docker.done("run", "-d", "--name", "seen", "busybox", "sleep", "1000")
    until(lambda: "seen" in cluster.done("ps"), "paddock ps names it")
