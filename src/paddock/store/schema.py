"""The SQLite file: its tables, how older ones become this one, and what makes us refuse to read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import apsw
import msgspec

from paddock.model.errors import Broken

APPLICATION_ID = 0x5061646B  # "Padk"
SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE objects (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, data BLOB NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE commits (
    version INTEGER PRIMARY KEY, at_s REAL NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, floor INTEGER NOT NULL, objects INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, 0, 0);
"""

MIGRATIONS: dict[int, Callable[[apsw.Connection], None]] = {}
"""From a schema version to the next one. Each runs in the one transaction that brings a file up to date."""


def create(connection: apsw.Connection) -> None:
    connection.execute(f"BEGIN IMMEDIATE; {_TABLES}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={SCHEMA_VERSION}; COMMIT")


def bring_up_to_date(connection: apsw.Connection, where: str) -> None:
    """Raises `Broken` for a file that is not ours or is newer than we are."""
    if connection.pragma("application_id") != APPLICATION_ID:
        raise Broken(f"{where} is a database, but not one of Paddock's", hint="check the data directory")
    found = connection.pragma("user_version")
    if found > SCHEMA_VERSION:
        raise Broken(
            f"{where} was written by a newer Paddock (its schema is {found}, ours {SCHEMA_VERSION})",
            hint="install that version again, or restore a backup made by this one: paddock server restore BACKUP",
        )
    if found == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    for version in range(found, SCHEMA_VERSION):
        if version not in MIGRATIONS:
            raise Broken(f"{where} has schema {version}, which this Paddock cannot read any more")
        MIGRATIONS[version](connection)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}; COMMIT")


def damage(connection: apsw.Connection) -> list[str]:
    """What SQLite itself finds wrong; empty when nothing is."""
    found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(10)")]
    return [] if found == ["ok"] else found


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """`commits` holds every version after `floor` up to `version`; `objects` has so many rows."""

    version: int
    floor: int
    objects: int


def head(connection: apsw.Connection) -> Head:
    rows = cast(list[tuple[int, int, int]], connection.execute("SELECT version, floor, objects FROM head").fetchall())
    if len(rows) != 1:
        raise apsw.CorruptError(f"table head has {len(rows)} rows")
    version, floor, objects = rows[0]
    return Head(version=version, floor=floor, objects=objects)
