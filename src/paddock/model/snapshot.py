"""A frozen, versioned view of all objects, with the indexes deciders need.

Tables are persistent maps: `with_changes` costs what the change costs, and every snapshot ever taken stays true. Their
iteration order means nothing and differs from run to run: whoever iterates for a decision sorts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from immutables import Map, MapMutation

from paddock.model.changes import Change, Delete, Put
from paddock.model.errors import Conflict
from paddock.model.objects import (
    KINDS,
    AnyObject,
    Environment,
    HostId,
    NetworkId,
    Object,
    Revision,
    RevisionId,
    Service,
    ServiceId,
    StackId,
    Unit,
    kind_of,
)

T = TypeVar("T", bound=Object)
Table = Map[str, Any]
_EMPTY: Table = Map()

ID_KEY_DIGITS = 4
"""Containers are found by so many first digits of their ids: of a million, some fifteen share them."""
_HEXADECIMAL = "0123456789abcdef"

_Keys = Callable[[Any], tuple[str, ...]]
_KIND = {kind: kind_of(kind) for kind in KINDS}


def _container_keys(unit: Unit) -> tuple[str, ...]:
    """The beginnings of its containers' ids, and names that are not the unit's own."""
    if not (unit.containers or unit.known_as):
        return ()
    keys = {unit.known_as[:ID_KEY_DIGITS]: None} if unit.known_as else {}
    for status in unit.containers:
        if status.id:
            keys[status.id[:ID_KEY_DIGITS]] = None
        if status.name and status.name != unit.name:
            keys[f"{unit.environment}/{status.name}"] = None
    return tuple(keys)


# Indexes lead from a key to ids, not to objects: a change that moves nothing between keys leaves them untouched.
# References, which many objects share, keep their ids in a map; names, which few do, in a tuple.

_REFERENCES: dict[str, tuple[tuple[str, _Keys], ...]] = {
    "unit": (
        ("unit.service", lambda unit: (unit.service,)),
        ("unit.host", lambda unit: (unit.host,) if unit.host else ()),
        ("unit.unplaced", lambda unit: (unit.environment,) if unit.state == 0 else ()),
        ("unit.network", lambda unit: tuple(unit.addresses)),
        ("unit.container", _container_keys),
    ),
    "service": (("service.stack", lambda service: (service.stack,)),),
    "revision": (("revision.service", lambda revision: (revision.service,)),),
}
_NAMES: dict[str, tuple[str, _Keys]] = {
    "unit": ("unit.name", lambda unit: (f"{unit.environment}/{unit.name}",)),
    "service": ("service.name", lambda service: (f"{service.environment}/{service.stack_name}/{service.name}",)),
    **{
        kind: (f"{kind}.name", lambda thing: (f"{thing.environment}/{thing.name}",))
        for kind in ("host", "stack", "network", "volume", "file", "registry")
    },
    "environment": ("environment.name", lambda environment: (environment.name,)),
}


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What live units take of one host. `publishing`: revisions that publish ports -> how many units of each."""

    units: int = 0
    cpu_milli: int = 0
    memory_bytes: int = 0
    publishing: dict[RevisionId, int] = {}


_USAGE = "host.usage"
_NOTHING = Usage()


