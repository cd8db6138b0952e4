"""What registries are shown: the client's own first, else what the environment is logged in with."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from paddock.gateway.call import Call
from paddock.gateway.credentials import AUTH, CONFIG, auth_for, auths_for_build, decoded

KEPT = {"registry.example.com": {"username": "kept", "password": "p"}}


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def call(headers: dict[str, str]) -> Call:
    images = SimpleNamespace(auth=lambda environment, image: f"kept for {image}", auths=lambda environment: KEPT)
    head = SimpleNamespace(header=lambda name: headers.get(name, ""))
    return cast(Call, SimpleNamespace(environment="env", head=head, cluster=SimpleNamespace(images=images)))


@pytest.mark.parametrize("said", ["", "e30=", "e30", "%%", encoded({"username": ""}), encoded([1])])
def test_who_says_nothing_gets_what_is_kept(said: str) -> None:
    assert auth_for(call({AUTH: said}), "a/b") == ((AUTH, "kept for a/b"),)


@pytest.mark.parametrize("said", [{"username": "me", "password": "x"}, {"identitytoken": "t"}, {"registrytoken": "t"}])
def test_who_says_something_is_left_alone(said: dict[str, str]) -> None:
    assert auth_for(call({AUTH: encoded(said).rstrip("=")}), "a/b") == ()


def test_a_build_gets_both() -> None:
    own = {"registry.example.com": {"username": "me"}, "other": {"username": "you"}, "none": {}}
    ((name, value),) = auths_for_build(call({CONFIG: encoded(own)}))
    assert name == CONFIG
    assert decoded(value) == {"registry.example.com": {"username": "me"}, "other": {"username": "you"}}
    ((_, value),) = auths_for_build(call({}))
    assert decoded(value) == KEPT
