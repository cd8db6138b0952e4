"""Secrets at rest in the agent's data directory: AES-256-GCM with a key of the host's own."""

from __future__ import annotations

import os
from pathlib import Path

from paddock.model.errors import Broken
from paddock.world.world import World

KEY_BYTES = 32
NONCE_BYTES = 12


class Sealing:
    """The key is made on first use and never leaves the host."""

    def __init__(self, key_file: Path, world: World) -> None:
        self._world = world
        self._key_file = key_file
        self._key: bytes | None = None

    def prepare(self) -> None:
        """Makes the key when there is none, before a session that would wait for a busy disk."""
        self._load()

    def seal(self, content: bytes) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._chance(NONCE_BYTES)
        return nonce + AESGCM(self._load()).encrypt(nonce, content, None)

    def open(self, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._load()).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None)
        except InvalidTag as error:
            raise Broken(
                f"a secret in the ledger was sealed with another key than {self._key_file}",
                hint="put the key back, or move the ledger away: the server sends the assignment again",
            ) from error

    def _chance(self, count: int) -> bytes:
        return bytes.fromhex(self._world.chance.hex(2 * count))

    def _load(self) -> bytes:
        if self._key is None:
            if not self._key_file.exists():
                write_private(self._key_file, self._chance(KEY_BYTES))
            self._key = self._key_file.read_bytes()
            if len(self._key) != KEY_BYTES:
                raise Broken(f"{self._key_file} is not a key of {KEY_BYTES} bytes", hint="put the right file back")
        return self._key


def write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, for root's eyes only, and durable."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