class Snapshot:
    """Read-only. Made by `Snapshot.empty()` and `with_changes`, or `Snapshot.of(objects)` in tests."""

    __slots__ = ("_indexes", "_tables", "version")

    def __init__(self, version: int, tables: Map[str, Table], indexes: Map[str, Table]) -> None:
        self.version = version
        self._tables = tables
        self._indexes = indexes

    @staticmethod
    def empty() -> Snapshot:
        names = [name for entries in _REFERENCES.values() for name, _ in entries]
        names += [*(name for name, _ in _NAMES.values()), _USAGE]
        return Snapshot(0, Map(dict.fromkeys(_KIND.values(), _EMPTY)), Map(dict.fromkeys(names, _EMPTY)))

    @staticmethod
    def of(objects: Iterable[AnyObject], version: int = 1) -> Snapshot:
        """Objects are taken as they are, whatever version they carry."""
        return Snapshot.empty()._replaced([(thing, thing) for thing in objects], version)

    def __len__(self) -> int:
        """Objects of all kinds."""
        return sum(len(table) for table in self._tables.values())

    # Tables and look-ups

    def table(self, kind: type[T]) -> Mapping[str, T]:
        found: Mapping[str, T] = self._tables[_KIND[kind]]
        return found

    def get(self, kind: type[T], id: str) -> T | None:
        found: T | None = self._tables[_KIND[kind]].get(id)
        return found

    def named(self, kind: type[T], environment: str, name: str) -> T | None:
        """By name in an environment; services are named `stack/service`. At most one is there (`model.check`)."""
        return cast("T | None", next(iter(self._named(kind_of(kind), f"{environment}/{name}")), None))

    def environment_named(self, name: str) -> Environment | None:
        return cast("Environment | None", next(iter(self._named("environment", name)), None))

    # By reference. Each answer is sorted, so deciding over it is deterministic.

    def units_of_service(self, service: ServiceId) -> list[Unit]:
        """Sorted by slot, then generation."""
        found: list[Unit] = self._referring("unit.service", service)
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
        found: list[Unit] = self._named("unit", f"{environment}/{name}")
        return sorted(found, key=lambda unit: (unit.service, unit.slot, unit.generation))

    def units_with_container(self, environment: str, id: str) -> list[Unit]:
        """Units some container of which has, or had when it was first made, an id that begins so; sorted by id."""
        if len(id) >= ID_KEY_DIGITS:
            keys = [id[:ID_KEY_DIGITS]]
        elif id and all(digit in _HEXADECIMAL for digit in id):
            rest = itertools.product(_HEXADECIMAL, repeat=ID_KEY_DIGITS - len(id))
            keys = [id + "".join(digits) for digits in rest]
        else:
            return []
        found: dict[str, Unit] = {}
        for key in keys:
            for unit in self._referring("unit.container", key):
                ids = [unit.known_as, *(status.id for status in unit.containers)]
                if unit.environment == environment and any(one.startswith(id) for one in ids):
                    found[unit.id] = unit
        return [unit for _, unit in sorted(found.items())]

    def units_with_container_named(self, environment: str, name: str) -> list[Unit]:
        """Units one container of which has the name on its engine, where that is not the unit's own; sorted by id."""
        units: list[Unit] = self._sorted("unit.container", f"{environment}/{name}")
        return units

    def services_of_stack(self, stack: StackId) -> list[Service]:
        return self._sorted("service.stack", stack)

    def revisions_of_service(self, service: ServiceId) -> list[Revision]:
        return self._sorted("revision.service", service)

    def usage(self, host: HostId) -> Usage:
        """Kept with every change, so that it need not be summed up over all units."""
        return cast(Usage, self._indexes[_USAGE].get(host, _NOTHING))

    def in_environment(self, kind: type[T], environment: str) -> list[T]:
        """Every object of the kind in the environment, sorted by id."""
        things = [thing for thing in self.table(kind).values() if getattr(thing, "environment", "") == environment]
        return sorted(things, key=lambda thing: thing.id)

    def _sorted(self, index: str, key: str) -> list[Any]:
        return sorted(self._referring(index, key), key=lambda thing: thing.id)

    def _referring(self, index: str, key: str) -> list[Any]:
        table = self._tables[index.partition(".")[0]]
        return [table[id] for id in self._indexes[index].get(key, _EMPTY)]

    def _named(self, kind: str, name: str) -> list[Any]:
        table = self._tables[kind]
        return [table[id] for id in self._indexes[f"{kind}.name"].get(name, ())]

    # Making the next one

    def with_changes(self, changes: Iterable[Change], version: int | None = None) -> Snapshot:
        """The snapshot after `changes`; objects put carry `version` (default: the next one). Raises `Conflict` when an
        object is not at the version the change was made from; the snapshot itself never changes.
        """
        return self.changed(changes, self.version + 1 if version is None else version)[0]

    def changed(self, changes: Iterable[Change], version: int) -> tuple[Snapshot, tuple[Change, ...]]:
        """As `with_changes`, and the changes as written: what is put carries the new version."""
        replacements: list[tuple[Object, Object | None]] = []
        written: dict[tuple[str, str], Object | None] = {}
        done: list[Change] = []
        for change in changes:
            thing: Object = change.object
            key = (_KIND[type(thing)], thing.id)
            if key not in written:
                self._expect(thing, self._tables[key[0]].get(thing.id))
            after = None if isinstance(change, Delete) else msgspec.structs.replace(thing, version=version)
            written[key] = after
            replacements.append((thing, after))
            if after is None:
                done.append(change)
            else:
                put = Put(object=cast(AnyObject, after), reason=change.reason, created=thing.version == 0)
                done.append(put)
        return self._replaced(replacements, version), tuple(done)

    @staticmethod
    def _expect(thing: Object, before: Object | None) -> None:
        at = before.version if before is not None else 0
        if at != thing.version:
            raise Conflict(f"{kind_of(thing)} {thing.id} is at version {at}, not {thing.version}", hint="read it again")

    def _replaced(self, replacements: Iterable[tuple[Object, Object | None]], version: int) -> Snapshot:
        touched: dict[str, dict[str, Object | None]] = {}
        for thing, after in replacements:
            touched.setdefault(_KIND[type(thing)], {})[thing.id] = after
        tables, indexes = self._tables, self._indexes
        for kind, entries in touched.items():
            before = tables[kind]
            tables = tables.set(kind, _merged(before, entries))
            for name, keys in _REFERENCES.get(kind, ()):
                if moves := _moves(before, entries, keys):
                    indexes = indexes.set(name, _with_references(indexes[name], moves))
            if kind in _NAMES:
                name, keys = _NAMES[kind]
                if moves := _moves(before, entries, keys):
                    indexes = indexes.set(name, _with_names(indexes[name], moves))
        if "unit" in touched:
            used = _with_usage(indexes[_USAGE], touched["unit"], self._tables, tables)
            indexes = indexes.set(_USAGE, used)
        return Snapshot(version, tables, indexes)


