"""Logins at registries: kept sealed, shown without passwords, found for the images they are for."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from paddock.client import Client, Endpoint
from paddock.core.images.reference import registry_named, registry_of
from paddock.model.errors import NotFound, UserError
from paddock.wire.api import RegistryLogin
from serving import config_in, running_server

SECRET = "not-to-be-seen-4711"


def login(address: str, **fields: str) -> RegistryLogin:
    given = {"username": "ci", "password": SECRET} | fields
    return RegistryLogin(address=address, check=False, **given)


def test_a_login_from_its_beginning_to_its_end(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with running_server(config_in(tmp_path)) as server:
            endpoint = Endpoint(server=server.address, ca=server.ca, key=server.admin_key or "")
            async with Client(endpoint) as client:
                await client.log_in(login("https://registry.example.com:5000/v2/"))
                await client.log_in(login("registry.example.com:5000", username="ci2"))
                await client.log_in(login("index.docker.io"))
                views = await client.registries()
                assert [(view.address, view.username) for view in views] == [
                    ("docker.io", "ci"), ("registry.example.com:5000", "ci2"),
                ]  # fmt: skip
                home = server.plane.store.snapshot().environment_named("default")
                assert home is not None
                shown = server.plane.registries.auth(home.id, "registry.example.com:5000/a/b:1")
                assert json.loads(base64.urlsafe_b64decode(shown)) == {
                    "username": "ci2", "password": SECRET, "serveraddress": "registry.example.com:5000",
                }  # fmt: skip
                assert server.plane.registries.auth(home.id, "other.example.com/a") == ""
                assert list(server.plane.registries.auths(home.id)) == [
                    "https://index.docker.io/v1/", "registry.example.com:5000",
                ]  # fmt: skip
                events = [event async for event in client.events(since=0)]
                assert not [event for event in events if SECRET in repr(event)]
                await client.log_out("registry.example.com:5000")
                with pytest.raises(NotFound, match=r"registry\.example\.com"):
                    await client.log_out("registry.example.com:5000")
                for wrong in (login("a b"), login("r.example.com", password=""), login("r.example.com", username="")):
                    with pytest.raises(UserError):
                        await client.log_in(wrong)

    asyncio.run(scenario())
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert not kept
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("redis", "docker.io"), ("a/b:1", "docker.io"), ("docker.io/a/b", "docker.io"), ("localhost/a", "localhost"),
        ("r.example.com/a/b@sha256:0", "r.example.com"), ("R:5000/a", "r:5000"), ("index.docker.io/a/b", "docker.io"),
    ],
)  # fmt: skip
def test_where_an_image_comes_from(image: str, registry: str) -> None:
    assert registry_of(image) == registry
    assert registry_named(registry) == registry
