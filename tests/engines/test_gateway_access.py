"""Who may come in, from where, and a compose project over three hosts."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster_lab import Lab
from docker_client import Docker, compose_plugin, missing

pytestmark = [pytest.mark.engines, pytest.mark.skipif(bool(missing()), reason=missing())]
DOCKER_PORT = 7445

COMPOSE = """
name: gwtest
services:
  web:
    image: busybox
    command: sh -c "mkdir -p /w; hostname > /w/index.html; httpd -f -p 80 -h /w"
    deploy: {replicas: 3}
    networks: [front]
    stop_grace_period: 0s
  client:
    image: busybox
    command: sleep 1000
    networks: [front]
    depends_on: [web]
    volumes: ["data:/data"]
    stop_grace_period: 0s
networks: {front: {}}
volumes: {data: {}}
"""


@pytest.fixture
def cluster(lab: Lab) -> Lab:
    return lab


@pytest.fixture
def client(cluster: Lab, tmp_path: Path) -> dict[str, str]:
    """What `paddock context create` leaves behind, as the environment of docker."""
    server = cluster.ground.root / "server"
    environment = {
        **cluster.environment,
        "PADDOCK_CONFIG": str(tmp_path / "c.json"),
        "DOCKER_CONFIG": str(tmp_path / "d"),
    }
    environment.pop("DOCKER_HOST", None)
    made = paddock(
        cluster, environment, "context", "create", "far", "--server", cluster.cluster.server, "--ca",
        str(server / "ca.crt"), "--key-file", str(server / "admin.key"), "--unprivileged",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return environment


def paddock(
    cluster: Lab, environment: dict[str, str], *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        cluster.argv(*arguments), input=stdin, capture_output=True, text=True, timeout=90, check=False, env=environment
    )


def docker(environment: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments], input=stdin, capture_output=True, text=True, timeout=90, check=False, env=environment
    )


def test_a_docker_context_reaches_the_cluster_over_tls(cluster: Lab, client: dict[str, str]) -> None:
    told = docker(client, "--context", "far", "run", "-i", "--rm", "busybox", "wc", "-c", stdin="12345")
    assert (told.returncode, told.stdout.strip()) == (0, "5"), told.stderr


def test_paddock_docker_and_docker_env(cluster: Lab, client: dict[str, str]) -> None:
    assert paddock(cluster, client, "docker", "run", "--rm", "busybox", "echo", "x").stdout == "x\n"
    exports = paddock(cluster, client, "docker-env").stdout.splitlines()
    variables = dict(line.removeprefix("export ").split("=", 1) for line in exports)
    assert variables["DOCKER_HOST"].endswith(f":{DOCKER_PORT}")
    told = docker({**client, **variables}, "version", "--format", "{{.Server.Platform.Name}}")
    assert told.stdout.startswith("Paddock"), told.stderr


def test_files_of_a_certificate_are_private(cluster: Lab, client: dict[str, str], tmp_path: Path) -> None:
    keys = list(tmp_path.rglob("key.pem"))
    assert len(keys) == 2
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys)


def test_reaching_into_hosts_can_be_withheld(cluster: Lab, client: dict[str, str]) -> None:
    for options in (["-v", "/:/host"], ["--privileged"], ["--pid", "host"]):
        told = docker(client, "--context", "far", "run", "--rm", *options, "busybox", "true")
        assert told.returncode == 125
        assert "may not reach into hosts" in told.stderr
    options = ["--opt", "type=none", "--opt", "o=bind", "--opt", "device=/"]
    assert "may not reach into hosts" in docker(client, "--context", "far", "volume", "create", *options).stderr


@pytest.fixture
def powerful(cluster: Lab) -> Iterator[Docker]:
    """The owner of the cluster, with a container that could do anything to its host, and a volume that is all of it."""
    owner = Docker(cluster.ground.root / "server" / "docker.sock", cluster.ground.root / "owner")
    owner.done("run", "-d", "--name", "powerful", "-v", "/:/host", "busybox", "sleep", "1000")
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", "device=/")
    owner.done("volume", "create", *options, "everything")
    yield owner
    owner("rm", "-f", "powerful")
    owner("volume", "rm", "everything")


def test_what_others_made_is_no_way_around(cluster: Lab, client: dict[str, str], powerful: Docker) -> None:
    for words in (
        ["exec", "powerful", "true"],
        ["cp", "powerful:/host/etc/hostname", "-"],
        ["attach", "--no-stdin", "powerful"],
        ["export", "powerful"],
        ["run", "--rm", "--volumes-from", "powerful", "busybox", "true"],
        ["run", "--rm", "--pid", "container:powerful", "busybox", "true"],
        ["run", "--rm", "-v", "everything:/host", "busybox", "true"],
    ):
        told = docker(client, "--context", "far", *words)
        assert told.returncode != 0
        said = "received 403" if words[0] == "attach" else "may not reach into hosts"
        assert said in told.stderr, (words, told.stderr)
    assert "powerful" in docker(client, "--context", "far", "ps").stdout


def test_a_plain_container_is_reached_as_ever(cluster: Lab, client: dict[str, str]) -> None:
    far = ("--context", "far")
    assert (
        docker(client, *far, "run", "-d", "--name", "plain", "-v", "plain:/d", "busybox", "sleep", "1000").returncode
        == 0
    )
    try:
        told = docker(client, *far, "exec", "-i", "plain", "wc", "-c", stdin="123")
        assert (told.returncode, told.stdout.strip()) == (0, "3"), told.stderr
        told = docker(client, *far, "run", "--rm", "--volumes-from", "plain", "busybox", "ls", "-d", "/d")
        assert (told.returncode, told.stdout.strip()) == (0, "/d"), told.stderr
    finally:
        docker(client, *far, "rm", "-f", "plain")
        docker(client, *far, "volume", "rm", "plain")


def test_a_key_without_the_right_gives_none(cluster: Lab, tmp_path: Path) -> None:
    """Neither to a stack, nor to a certificate that asks for it, nor to a command; and its end is the end of both."""
    created = cluster.json("api-keys", "create", "builds", "--environment", "default", "--unprivileged")
    (tmp_path / "key").write_text(created["key"])
    environment = {
        **cluster.environment, "PADDOCK_CONFIG": str(tmp_path / "c.json"), "DOCKER_CONFIG": str(tmp_path / "d")
    }  # fmt: skip
    environment.pop("DOCKER_HOST", None)
    ca = cluster.ground.root / "server" / "ca.crt"
    made = paddock(
        cluster, environment, "context", "create", "builds", "--server", cluster.cluster.server, "--ca", str(ca),
        "--key-file", str(tmp_path / "key"),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    told = docker(environment, "--context", "builds", "run", "--rm", "--privileged", "busybox", "true")
    assert "may not reach into hosts" in told.stderr
    (tmp_path / "compose.yaml").write_text("services: {a: {image: busybox, pid: host, command: sleep 9}}\n")
    told = paddock(cluster, environment, "up", "-f", str(tmp_path / "compose.yaml"), "-p", "reaching", "-d")
    assert told.returncode == 2
    assert "PidMode=host (service a)" in told.stderr
    assert docker(environment, "--context", "builds", "ps").returncode == 0
    cluster.done("api-keys", "remove", created["id"])
    assert docker(environment, "--context", "builds", "ps").returncode != 0
    assert paddock(cluster, environment, "ps").returncode != 0


def test_nobody_comes_in_without_a_certificate(cluster: Lab) -> None:
    assert pinged_without_certificate(cluster) == b""


def pinged_without_certificate(cluster: Lab) -> bytes:
    """What is answered; TLS 1.3 refuses only after the client's side of the handshake is done."""
    context = ssl.create_default_context(cadata=(cluster.ground.root / "server" / "ca.crt").read_text())
    with socket.create_connection((cluster.ground.address, DOCKER_PORT), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=cluster.ground.address) as tls:
                tls.sendall(b"GET /_ping HTTP/1.1\r\n\r\n")
                return tls.recv(100)
        except OSError:
            return b""