_Moves = dict[str, dict[str, bool]]
"""index key -> id -> whether it is there afterwards"""


def _merged(table: Table, entries: Mapping[str, Object | None]) -> Table:
    mutation = table.mutate()
    for id, thing in entries.items():
        if thing is not None:
            mutation[id] = thing
        else:
            mutation.pop(id, None)
    return mutation.finish()


def _moves(before: Table, entries: Mapping[str, Object | None], keys: _Keys) -> _Moves:
    moves: _Moves = {}
    for id, after in entries.items():
        old = before.get(id)
        old_keys = keys(old) if old is not None else ()
        new_keys = keys(after) if after is not None else ()
        if old_keys == new_keys:
            continue
        for key in old_keys:
            if key not in new_keys:
                moves.setdefault(key, {})[id] = False
        for key in new_keys:
            if key not in old_keys:
                moves.setdefault(key, {})[id] = True
    return moves


def _with_references(index: Table, moves: _Moves) -> Table:
    mutation = index.mutate()
    for key, entries in moves.items():
        ids = mutation.get(key, _EMPTY).mutate()
        for id, there in entries.items():
            if there:
                ids[id] = True
            else:
                ids.pop(id, None)
        _set_or_drop(mutation, key, ids.finish())
    return mutation.finish()


def _with_names(index: Table, moves: _Moves) -> Table:
    mutation = index.mutate()
    for key, entries in moves.items():
        kept = tuple(id for id in mutation.get(key, ()) if entries.get(id, True))
        _set_or_drop(mutation, key, kept + tuple(id for id, there in entries.items() if there))
    return mutation.finish()


class _Sum:
    """A host's usage while it is being counted anew."""

    def __init__(self, known: Usage) -> None:
        self.units = known.units
        self.cpu_milli = known.cpu_milli
        self.memory_bytes = known.memory_bytes
        self.publishing = dict(known.publishing)

    def count(self, revision: Revision | None, id: RevisionId, sign: int) -> None:
        self.units += sign
        if revision is None:
            return
        spec = revision.spec
        self.cpu_milli += sign * spec.reservation.cpu_milli
        self.memory_bytes += sign * spec.reservation.memory_bytes
        if spec.container.ports or any(sidekick.ports for sidekick in spec.sidekicks.values()):
            left = self.publishing.get(id, 0) + sign
            self.publishing[id] = left
            if not left:
                del self.publishing[id]

    def usage(self) -> Usage:
        return Usage(
            units=self.units, cpu_milli=self.cpu_milli, memory_bytes=self.memory_bytes, publishing=self.publishing
        )


def _taking(unit: Unit | None) -> tuple[HostId, RevisionId] | None:
    return (unit.host, unit.revision) if unit is not None and unit.host is not None and unit.live else None


def _with_usage(
    index: Table, units: Mapping[str, Object | None], before: Map[str, Table], after: Map[str, Table]
) -> Table:
    """A revision is what its id says for ever, so what is given back is what was taken."""
    sums: dict[HostId, _Sum] = {}
    for id, thing in units.items():
        old, new = _taking(before["unit"].get(id)), _taking(cast("Unit | None", thing))
        if old == new:
            continue
        for taking, sign, tables in ((old, -1, before), (new, 1, after)):
            if taking is not None:
                host, revision = taking
                if host not in sums:
                    sums[host] = _Sum(index.get(host, _NOTHING))
                sums[host].count(tables["revision"].get(revision), revision, sign)
    mutation = index.mutate()
    for host, counted in sums.items():
        if counted.units:
            mutation[host] = counted.usage()
        else:
            mutation.pop(host, None)
    return mutation.finish()


def _set_or_drop(mutation: MapMutation[str, Any], key: str, ids: Table | tuple[str, ...]) -> None:
    if len(ids):
        mutation[key] = ids
    else:
        mutation.pop(key, None)
