"""The API through its real TLS socket, with the real client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from paddock.client import Client, Endpoint
from paddock.client.connection import Connections, fetch_ca, pinned_tls
from paddock.model.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PaddockError,
    Refused,
    TooOld,
    Transient,
    UserError,
)
from paddock.model.objects import ApiKey, JoinToken
from paddock.model.specs import ContainerSpec, FileMount, FileSpec, NetworkSpec, ServiceSpec, StackSpec
from paddock.server.main import Running, _announce
from paddock.wire.api import ErrorAnswer, JoinRequest, NewApiKey
from paddock.wire.join_token import decode_token
from serving import admin, client_of, config_in, running_server
from unit.server.test_authority import request as certificate_request

Scene = Callable[[Running, Client], Awaitable[None]]


def play(tmp_path: Path, scene: Scene) -> None:
    async def main() -> None:
        async with admin(tmp_path) as (running, client):
            await scene(running, client)

    asyncio.run(main())


async def raised(call: Awaitable[object]) -> PaddockError:
    with pytest.raises(PaddockError) as caught:
        await call
    return caught.value


def stack(name: str = "shop", **services: ServiceSpec) -> StackSpec:
    return StackSpec(name=name, services=services or {"web": service("web")}, networks={"default": network(name)})


def network(stack_name: str) -> NetworkSpec:
    return NetworkSpec(name=f"{stack_name}_default")


def service(name: str, replicas: int = 1) -> ServiceSpec:
    return ServiceSpec(name=name, container=ContainerSpec(image="shop/web:1"), replicas=replicas)


def test_the_first_start_makes_one_key_and_the_second_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(config_in(tmp_path)) as running:
            key = running.admin_key
            assert key is not None
        async with running_server(config_in(tmp_path)) as again, client_of(again, key) as client:
            assert again.admin_key is None
            assert again.ca == running.ca
            assert [one.name for one in await client.environments()] == ["default"]
        assert not (tmp_path / "admin.key").exists()
        for file in tmp_path.iterdir():
            assert key.encode() not in file.read_bytes(), file

    asyncio.run(main())


def test_the_admin_key_is_written_only_when_asked_and_for_us_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        config = msgspec.structs.replace(config_in(tmp_path), admin_key_file=True)
        async with running_server(config) as running:
            assert (tmp_path / "admin.key").read_text().strip() == running.admin_key
            assert (tmp_path / "admin.key").stat().st_mode & 0o777 == 0o600
            _announce(config)(running)
            said = capsys.readouterr().out
            assert str(tmp_path / "admin.key") in said
            assert running.admin_key is not None
            assert running.admin_key not in said
            _announce(config_in(tmp_path))(running)
            assert running.admin_key in capsys.readouterr().out

    asyncio.run(main())


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from paddock.main import main; main()", "server", "run",
             "--data", str(tmp_path), "--listen", "127.0.0.1", "--api-port", str(port), "--agents-port", "0",
             "--docker-port", "0"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path)},
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"paddock server: port {port} of 127.0.0.1 cannot be opened: Address already in use")
    assert "--api-port" in line


def test_nothing_answers_without_a_key_but_what_joining_needs(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        async with client_of(running, "") as nobody:
            assert (await nobody.ping()).agents_port == running.agents_port
            assert await nobody.ca() == running.ca
            for call in (nobody.environments(), nobody.hosts(), nobody.stack("x"), nobody.api_keys()):
                assert (await raised(call)).code == "unauthorized"
        for key in ("x", "paddock_0_0", f"{running.admin_key}x", "paddock_" + "0" * 12 + "_secret", "x" * 5000):
            async with client_of(running, key) as stranger:
                error = await raised(stranger.environments())
                assert error.code == "unauthorized"
                assert key not in str(error)
        connections = Connections(running.address, pinned_tls(running.ca), "")
        for path in ("/", "/v1", "/v1/nothing", "/v2/ping", "/v1/ping/x", "/schemas"):
            assert (await raised(connections.call("GET", path))).code == "unauthorized"
        await connections.close()

    play(tmp_path, scene)


def test_no_port_speaks_without_tls(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        for port in (running.api_port, running.agents_port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(5.0):
                answer = await reader.read()
            assert b"HTTP" not in answer
            writer.close()

    play(tmp_path, scene)


def test_the_agents_port_wants_a_certificate_of_ours(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        tls = pinned_tls(running.ca)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.agents_port, ssl=tls)
        writer.write(b"GET /session HTTP/1.1\r\n\r\n")
        answer = b""
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            async with asyncio.timeout(5.0):
                answer = await reader.read()
        assert answer == b""
        writer.transport.abort()

    play(tmp_path, scene)


def test_another_servers_ca_is_not_believed(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        ping = await client.ping()
        assert await fetch_ca(running.address, ping.ca_fingerprint) == running.ca
        error = await raised(fetch_ca(running.address, "0" * 64))
        assert isinstance(error, Refused)
        async with running_server(config_in(tmp_path / "other")) as other:
            wrong = Client(Endpoint(server=running.address, ca=other.ca))
            error = await raised(wrong.ping())
            assert isinstance(error, Refused)
            assert "another CA" in error.message

    play(tmp_path, scene)


def test_keys_of_an_environment_see_nothing_else(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        await client.create_environment("blue")
        created = await client.create_api_key(NewApiKey(name="ci", environment="blue"))
        async with client_of(running, created.key, "blue") as blue:
            assert [one.name for one in await blue.environments()] == ["blue"]
            assert await blue.hosts() == []
            for call in (blue.api_keys(), blue.create_api_key(NewApiKey(name="x")), blue.create_environment("green")):
                assert isinstance(await raised(call), Forbidden)
        async with client_of(running, created.key, "default") as trespasser:
            there = await raised(trespasser.hosts())
            trespasser.environment = "not-there"
            nowhere = await raised(trespasser.hosts())
            assert (there.code, nowhere.code) == ("forbidden", "forbidden")
            assert there.message.replace("default", "X") == nowhere.message.replace("not-there", "X")
        await client.remove_api_key(created.id)
        async with client_of(running, created.key, "blue") as former:
            assert (await raised(former.hosts())).code == "unauthorized"

    play(tmp_path, scene)


def test_keys_expire_and_are_never_shown_again(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        created = await client.create_api_key(NewApiKey(name="short", ttl_s=3600.0))
        kept = running.plane.store.snapshot().get(ApiKey, created.id)
        assert kept is not None
        assert created.key not in msgspec.json.encode(kept).decode()
        assert created.key.split("_")[-1] not in msgspec.json.encode(await client.api_keys()).decode()
        from paddock.model.changes import Put

        past = msgspec.structs.replace(kept, expires_at_s=running.plane.world.now_s() - 1.0)
        await running.plane.store.commit([Put(object=past, reason="time passes")])
        async with client_of(running, created.key) as late:
            error = await raised(late.environments())
            assert error.code == "unauthorized"
            assert "expired" in error.message
        own = next(one for one in await client.api_keys() if one.name == "first admin key")
        assert isinstance(await raised(client.remove_api_key(own.id)), Conflict)
        assert isinstance(await raised(client.remove_api_key("key-nothing")), NotFound)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/v1/environments/default/stacks/shop", b"{", 400),
        ("PUT", "/v1/environments/default/stacks/shop", b"[]", 400),
        ("PUT", "/v1/environments/default/stacks/shop", b'{"name":7}', 400),
        ("PUT", "/v1/environments/default/stacks/shop", b'{"name":"other"}', 400),
        ("PUT", "/v1/environments/default/stacks/shop", b"\xff\xfe", 400),
        ("PUT", "/v1/environments/default/stacks/shop", b"", 400),
        ("PUT", "/v1/environments/default/stacks/shop?dry_run=perhaps", b'{"name":"shop"}', 400),
        ("POST", "/v1/environments/default/services/shop/web/scale", b'{"replicas":"many"}', 400),
        ("POST", "/v1/environments/default/services/shop/web/scale", b'{"replicas":-1}', 400),
        ("POST", "/v1/environments/default/services/shop/web/scale", b'{"replicas":1}', 404),
        ("POST", "/v1/environments", b'{"name":"Not A Name"}', 400),
        ("POST", "/v1/environments", b'{"name":"default"}', 409),
        ("POST", "/v1/api-keys", b'{"name":""}', 400),
        ("POST", "/v1/api-keys", b'{"name":"x","ttl_s":-5}', 400),
        ("POST", "/v1/api-keys", b'{"name":"x","environment":"nowhere"}', 404),
        ("POST", "/v1/environments/default/join-tokens", b'{"ttl_s":0}', 400),
        ("POST", "/v1/environments/default/join-tokens", b'{"ttl_s":1e12}', 400),
        ("PATCH", "/v1/environments/default/hosts/h1", b'{"labels":{"a":"b"}}', 404),
        ("GET", "/v1/environments/default/events?since=soon", None, 400),
        ("GET", "/v1/environments/default/events?since=-1", None, 400),
        ("GET", "/v1/environments/default/containers/x/logs", None, 404),
        ("GET", "/v1/environments/default/containers/x/logs?tail=few", None, 400),
        ("GET", "/v1/environments/default/explain/x", None, 404),
        ("GET", "/v1/environments/nowhere/hosts", None, 404),
        ("DELETE", "/v1/environments/default", None, 409),
        ("DELETE", "/v1/environments/default/volumes/x", None, 404),
        ("POST", "/v1/ping", b"", 401),
        ("GET", "/v1/nothing", None, 404),
        ("DELETE", "/v1/environments/default/hosts", None, 405),
    ],
)
def test_bad_input_is_answered_in_one_shape(
    served: Served, method: str, path: str, body: bytes | None, status: int
) -> None:
    key = "" if status == 401 else served.key
    answered, answer = served.raw(method, path, body, key)
    assert answered == status, answer
    found = msgspec.json.decode(answer, type=ErrorAnswer)
    assert found.code
    assert found.message


def test_a_request_that_is_too_large_is_refused(served: Served) -> None:
    body = b'{"name":"shop","configs":{"c":{"name":"c","content":"' + b"A" * (17 * 2**20) + b'"}}}'
    status, answer = served.raw("PUT", "/v1/environments/default/stacks/shop", body, served.key)
    assert status == 413
    assert msgspec.json.decode(answer, type=ErrorAnswer).code == "too_large"


class Served:
    """A server in a thread of its own, for tests that only ask once."""

    def __init__(self, address: str, ca: str, key: str) -> None:
        self.address = address
        self.ca = ca
        self.key = key

    def raw(self, method: str, path: str, body: bytes | None, key: str) -> tuple[int, bytes]:
        import http.client
        from urllib.parse import urlsplit

        port = urlsplit(self.address).port
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=pinned_tls(self.ca), timeout=10.0)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> object:
    import threading

    started: list[Served] = []
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    up = threading.Event()

    async def main() -> None:
        async with running_server(config_in(tmp_path_factory.mktemp("served"))) as running:
            started.append(Served(running.address, running.ca, running.admin_key or ""))
            stop = asyncio.Event()
            stops.append((asyncio.get_running_loop(), stop))
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert up.wait(10.0)
    yield started[0]
    loop, stop = stops[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10.0)


def test_a_join_token_is_good_for_one_host(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        created = await client.create_join_token()
        token = decode_token(created.token)
        assert token.server == running.address
        assert token.ca == (await client.ping()).ca_fingerprint
        assert created.token in created.command
        csr = certificate_request(ec.generate_private_key(ec.SECP256R1()))
        wish = JoinRequest(secret=token.secret, csr=csr, name="h1", labels={"rack": "7"})
        async with client_of(running, "") as joiner:
            bad = msgspec.structs.replace(wish, csr="nonsense")
            assert isinstance(await raised(joiner.join(bad)), UserError)
            joined = await joiner.join(wish)
            assert (joined.name, joined.environment, joined.agents_port) == ("h1", "default", running.agents_port)
            assert joined.ca == running.ca
            again = await raised(joiner.join(wish))
            assert again.code == "token_used"
            assert "by host h1" in again.message
            foreign = await raised(joiner.join(msgspec.structs.replace(wish, secret="0123456789ab.secret")))
            assert foreign.code == "token_unknown"
            second = decode_token((await client.create_join_token()).token)
            twin = await joiner.join(msgspec.structs.replace(wish, secret=second.secret))
            assert twin.name == "h1-2"
            third = await client.create_join_token(ttl_s=60.0)
            await expire(running, third.id)
            late = await raised(joiner.join(msgspec.structs.replace(wish, secret=decode_token(third.token).secret)))
            assert late.code == "token_expired"
            assert len({again.message, foreign.message, late.message}) == 3
        host = await client.host("h1")
        assert (host.state, host.labels) == ("joining", {"rack": "7"})
        assert [one.name for one in await client.hosts()] == ["h1", "h1-2"]
        labelled = await client.label_host("h1", {"rack": None, "zone": "a"})
        assert labelled.labels == {"zone": "a"}
        assert isinstance(await raised(client.label_host("h1", {"": "x"})), UserError)

    play(tmp_path, scene)


async def expire(running: Running, id: str) -> None:
    from paddock.model.changes import Put

    store = running.plane.store
    token = store.snapshot().get(JoinToken, id)
    assert token is not None
    past = msgspec.structs.replace(token, expires_at_s=running.plane.world.now_s() - 5.0)
    await store.commit([Put(object=past, reason="time passes")])


def test_a_stack_is_wished_for_shown_explained_and_removed(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        wish = stack(web=service("web", replicas=2))
        tried = await client.apply_stack(wish, dry_run=True)
        assert tried.dry_run
        assert {(one.action, one.kind, one.name) for one in tried.plan} >= {
            ("create", "stack", "shop"),
            ("create", "service", "shop/web"),
        }
        assert isinstance(await raised(client.stack("shop")), NotFound)
        applied = await client.apply_stack(wish)
        assert applied.version > tried.version
        shown = await client.stack("shop")
        assert [(one.name, one.replicas, one.image) for one in shown.services] == [("web", 2, "shop/web:1")]
        assert (await client.apply_stack(wish)).plan == ()
        await client.scale("shop", "web", 3)
        assert (await client.service("shop", "web")).replicas == 3
        explained = await client.explain("shop/web")
        assert explained.kind == "service"
        assert any("scaled from 2 to 3" in step.text for step in explained.history)
        assert isinstance(await raised(client.pause("shop", "web")), Conflict)
        for act in (client.stop, client.start, client.restart):
            assert (await act("shop", "web")).version > applied.version
        assert [one.name for one in await client.networks()] == ["shop_default"]
        removed = await client.remove_stack("shop")
        assert removed.version > applied.version
        assert isinstance(await raised(client.remove_stack("no-such-stack")), NotFound)

    play(tmp_path, scene)


def test_every_problem_of_a_stack_is_told_at_once(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        one = ServiceSpec(
            name="web",
            container=ContainerSpec(image="x", network_mode="", networks=()),
            depends_on=(),
        )
        broken = StackSpec(
            name="shop",
            services={"web": one},
            networks={"gone": NetworkSpec(name="gone", external=True)},
            secrets={"missing": FileSpec(name="missing", external=True)},
        )
        error = await raised(client.apply_stack(broken))
        assert isinstance(error, Invalid)
        assert len(error.problems) >= 2

    play(tmp_path, scene)


def test_contents_of_secrets_are_sealed_and_never_answered(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        mount = FileMount(kind="secret", source="password", target="/run/secrets/password")
        user = ServiceSpec(name="web", container=ContainerSpec(image="shop/web:1", files=(mount,)))
        wish = msgspec.structs.replace(
            stack(web=user), secrets={"password": FileSpec(name="shop_password", content=b"correct horse battery")}
        )
        applied = await client.apply_stack(wish)
        events = [event async for event in client.events(since=0)]
        everything = msgspec.json.encode([applied, events, await client.stacks(), await client.explain("shop")])
        assert b"correct horse" not in everything
        assert b"Y29ycmVjdCBob3JzZS" not in everything
        assert (await client.apply_stack(wish)).plan == ()

    play(tmp_path, scene)
    for file in tmp_path.iterdir():
        assert b"correct horse" not in file.read_bytes(), file


def test_events_go_on_from_any_version_and_say_when_that_is_too_old(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        await client.apply_stack(stack())
        all_of_them = [event async for event in client.events(since=0)]
        assert [event.version for event in all_of_them] == sorted(event.version for event in all_of_them)
        assert ("create", "service", "shop/web") in {(one.action, one.kind, one.name) for one in all_of_them}
        middle = all_of_them[0].version
        rest = [event async for event in client.events(since=middle)]
        expected = [event for event in all_of_them if event.version > middle]
        assert rest[: len(expected)] == expected
        follower = client.events(since=all_of_them[-1].version, follow=True)
        async with asyncio.timeout(5.0):
            next_one = asyncio.ensure_future(anext(follower))
            await client.scale("shop", "web", 2)
            event = await next_one
            while event.kind != "service":
                event = await anext(follower)
        assert (event.action, event.name) == ("change", "shop/web")
        await follower.aclose()
        error = await raised(anext(client.events(since=10**9)))
        assert isinstance(error, TooOld)

    play(tmp_path, scene)


def test_environments_are_made_and_only_empty_ones_removed(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        assert (await client.create_environment("blue")).name == "blue"
        blue = client_of(running, environment="blue")
        await blue.apply_stack(stack())
        assert await client.stacks() == []
        error = await raised(client.remove_environment("blue"))
        assert isinstance(error, Conflict)
        assert "shop" in error.message
        await client.create_environment("green")
        await client.remove_environment("green")
        assert [one.name for one in await client.environments()] == ["blue", "default"]
        await blue.close()

    play(tmp_path, scene)


def test_a_server_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        nowhere = Client(Endpoint(server="https://127.0.0.1:1", ca=running.ca))
        error = await raised(nowhere.ping())
        assert isinstance(error, Transient)
        assert "127.0.0.1:1" in error.message

    play(tmp_path, scene)
