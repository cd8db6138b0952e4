"""What registries are shown: what the client says, else what its environment is logged in with."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from paddock.gateway.call import Call
from paddock.gateway.head import Headers

AUTH, CONFIG = "X-Registry-Auth", "X-Registry-Config"
_WAYS = ("username", "identitytoken", "registrytoken", "auth")


def auth_for(call: Call, image: str) -> Headers:
    """For pulls, pushes and questions about one image."""
    said = decoded(call.head.header(AUTH))
    if any(said.get(way) for way in _WAYS):
        return ()
    kept = call.cluster.images.auth(call.environment, image)
    return ((AUTH, kept),) if kept else ()


def auths_for_build(call: Call) -> Headers:
    """The client's own go before those that are kept."""
    kept: dict[str, Any] = dict(call.cluster.images.auths(call.environment))
    if not kept:
        return ()
    said = {address: auth for address, auth in decoded(call.head.header(CONFIG)).items() if isinstance(auth, dict)}
    both = {**kept, **{address: auth for address, auth in said.items() if any(auth.get(way) for way in _WAYS)}}
    return ((CONFIG, base64.urlsafe_b64encode(msgspec.json.encode(both)).decode()),)


def decoded(header: str) -> dict[str, Any]:
    """{} for what cannot be read: engines take that for no credentials too."""
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4))) if header else {}
    except (msgspec.DecodeError, binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