def test_the_socket_is_its_owners_alone(cluster: Lab) -> None:
    assert (cluster.ground.root / "server" / "docker.sock").stat().st_mode & 0o777 == 0o600


@pytest.fixture
def compose(cluster: Lab, tmp_path: Path) -> Iterator[Docker]:
    client = Docker(cluster.ground.root / "server" / "docker.sock", tmp_path / "docker")
    if why := compose_plugin(tmp_path / "docker"):
        pytest.skip(why)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    client.environment["COMPOSE_FILE"] = str(tmp_path / "compose.yaml")
    yield client
    client("compose", "down", "-v", "-t", "0")


def test_a_compose_project_over_three_hosts(compose: Docker) -> None:
    compose.done("compose", "up", "-d")
    names = compose.done("compose", "ps", "--format", "{{.Name}}").splitlines()
    assert names == ["gwtest-client-1", "gwtest-web-1", "gwtest-web-2", "gwtest-web-3"]
    assert len({compose.host_of(f"gwtest-web-{number}") for number in (1, 2, 3)}) > 1
    for number in (1, 2, 3):
        told = compose.done("compose", "exec", "-T", "client", "wget", "-qO-", f"http://gwtest-web-{number}/")
        assert told == compose.inspect(f"gwtest-web-{number}")["Config"]["Hostname"]
    found = compose.done("compose", "exec", "-T", "client", "nslookup", "web")
    assert len({line for line in found.splitlines() if line.startswith("Address: ")}) == 3
    compose.done("compose", "up", "-d", "--scale", "web=2")
    assert len(compose.done("compose", "ps", "-q").splitlines()) == 3
    compose.done("compose", "restart", "-t", "0", "client")
    assert "gwtest-client-1" in compose.done("compose", "top")
    compose.done("compose", "down", "-v", "-t", "0")
    assert compose.done("ps", "-aq", "--filter", "label=com.docker.compose.project=gwtest") == ""
    assert "gwtest_data" not in compose.done("volume", "ls", "-q")
    assert "gwtest_front" not in compose.done("network", "ls", "--format", "{{.Name}}")
