"""Backing up and restoring a server: its database and the keys it cannot be without, in one archive."""

from __future__ import annotations

import asyncio
import os
import shutil
import tarfile
from pathlib import Path

from paddock.model.errors import Broken, NotFound
from paddock.server.authority import write_private
from paddock.store.restore import restore_sqlite
from paddock.store.sqlite import open_sqlite
from paddock.store.store import Store
from paddock.world.world import World

DATABASE = "paddock.db"
KEYS = ("ca.key", "ca.crt", "sealing.key")
_LARGEST_KEY = 65536


async def write_backup(store: Store, data: Path, archive: Path) -> int:
    """A consistent archive of an open store at `archive`, readable by us only. -> its version. The server goes on."""
    copy = archive.with_name(archive.name + ".db")
    try:
        version = await store.backup(copy)
        await asyncio.to_thread(_pack, data, copy, archive)
    finally:
        copy.unlink(missing_ok=True)
    return version


async def backup_stopped(data: Path, archive: Path, world: World) -> int:
    """For a server that is not running; raises `Refused` when it is (ask its API for `/v1/backup` then)."""
    if not (data / DATABASE).exists():
        raise NotFound(f"there is no server data in {data}")
    store = await open_sqlite(data / DATABASE, world)
    try:
        return await write_backup(store, data, archive)
    finally:
        await store.close()


def _pack(data: Path, copy: Path, archive: Path) -> None:
    partial = archive.with_name(archive.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        tar.add(copy, arcname=DATABASE)
        for name in KEYS:
            tar.add(data / name, arcname=name)
        tar.close()
        file.flush()
        os.fsync(descriptor)
    partial.replace(archive)


def restore_backup(archive: Path, data: Path) -> int:
    """Puts a backup in the place of the data directory's database and keys. -> the version it goes on from.

    The database that was there is kept beside it. Raises `NotFound`, `Refused` while a server runs on it, `Broken`
    when the archive is damaged; nothing has been changed then.
    """
    if not archive.exists():
        raise NotFound(f"there is no backup {archive}")
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    unpacked = data / ".restoring"
    try:
        keys = _unpack(archive, unpacked)
        version = restore_sqlite(unpacked, data / DATABASE)
    finally:
        unpacked.unlink(missing_ok=True)
    for name, content in keys.items():
        write_private(data / name, content, mode=0o644 if name.endswith(".crt") else 0o600)
    for name in ("server.crt", "server.key"):
        (data / name).unlink(missing_ok=True)
    return version


def _unpack(archive: Path, database: Path) -> dict[str, bytes]:
    """Writes the database to `database`; -> the keys. Only files of the names we know are looked at."""
    keys: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for name in (DATABASE, *KEYS):
                source = tar.extractfile(name)
                if source is None:
                    raise Broken(f"{archive} is not a backup: {name} in it is no file")
                if name != DATABASE:
                    keys[name] = source.read(_LARGEST_KEY)
                    continue
                with os.fdopen(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
                    shutil.copyfileobj(source, target)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise Broken(f"{archive} is not a whole backup: {error}", hint="try an older one") from error
    return keys
