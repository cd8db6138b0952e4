"""A frozen, versioned view of all objects, with the indexes deciders need.

Tables are persistent maps: `with_changes` costs what the change costs, and every snapshot ever taken stays true. Their
iteration order means nothing and differs from run to run: whoever iterates for a decision sorts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

import msgspec
from immutables import Map

from paddock.model.changes import Change, Delete
from paddock.model.errors import Conflict
from paddock.model.objects import (
    KINDS,
    AnyObject,
    Environment,
    HostId,
    NetworkId,
    Object,
    Revision,
    Service,
    ServiceId,
    StackId,
    Unit,
    kind_of,
)

T = TypeVar("T", bound=Object)
Table = Map[str, Any]
_EMPTY: Table = Map()

_Keys = Callable[[Any], tuple[str, ...]]
_INDEXES: dict[str, tuple[tuple[str, _Keys], ...]] = {
    "unit": (
        ("unit.service", lambda unit: (unit.service,)),
        ("unit.host", lambda unit: (unit.host,) if unit.host else ()),
        ("unit.unplaced", lambda unit: (unit.environment,) if unit.state == 0 else ()),
        ("unit.network", lambda unit: tuple(unit.addresses)),
        ("unit.name", lambda unit: (f"{unit.environment}/{unit.name}",)),
    ),
    "service": (
        ("service.stack", lambda service: (service.stack,)),
        ("service.name", lambda service: (f"{service.environment}/{service.stack_name}/{service.name}",)),
    ),
    "revision": (("revision.service", lambda revision: (revision.service,)),),
    **{
        kind: ((f"{kind}.name", lambda thing: (f"{thing.environment}/{thing.name}",)),)
        for kind in ("host", "stack", "network", "volume", "file")
    },
    "environment": (("environment.name", lambda environment: (environment.name,)),),
}


class Snapshot:
    """Read-only. Made by `Snapshot.empty()` and `with_changes`, or `Snapshot.of(objects)` in tests."""

    __slots__ = ("_indexes", "_tables", "version")

    def __init__(self, version: int, tables: Map[str, Table], indexes: Map[str, Table]) -> None:
        self.version = version
        self._tables = tables
        self._indexes = indexes

    @staticmethod
    def empty() -> Snapshot:
        names = [name for entries in _INDEXES.values() for name, _ in entries]
        return Snapshot(0, Map({kind_of(kind): _EMPTY for kind in KINDS}), Map(dict.fromkeys(names, _EMPTY)))

    @staticmethod
    def of(objects: Iterable[AnyObject], version: int = 1) -> Snapshot:
        """Objects are taken as they are, whatever version they carry."""
        return Snapshot.empty()._replaced([(thing, thing) for thing in objects], version)

    # Tables and look-ups

    def table(self, kind: type[T]) -> Mapping[str, T]:
        return cast(Mapping[str, T], self._tables[kind_of(kind)])

    def get(self, kind: type[T], id: str) -> T | None:
        return cast("T | None", self._tables[kind_of(kind)].get(id))

    def named(self, kind: type[T], environment: str, name: str) -> T | None:
        """By name in an environment; services are named `stack/service`. At most one is there (`model.check`)."""
        found = self._indexes[f"{kind_of(kind)}.name"].get(f"{environment}/{name}", _EMPTY)
        return cast("T | None", next(iter(found.values()), None))

    def environment_named(self, name: str) -> Environment | None:
        found = self._indexes["environment.name"].get(name, _EMPTY)
        return cast("Environment | None", next(iter(found.values()), None))

    # By reference. Each answer is sorted, so deciding over it is deterministic.

    def units_of_service(self, service: ServiceId) -> list[Unit]:
        """Sorted by slot, then generation."""
        found = cast(Iterable[Unit], self._indexes["unit.service"].get(service, _EMPTY).values())
        return sorted(found, key=lambda unit: (unit.slot, unit.generation))

    def units_on_host(self, host: HostId) -> list[Unit]:
        return self._sorted("unit.host", host)

    def unplaced_units(self, environment: str) -> list[Unit]:
        """Units in state NEW."""
        return self._sorted("unit.unplaced", environment)

    def units_on_network(self, network: NetworkId) -> list[Unit]:
        return self._sorted("unit.network", network)

    def units_named(self, environment: str, name: str) -> list[Unit]:
        """All generations that carry the name, oldest first."""
        found: list[Unit] = self._sorted("unit.name", f"{environment}/{name}")
        return sorted(found, key=lambda unit: (unit.service, unit.slot, unit.generation))

    def services_of_stack(self, stack: StackId) -> list[Service]:
        return self._sorted("service.stack", stack)

    def revisions_of_service(self, service: ServiceId) -> list[Revision]:
        return self._sorted("revision.service", service)

    def in_environment(self, kind: type[T], environment: str) -> list[T]:
        """Every object of the kind in the environment, sorted by id."""
        things = [thing for thing in self.table(kind).values() if getattr(thing, "environment", "") == environment]
        return sorted(things, key=lambda thing: thing.id)

    def _sorted(self, index: str, key: str) -> list[Any]:
        return [thing for _, thing in sorted(self._indexes[index].get(key, _EMPTY).items())]

    # Making the next one

    def with_changes(self, changes: Iterable[Change], version: int | None = None) -> Snapshot:
        """The snapshot after `changes`; objects put carry `version` (default: the next one). Raises `Conflict` when an
        object is not at the version the change was made from; the snapshot itself never changes.
        """
        number = self.version + 1 if version is None else version
        replacements: list[tuple[Object, Object | None]] = []
        written: dict[tuple[str, str], Object | None] = {}
        for change in changes:
            thing: Object = change.object
            key = (kind_of(thing), thing.id)
            before = written[key] if key in written else self._tables[key[0]].get(thing.id)
            self._expect(thing, before, first=key not in written)
            after = None if isinstance(change, Delete) else msgspec.structs.replace(thing, version=number)
            written[key] = after
            replacements.append((thing, after))
        return self._replaced(replacements, number)

    @staticmethod
    def _expect(thing: Object, before: Object | None, *, first: bool) -> None:
        at = before.version if before is not None else 0
        if first and at != thing.version:
            raise Conflict(f"{kind_of(thing)} {thing.id} is at version {at}, not {thing.version}", hint="read it again")

    def _replaced(self, replacements: Iterable[tuple[Object, Object | None]], version: int) -> Snapshot:
        touched: dict[str, dict[str, Object | None]] = {}
        for thing, after in replacements:
            touched.setdefault(kind_of(thing), {})[thing.id] = after
        tables, indexes = self._tables, self._indexes
        for kind, entries in touched.items():
            before = tables[kind]
            tables = tables.set(kind, _merged(before, entries))
            for name, keys in _INDEXES.get(kind, ()):
                moves = list(_moves(before, entries, keys))
                indexes = indexes.set(name, _reindexed(indexes[name], moves))
        return Snapshot(version, tables, indexes)


def _merged(table: Table, entries: Mapping[str, Object | None]) -> Table:
    mutation = table.mutate()
    for id, thing in entries.items():
        if thing is not None:
            mutation[id] = thing
        else:
            mutation.pop(id, None)
    return mutation.finish()


def _moves(before: Table, entries: Mapping[str, Object | None], keys: _Keys) -> Iterator[tuple[str, str, Any]]:
    """(index key, id, object or None to take it out)."""
    for id, after in entries.items():
        old = before.get(id)
        new_keys = keys(after) if after is not None else ()
        if old is not None:
            yield from ((key, id, None) for key in keys(old) if key not in new_keys)
        yield from ((key, id, after) for key in new_keys)


def _reindexed(index: Table, moves: list[tuple[str, str, Any]]) -> Table:
    by_key: dict[str, dict[str, Object | None]] = {}
    for key, id, thing in moves:
        by_key.setdefault(key, {})[id] = thing
    mutation = index.mutate()
    for key, entries in by_key.items():
        merged = _merged(mutation.get(key, _EMPTY), entries)
        if len(merged):
            mutation[key] = merged
        else:
            mutation.pop(key, None)
    return mutation.finish()
