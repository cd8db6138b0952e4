"""Contents of secrets, closed in the store and opened only for a host that needs them."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paddock.model.errors import Broken
from paddock.model.objects import File
from paddock.server.authority import write_private
from paddock.world.world import World

_NONCE_BYTES = 12


class Sealer:
    """AES-256-GCM under the server's key; the file's id is bound in, so one sealed content cannot pass for another."""

    def __init__(self, key: bytes, world: World) -> None:
        self._cipher = AESGCM(key)
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

    def seal(self, file_id: str, content: bytes) -> bytes:
        nonce = bytes.fromhex(self._world.chance.hex(2 * _NONCE_BYTES))
        return nonce + self._cipher.encrypt(nonce, content, file_id.encode())

    def unseal(self, file: File) -> bytes:
        """Configs are kept as they are."""
        if file.purpose != "secret":
            return file.sealed
        nonce, body = file.sealed[:_NONCE_BYTES], file.sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, body, file.id.encode())
        except (InvalidTag, ValueError) as error:
            raise Broken(
                f"secret {file.name} cannot be opened with this server's key",
                hint="the sealing key and the database must come from the same backup",
            ) from error
