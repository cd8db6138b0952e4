"""How a host becomes one of ours: a single-use token, a certificate request, a name."""

from __future__ import annotations

import re

import msgspec

from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict, Forbidden, UserError
from paddock.model.objects import Environment, Host, JoinToken
from paddock.model.snapshot import Snapshot
from paddock.server.auth import hash_secret, same_secret
from paddock.server.authority import Authority
from paddock.server.environments import check_labels
from paddock.wire.api import Joined, JoinRequest
from paddock.world.world import World

LONGEST_TTL_S = 30 * 86400.0
KEPT_AFTER_END_S = 86400.0
"""So long can a late user of a token still be told what became of it."""
MOST_TOKENS = 10_000
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def new_token(
    snapshot: Snapshot, environment: Environment, ttl_s: float, world: World
) -> tuple[tuple[Change, ...], tuple[JoinToken, str]]:
    """-> changes, (token, its secret). Tokens that ended long ago go at the same time."""
    if not 1.0 <= ttl_s <= LONGEST_TTL_S:
        raise UserError(f"ttl_s must be between 1 and {LONGEST_TTL_S:.0f} seconds")
    now_s = world.now_s()
    tokens = [token for _, token in sorted(snapshot.table(JoinToken).items())]
    ended: list[Change] = [
        Delete(object=token, reason="token ended") for token in tokens if token.expires_at_s + KEPT_AFTER_END_S < now_s
    ]
    if len(tokens) - len(ended) >= MOST_TOKENS:
        raise Conflict(f"there are {MOST_TOKENS} join tokens already", hint="wait until some expire")
    number = world.chance.hex(12)
    secret = f"{number}.{world.chance.token(32)}"
    token = JoinToken(
        id=f"join-{number}",
        environment=environment.id,
        secret_hash=hash_secret(secret),
        created_at_s=now_s,
        expires_at_s=now_s + ttl_s,
    )
    return (Put(object=token, reason="join token made"), *ended), (token, secret)


def join(
    snapshot: Snapshot, request: JoinRequest, world: World, authority: Authority
) -> tuple[tuple[Change, ...], Joined]:
    """The caller fills in the port. The token is used up in the same commit that makes the host."""
    token = _usable_token(snapshot, request.secret, world.now_s())
    environment = snapshot.get(Environment, token.environment)
    if environment is None:
        raise Forbidden("the environment this token was made for has been removed", hint="make a new token")
    check_labels(request.labels)
    host_id = world.new_id("host")
    certificate, fingerprint = authority.sign_host(request.csr, host_id, world.now_s())
    host = Host(
        id=host_id,
        environment=environment.id,
        name=free_name(snapshot, environment.id, request.name),
        labels=request.labels,
        since_s=world.now_s(),
        certificate_fingerprint=fingerprint,
        facts=request.facts,
        joined_at_s=world.now_s(),
    )
    used = msgspec.structs.replace(token, used_by=host.name)
    changes = (
        Put(object=used, reason=f"used by {host.name}"),
        Put(object=host, reason=f"{host.name} joined"),
    )
    joined = Joined(
        host=host.id,
        name=host.name,
        environment=environment.name,
        certificate=certificate,
        ca=authority.pem,
        agents_port=0,
    )
    return changes, joined


def _usable_token(snapshot: Snapshot, secret: str, now_s: float) -> JoinToken:
    token = snapshot.get(JoinToken, f"join-{secret.partition('.')[0]}")
    if token is None or not same_secret(secret, token.secret_hash):
        raise TokenUnknown(
            "this join token was not made by this server, or ended long ago",
            hint="make one on this server with `paddock hosts add`",
        )
    if token.used_by:
        raise TokenUsed(
            f"this join token was already used, by host {token.used_by}",
            hint="each token is good for one host: make another with `paddock hosts add`",
        )
    if now_s >= token.expires_at_s:
        raise TokenExpired(
            f"this join token expired {now_s - token.expires_at_s:.0f} s ago",
            hint="make another with `paddock hosts add`",
        )
    return token


class TokenUnknown(Forbidden):
    code = "token_unknown"


class TokenUsed(Forbidden):
    code = "token_used"


class TokenExpired(Forbidden):
    code = "token_expired"


def free_name(snapshot: Snapshot, environment: str, wished: str) -> str:
    """`h1`, else `h1-2`, `h1-3`, …"""
    name = wished.strip().lower()
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{wished[:80]!r} cannot be a host name",
            hint="letters, digits, dots and dashes, at most 63, beginning and ending with a letter or digit",
        )
    if snapshot.named(Host, environment, name) is None:
        return name
    number = 2
    while snapshot.named(Host, environment, f"{name}-{number}") is not None:
        number += 1
    return f"{name}-{number}"
