"""Logins at registries, kept sealed per environment: whoever heals at night pulls with them too."""

from __future__ import annotations

import base64

import msgspec

from paddock.core.images.reference import DOCKER_HUB, registry_named, registry_of
from paddock.core.stacks import Sealed
from paddock.model.changes import Delete, Put
from paddock.model.errors import NotFound, Refused, UserError
from paddock.model.objects import Environment, Registry
from paddock.model.snapshot import Snapshot
from paddock.server.committing import Decision
from paddock.server.sealing import Sealer
from paddock.store.store import Store
from paddock.wire.api import RegistryLogin, RegistryView
from paddock.wire.engine_errors import EngineError
from paddock.wire.engine_http import EngineHttp

MOST_LOGINS = 200
MOST_PASSWORD_BYTES = 64 * 1024
CHECK_TIMEOUT_S = 60.0
_HUB_SERVER = "https://index.docker.io/v1/"


class Registries:
    """What registries want to see, for those who pull on behalf of an environment."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    def auth(self, environment: str, image: str) -> str:
        """The value of `X-Registry-Auth` for that image; "" where nobody has logged in."""
        login = self._store.snapshot().named(Registry, environment, registry_of(image))
        if login is None:
            return ""
        return base64.urlsafe_b64encode(msgspec.json.encode(self._shown(login))).decode()

    def auths(self, environment: str) -> dict[str, dict[str, str]]:
        """All of them, as `X-Registry-Config` has them."""
        logins = sorted(self._store.snapshot().in_environment(Registry, environment), key=lambda login: login.name)
        return {_server(login.name): self._shown(login) for login in logins}

    def _shown(self, login: Registry) -> dict[str, str]:
        return credentials(login.name, login.username, self._sealer.unseal_login(login).decode())


def credentials(address: str, username: str, password: str) -> dict[str, str]:
    """As the engine's API takes them."""
    return {"username": username, "password": password, "serveraddress": _server(address)}


def _server(address: str) -> str:
    return _HUB_SERVER if address == DOCKER_HUB else address


def checked(login: RegistryLogin) -> RegistryLogin:
    """With the address in its one form. Raises `UserError`."""
    address = registry_named(login.address or DOCKER_HUB)
    if not address or address != address.strip() or any(letter.isspace() for letter in address):
        raise UserError(f"{login.address!r} is not a registry's address", hint="for example registry.example.com:5000")
    if not login.username or not login.password:
        raise UserError("a login needs a user and a password")
    if len(login.password.encode()) > MOST_PASSWORD_BYTES:
        raise UserError(f"the password is longer than {MOST_PASSWORD_BYTES} bytes")
    return msgspec.structs.replace(login, address=address)


async def try_login(engine: EngineHttp, login: RegistryLogin) -> None:
    """Raises `Refused` with what the registry, or the engine that asked it, says."""
    body = credentials(login.address, login.username, login.password)
    try:
        await engine.call("POST", "/auth", body=body, timeout_s=CHECK_TIMEOUT_S)
    except EngineError as error:
        wrong = error.status in (401, 403) or "unauthorized" in error.message.lower()
        hint = "check user and password" if wrong else "can the hosts reach it? --no-check keeps the login all the same"
        raise Refused(f"{login.address} does not let {login.username} in: {error.message}", hint=hint) from error


def log_in(
    snapshot: Snapshot, environment: Environment, login: RegistryLogin, sealed: Sealed, now_s: float
) -> Decision[RegistryView]:
    known = snapshot.named(Registry, environment.id, login.address)
    if known is None and len(snapshot.in_environment(Registry, environment.id)) >= MOST_LOGINS:
        raise Refused(f"environment {environment.name} is logged in at {MOST_LOGINS} registries already")
    made = Registry(
        id=f"registry.{environment.id}.{login.address}", version=known.version if known is not None else 0,
        environment=environment.id, name=login.address, username=login.username, sealed=sealed.content,
        digest=sealed.digest, created_at_s=now_s,
    )  # fmt: skip
    return (Put(object=made, reason=f"{login.username} is logged in at {login.address}"),), registry_view(made)


def log_out(snapshot: Snapshot, environment: Environment, address: str) -> Decision[None]:
    known = snapshot.named(Registry, environment.id, registry_named(address))
    if known is None:
        raise NotFound(f"nobody is logged in at {address} in {environment.name}", hint="see `paddock registry ls`")
    return (Delete(object=known, reason=f"logged out of {known.name}"),), None


def registry_view(login: Registry) -> RegistryView:
    return RegistryView(address=login.name, username=login.username, created_at_s=login.created_at_s)
