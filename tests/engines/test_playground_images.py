"""The images we build are real programs, and the example application runs on them with plain docker compose."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import engine_api
from paddock.model.errors import NotFound
from paddock.playground import images
from paddock.playground.playground import Playground
from waiting import until

pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="IMAGES NOT TESTED: needs Linux and root"),
]

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"


@pytest.fixture(scope="module")
def cache() -> Path:
    """Kept between runs."""
    return Path(os.environ.get("PADDOCK_TEST_CACHE") or "/var/cache/paddock-tests")


@pytest.fixture(scope="module")
def playground(cache: Path) -> Iterator[Playground]:
    this = Playground(Path(tempfile.mkdtemp(prefix="pg")), f"i{os.getpid() % 0xFFFFF:05x}")
    try:
        this.up(1)
        for name in images.NAMES:
            this.load(images.build(name, cache), "h1")
        yield this
    finally:
        this.down()


@pytest.fixture(scope="module")
def socket(playground: Playground) -> Path:
    return playground.socket("h1")


def get(playground: Playground, path: str, *, method: str = "GET") -> tuple[int, str]:
    """What the host's port 8080 says; status 0 if nothing."""
    connection = http.client.HTTPConnection(playground.status().hosts[0].address, 8080, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def test_the_same_inputs_give_the_same_bytes(cache: Path, tmp_path: Path) -> None:
    first = images.build("python", cache)
    written_at = first.stat().st_mtime_ns
    assert images.build("python", cache).stat().st_mtime_ns == written_at, "built once"
    shutil.copytree(cache / "packages", tmp_path / "packages")
    again = images.build("python", tmp_path)
    assert again.read_bytes() == first.read_bytes()
    with pytest.raises(NotFound, match="busybox, redis, nginx, python"):
        images.build("fortran", cache)


def test_images_share_their_layers(socket: Path) -> None:
    found = engine_api.call(socket, "GET", "/system/df")
    assert isinstance(found, dict)
    assert found["LayersSize"] < 0.8 * sum(image["Size"] for image in found["Images"])


def test_busybox_has_its_tools_and_users(socket: Path) -> None:
    assert engine_api.run(socket, "busybox", ["sh", "-c", "id -un; echo a | sed s/a/b/; ls -d /tmp"]) == (
        0,
        "root\nb\n/tmp\n",
    )


def test_python_has_its_library_and_starts_at_once(socket: Path) -> None:
    modules = "asyncio, bz2, ctypes, hashlib, http.server, json, lzma, sqlite3, ssl, unittest, zlib"
    code = f"import {modules}, socketserver; print(hashlib.sha256(b'').hexdigest()[:8], http.server.__cached__)"
    status, output = engine_api.run(socket, "python:3-slim", ["python", "-c", code])
    assert (status, output.split()[0]) == (0, "e3b0c442")
    assert engine_api.run(socket, "python:3-slim", ["test", "-f", output.split()[1]])[0] == 0, "it is compiled"


def test_redis_serves_others(socket: Path) -> None:
    engine_api.call(socket, "POST", "/networks/create", {"Name": "back"})
    on_back = {"HostConfig": {"NetworkMode": "back"}}
    engine_api.start(socket, "redis", "redis", ["--appendonly", "yes"], **on_back)

    def ping() -> bool:
        return engine_api.run(socket, "redis", ["redis-cli", "-h", "redis", "ping"], **on_back) == (0, "PONG\n")

    until(ping, "redis answers another container")
    engine_api.remove(socket, "redis")
    engine_api.call(socket, "DELETE", "/networks/back")


def test_nginx_fills_in_its_templates(playground: Playground, socket: Path) -> None:
    template = "server { listen 80; location / { return 200 '${GREETING} from $host, ${NGINX_LOCAL_RESOLVERS}'; } }"
    write = f"mkdir -p /etc/nginx/templates; cat >/etc/nginx/templates/default.conf.template <<'END'\n{template}\nEND\n"
    engine_api.start(
        socket,
        "web",
        "nginx",
        ["nginx", "-g", "daemon off;"],
        Entrypoint=["sh", "-c", write + 'exec /docker-entrypoint.sh "$0" "$@"'],
        Env=["GREETING=hello", "NGINX_ENTRYPOINT_LOCAL_RESOLVERS=1"],
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "Dns": ["10.1.2.3"]},
    )
    status, said = until(lambda: (answer := get(playground, "/"))[0] and answer, "nginx answers") or (0, "")
    assert (status, said) == (200, f"hello from {playground.status().hosts[0].address}, 10.1.2.3")
    engine_api.remove(socket, "web")


def compose(playground: Playground, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "compose", "--project-directory", str(SHOP), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "DOCKER_HOST": f"unix://{playground.socket('h1')}"},
        timeout=120,
    )


def test_the_shop_runs_on_plain_docker_compose(playground: Playground) -> None:
    if shutil.which("docker") is None or compose(playground, "version").returncode:
        pytest.skip("SHOP NOT TESTED ON PLAIN DOCKER COMPOSE: docker compose is not installed")
    up = compose(playground, "up", "-d", "--wait")
    assert up.returncode == 0, up.stderr
    assert "<title>Shop</title>" in get(playground, "/")[1]
    for _ in range(5):
        assert get(playground, "/api/orders", method="POST")[0] == 200

    def packed() -> dict[str, object] | None:
        status, said = get(playground, "/api/shop")
        shop = json.loads(said)
        return shop if status == 200 and shop["packed"] == 5 and len(shop["latest"]) == 5 else None

    shop = until(packed, "all orders are packed")
    assert shop is not None
    apis = {json.loads(get(playground, "/api/shop")[1])["api"] for _ in range(30)}
    assert len(apis) == 3, "each api container answers in turn"
    assert compose(playground, "kill", "redis").returncode == 0
    assert get(playground, "/api/shop")[0] == 503
    assert compose(playground, "start", "redis").returncode == 0
    until(lambda: packed() is not None, "the shop recovers with what Redis kept on its volume", 20)
    down = compose(playground, "down", "-v")
    assert down.returncode == 0, down.stderr
