"""What containers on several hosts know of each other from the moment they start, and what else one engine does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docker_client import Docker, missing

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]


def on(host: str) -> tuple[str, str]:
    return "-e", f"constraint:node=={host}"


def test_a_container_on_another_host_is_found_as_soon_as_it_has_started(docker: Docker) -> None:
    docker.done("network", "create", "front")
    docker.done("run", "-d", "--name", "asks", "--network", "front", *on("h1"), "busybox", "sleep", "1000")
    for number in range(3):
        name = f"fresh{number}"
        docker.done("run", "-d", "--name", name, "--network", "front", *on("h2"), "busybox", "sleep", "1000")
        assert name in [one["Name"] for one in docker.inspect("front", "network")["Containers"].values()]
        address = docker.inspect(name)["NetworkSettings"]["Networks"]["front"]["IPAddress"]
        assert address in docker.done("exec", "asks", "nslookup", name)


def test_links_reach_other_hosts(docker: Docker) -> None:
    docker.done(
        "run", "-d", "--name", "db", "-e", "PASSWORD=x", "--expose", "5432", *on("h1"), "busybox", "sleep", "1000"
    )
    docker.done("run", "-d", "--name", "web", "--link", "db:store", *on("h2"), "busybox", "sleep", "1000")
    assert [docker.host_of(name) for name in ("db", "web")] == ["h1", "h2"]
    settings = docker.inspect("db")["NetworkSettings"]
    assert settings["IPAddress"] == settings["Networks"]["paddock"]["IPAddress"]
    assert settings["IPAddress"] in docker.done("exec", "web", "nslookup", "store")
    told = docker.done("exec", "web", "env").splitlines()
    assert "STORE_NAME=/web/store" in told
    assert "STORE_ENV_PASSWORD=x" in told
    assert f"STORE_PORT_5432_TCP_ADDR={settings['IPAddress']}" in told
    assert docker.inspect("web")["HostConfig"]["Links"] == ["/db:/web/store"]
    assert docker.done("rm", "--link", "web/store") == "web/store"
    assert docker.inspect("web")["HostConfig"]["Links"] is None
    assert sorted(docker.done("ps", "--format", "{{.Names}}").splitlines()) == ["db", "web"]
    assert "No such container: nobody" in docker.refused("create", "--link", "nobody:n", "busybox")


def test_a_link_on_a_network_may_be_older_than_what_it_leads_to(docker: Docker) -> None:
    docker.done("network", "create", "front")
    docker.done("run", "-d", "--name", "web", "--network", "front", *on("h1"), "busybox", "sleep", "1000")
    docker.done("network", "disconnect", "front", "web")
    docker.done("network", "connect", "--link", "later:soon", "front", "web")
    assert docker.inspect("web")["NetworkSettings"]["Networks"]["front"]["Links"] == ["later:soon"]
    docker.done("run", "-d", "--name", "later", "--network", "front", *on("h2"), "busybox", "sleep", "1000")
    address = docker.inspect("later")["NetworkSettings"]["Networks"]["front"]["IPAddress"]
    assert address in docker.done("exec", "web", "nslookup", "soon")


def test_networks_follow_one_another_quickly(docker: Docker) -> None:
    """Each takes the number and the addresses of the one before, which its host is still about to give up."""
    for number in range(4):
        docker.done("network", "create", f"net{number}")
        docker.done("run", "--rm", "--network", f"net{number}", *on("h1"), "busybox", "true")
        docker.done("network", "rm", f"net{number}")
    docker.done("run", "--rm", "-v", "data:/data", "busybox", "true")
    docker.done("volume", "rm", "data")


def test_what_it_shares_with_has_to_be_on_one_host(docker: Docker) -> None:
    for name, host in (("one", "h1"), ("two", "h2")):
        docker.done("create", "--name", name, "-v", "/data", *on(host), "busybox", "true")
    refused = docker.refused("create", "--volumes-from", "one", "--volumes-from", "two", "busybox", "true")
    assert "it needs one on h1" in refused
    assert "it needs two on h2" in refused


def test_who_has_no_volumes_may_be_on_another_host(docker: Docker) -> None:
    docker.done("create", "--name", "bare", *on("h1"), "busybox", "true")
    docker.done("run", "--name", "full", "-v", "/data", *on("h2"), "busybox", "touch", "/data/here")
    sources = ("--volumes-from", "bare", "--volumes-from", "full:ro")
    assert docker.done("run", "--name", "takes", *sources, "busybox", "ls", "/data") == "here"
    assert docker.host_of("takes") == "h2"
    assert len(docker.inspect("takes")["HostConfig"]["VolumesFrom"]) == 2
    docker.done("create", "--name", "lonely", "--volumes-from", "bare", "busybox", "true")
    assert docker.host_of("lonely") == "h1"
    refused = docker.refused("run", "--network", "container:bare", "--volumes-from", "full", "busybox", code=125)
    assert "it needs bare on h1" in refused


def test_a_build_does_not_join_a_network_of_the_cluster(docker: Docker, tmp_path: Path) -> None:
    docker.done("network", "create", "front")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN true\n")
    docker.environment["DOCKER_BUILDKIT"] = "0"
    refused = docker.refused("build", "--network", "front", str(tmp_path))
    assert "cannot join network front" in refused


def test_auxiliary_addresses_are_shown(docker: Docker) -> None:
    docker.done("network", "create", "--subnet", "10.61.0.0/24", "--aux-address", "printer=10.61.0.9", "aux")
    (config,) = docker.inspect("aux", "network")["IPAM"]["Config"]
    assert config["AuxiliaryAddresses"] == {"printer": "10.61.0.9"}


def test_volumes_without_a_name_are_pruned_without_being_named(docker: Docker) -> None:
    named, nameless = docker.done("volume", "create", "kept"), docker.done("volume", "create")
    docker.done("run", "--name", "user", "-v", "/data", "busybox", "true")
    (left,) = (mount["Name"] for mount in docker.inspect("user")["Mounts"])
    docker.done("rm", "user")
    pruned = docker.done("volume", "prune", "-f")
    assert nameless in pruned
    assert left in pruned
    if tuple(map(int, docker.done("version", "--format", "{{.Server.APIVersion}}").split("."))) >= (1, 42):
        assert named not in pruned


def test_a_volume_driver_nobody_has_is_refused(docker: Docker) -> None:
    assert "no-such-driver" in docker.refused("volume", "create", "--driver", "no-such-driver", "data")
    assert docker.done("volume", "ls", "-q") == ""


def test_images_are_counted_once(docker: Docker) -> None:
    count = json.loads(docker.done("info", "--format", "json"))["Images"]
    assert count == len(dict.fromkeys(docker.done("images", "-aq", "--no-trunc").split()))
