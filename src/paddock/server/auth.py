"""API keys: `paddock_<id>_<secret>`. The id finds the object, the secret is compared by its hash."""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict, Forbidden, NotFound, UserError
from paddock.model.objects import ApiKey, Environment
from paddock.model.snapshot import Snapshot
from paddock.wire.api import ApiKeyView, CreatedApiKey, NewApiKey
from paddock.world.world import World

PREFIX = "paddock"
MOST_KEYS = 10_000
LONGEST_KEY = 200


class Unauthorized(UserError):
    code = "unauthorized"
    status = 401


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose key it is. `environment` "" may do everything; `privileged`: containers may reach into their hosts."""

    key: str
    name: str
    environment: str
    privileged: bool = True

    def demand_admin(self) -> None:
        if self.environment:
            raise Forbidden(
                f"key {self.name!r} belongs to one environment and may not do this",
                hint="use a key that was made without --environment",
            )


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def same_secret(secret: str, secret_hash: str) -> bool:
    return hmac.compare_digest(hash_secret(secret).encode(), secret_hash.encode())


def caller_of(authorization: str, snapshot: Snapshot, now_s: float) -> Caller:
    """Raises `Unauthorized`. An unknown key and a wrong secret are one and the same answer."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthorized("an API key is needed", hint="send `Authorization: Bearer KEY`")
    parts = text.strip().split("_", 2)
    known = snapshot.get(ApiKey, f"key-{parts[1]}") if len(text) < LONGEST_KEY and len(parts) == 3 else None
    matches = same_secret(parts[-1], known.secret_hash if known is not None else hash_secret("nobody's"))
    if known is None or not matches or parts[0] != PREFIX:
        raise Unauthorized("this API key is not known here", hint="check the key and the server it was made on")
    if known.expires_at_s and now_s >= known.expires_at_s:
        raise Unauthorized(f"API key {known.name!r} has expired", hint="make a new one")
    return Caller(key=known.id, name=known.name, environment=known.environment, privileged=known.privileged)


def environment_for(caller: Caller, snapshot: Snapshot, name: str) -> Environment:
    """A key of another environment learns nothing: its answer is the same whether `name` exists or not."""
    if caller.environment:
        own = snapshot.get(Environment, caller.environment)
        if own is None or own.name != name:
            raise Forbidden(
                f"key {caller.name!r} has no access to environment {name!r}",
                hint=f"its own environment is {own.name!r}" if own is not None else "",
            )
        return own
    found = snapshot.environment_named(name)
    if found is None:
        raise NotFound(f"there is no environment {name!r}", hint="see `paddock environments`")
    return found


def new_key(snapshot: Snapshot, request: NewApiKey, world: World) -> tuple[tuple[Change, ...], CreatedApiKey]:
    name = request.name.strip()
    if not name or len(name) > 100:
        raise UserError("a key needs a name of 1 to 100 characters")
    if request.ttl_s < 0:
        raise UserError("ttl_s must be 0 (never) or more")
    environment = ""
    if request.environment:
        found = snapshot.environment_named(request.environment)
        if found is None:
            raise NotFound(f"there is no environment {request.environment!r}")
        environment = found.id
    elif not request.privileged:
        raise UserError(
            "a key for all environments can make keys that reach into hosts", hint="give it one environment"
        )
    if len(snapshot.table(ApiKey)) >= MOST_KEYS:
        raise Conflict(f"there are {MOST_KEYS} keys already", hint="delete some")
    number, secret = world.chance.hex(12), world.chance.token(32)
    now_s = world.now_s()
    key = ApiKey(
        id=f"key-{number}",
        name=name,
        environment=environment,
        privileged=request.privileged,
        secret_hash=hash_secret(secret),
        created_at_s=now_s,
        expires_at_s=now_s + request.ttl_s if request.ttl_s else 0.0,
    )
    answer = CreatedApiKey(id=key.id, key=f"{PREFIX}_{number}_{secret}")
    return (Put(object=key, reason=f"key {name!r} made"),), answer


def delete_key(snapshot: Snapshot, id: str, caller: Caller) -> tuple[tuple[Change, ...], None]:
    found = snapshot.get(ApiKey, id)
    if found is None:
        raise NotFound(f"there is no API key {id!r}")
    if found.id == caller.key:
        raise Conflict("a key cannot delete itself", hint="use another key, so that you are not locked out")
    return (Delete(object=found, reason=f"key {found.name!r} deleted"),), None


def key_views(snapshot: Snapshot) -> list[ApiKeyView]:
    views = []
    for _, key in sorted(snapshot.table(ApiKey).items()):
        environment = snapshot.get(Environment, key.environment) if key.environment else None
        views.append(
            ApiKeyView(
                id=key.id,
                name=key.name,
                environment=environment.name if environment is not None else key.environment,
                created_at_s=key.created_at_s,
                expires_at_s=key.expires_at_s,
                privileged=key.privileged,
            )
        )
    return views
