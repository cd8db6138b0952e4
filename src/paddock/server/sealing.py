"""Contents of secrets, closed in the store and opened only for a host that needs them."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paddock.core.stacks import Sealed, SealedFiles
from paddock.model.errors import Broken
from paddock.model.objects import File, Registry
from paddock.model.specs import FileSpec, StackSpec
from paddock.server.authority import write_private
from paddock.world.world import World

_NONCE_BYTES = 12
Purpose = Literal["secret", "config"]


class Sealer:
    """AES-256-GCM under the server's key. What a content is for is bound in, so that one cannot pass for another."""

    def __init__(self, key: bytes, world: World) -> None:
        self._cipher = AESGCM(key)
        self._digest_key = hmac.digest(key, b"digests of secrets", "sha256")
        self._world = world

    @staticmethod
    def open(path: Path, world: World) -> Sealer:
        """Makes the key on first use. Losing it loses every secret: backups contain it."""
        if not path.exists():
            write_private(path, bytes.fromhex(world.chance.hex(64)))
        key = path.read_bytes()
        if len(key) != 32:
            raise Broken(f"{path} is not a sealing key (32 bytes)", hint="restore the data directory from a backup")
        return Sealer(key, world)

    def seal(self, environment: str, purpose: Purpose, content: bytes) -> Sealed:
        """A config is kept as it is. A secret's digest is keyed: nobody can try out guesses on it."""
        if purpose == "config":
            return Sealed(content, hashlib.sha256(content).hexdigest())
        digest = hmac.digest(self._digest_key, content, "sha256").hex()
        nonce = bytes.fromhex(self._world.chance.hex(2 * _NONCE_BYTES))
        return Sealed(nonce + self._cipher.encrypt(nonce, content, _bound(environment, digest)), digest)

    def seal_all(self, environment: str, spec: StackSpec) -> SealedFiles:
        """The stack's secrets and configs; external ones have no content of ours."""
        tables: tuple[tuple[Purpose, dict[str, FileSpec]], ...] = (("secret", spec.secrets), ("config", spec.configs))
        return {
            (purpose, key): self.seal(environment, purpose, file.content)
            for purpose, table in tables
            for key, file in table.items()
            if file.content is not None and not file.external
        }

    def unseal(self, file: File) -> bytes:
        """Raises `Broken` when it was not sealed by this key for this."""
        if file.purpose == "config":
            return file.sealed
        return self._opened(file.environment, file.digest, file.sealed, f"secret {file.name}")

    def unseal_login(self, login: Registry) -> bytes:
        """Raises `Broken` as `unseal` does."""
        return self._opened(login.environment, login.digest, login.sealed, f"the login at {login.name}")

    def _opened(self, environment: str, digest: str, sealed: bytes, what: str) -> bytes:
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, body, _bound(environment, digest))
        except (InvalidTag, ValueError) as error:
            raise Broken(
                f"{what} cannot be opened with this server's key",
                hint="the sealing key and the database must come from the same backup",
            ) from error


def _bound(environment: str, digest: str) -> bytes:
    return f"{environment}/{digest}".encode()
