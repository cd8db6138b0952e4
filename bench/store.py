"""What the store costs beside apsw writing the very same rows by itself, on the same disk in the same run.

    PYTHONPATH=src python bench/store.py [--units 100000] [--directory DIR]

Both sides encode nothing beforehand that they would not in real life: apsw is given the bytes, the store makes them.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import apsw
import msgspec

from paddock.model.changes import Commit, Put
from paddock.model.objects import (
    ContainerStatus,
    HostId,
    NetworkId,
    RevisionId,
    ServiceId,
    StackId,
    Unit,
    UnitDesired,
    UnitState,
    unit_id,
)
from paddock.model.snapshot import Snapshot
from paddock.store.encoding import commit_checksum, record_of, row_checksum
from paddock.store.schema import create
from paddock.store.sqlite import open_sqlite
from paddock.store.sqlite_file import own
from paddock.store.store import Store
from paddock.world.memory import settle
from paddock.world.world import machine_world

SLOTS = 100
GROUP = 64
BATCH = 10_000
REPEATS = 5


def unit(number: int) -> Unit:
    service = ServiceId(f"service-{number // SLOTS:012x}")
    stack = number // SLOTS // 10
    slot = number % SLOTS
    status = ContainerStatus(id=f"{number:064x}", name=f"shop{stack}-api-{slot}", state="running", started_at_s=1.8e9)
    return Unit(
        id=unit_id(service, slot, 1),
        environment="environment-00000001",
        stack=StackId(f"stack-{stack:012x}"),
        service=service,
        stack_name=f"shop{stack}",
        service_name=f"api{number // SLOTS % 10}",
        slot=slot,
        generation=1,
        revision=RevisionId(f"{service}@0123456789ab"),
        name=f"shop{stack}-api{number // SLOTS % 10}-{slot}",
        host=HostId(f"host-{number % 10_000:012x}"),
        desired=UnitDesired.RUN,
        state=UnitState.RUNNING,
        healthy=True,
        addresses={NetworkId(f"network-{stack:012x}"): f"10.128.{number % 4096 // 256}.{number % 256}"},
        containers=(status,),
        placed_because="fewest units of the service",
        created_at_s=1.8e9,
        state_since_s=1.8e9,
        running_since_s=1.8e9,
    )


def next_of(thing: Unit) -> Unit:
    return msgspec.structs.replace(thing, state_since_s=thing.state_since_s + 1.0)


class Raw:
    """apsw with the store's tables and pragmas, and nothing else."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        create(self.connection)
        own(self.connection)
        self.version = 0

    def commit(self, groups: Sequence[Sequence[Unit]]) -> None:
        """Each group as one commit, all in one transaction, as the store groups its writers."""
        objects, commits = [], []
        for things in groups:
            self.version += 1
            changes = tuple(Put(object=thing, reason="bench") for thing in things)
            record = record_of(Commit(version=self.version, at_s=1.8e9, changes=changes), 0)
            commits.append((self.version, 1.8e9, record.size, record.data, commit_checksum(1, 1.8e9, record.data)))
            for row in record.rows:
                check = row_checksum(row.kind, row.id, self.version, row.data or b"")
                objects.append((row.kind, row.id, self.version, row.data, check))
        self.ready = objects, commits

    def write(self) -> None:
        objects, commits = self.ready
        put = "INSERT INTO objects VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version,"
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(put + " data = excluded.data, checksum = excluded.checksum", objects)
        self.connection.executemany("INSERT INTO commits VALUES (?, ?, ?, ?, ?)", commits)
        self.connection.execute("UPDATE head SET version = ?", (self.version,))
        self.connection.execute("COMMIT")


def raw_seconds(raw: Raw, groups: Sequence[Sequence[Unit]]) -> float:
    raw.commit(groups)
    start = time.perf_counter()
    raw.write()
    return time.perf_counter() - start


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def show(what: str, ours: float, theirs: float, unit_name: str) -> None:
    print(f"{what:<44}{ours:>12,.0f} {unit_name}   apsw {theirs:>12,.0f}   ratio {ours / theirs:.2f}")


async def one_writer(store: Store, raw: Raw, count: int) -> None:
    """Alternating, so that both meet the same disk."""
    ours = theirs = 0.0
    for number in range(count):
        change = Put(object=unit(number), reason="bench")
        ours += await timed(lambda change=change: store.commit([change]))  # type: ignore[misc]
        theirs += raw_seconds(raw, [[unit(number)]])
    show("durable commits, 1 writer, 1 unit each", count / ours, count / theirs, "/s")


async def many_writers(store: Store, raw: Raw, rounds: int) -> None:
    async def write(first: int) -> None:
        for number in range(first, first + rounds):
            await store.commit([Put(object=unit(number), reason="bench")])

    starts = [100_000 + writer * rounds for writer in range(GROUP)]
    ours = await timed(lambda: asyncio.gather(*(write(start) for start in starts)))
    theirs = sum(raw_seconds(raw, [[unit(start + turn)] for start in starts]) for turn in range(rounds))
    show(
        f"durable commits, {GROUP} writers (apsw: groups of {GROUP})",
        GROUP * rounds / ours,
        GROUP * rounds / theirs,
        "/s",
    )


async def batches(store: Store, raw: Raw) -> None:
    ours = theirs = 0.0
    for turn in range(REPEATS):
        things = [unit(1_000_000 + turn * BATCH + number) for number in range(BATCH)]
        changes = [Put(object=thing, reason="bench") for thing in things]
        ours += await timed(lambda changes=changes: store.commit(changes))  # type: ignore[misc]
        theirs += raw_seconds(raw, [things])
    show(f"units written, {BATCH:,} in a commit", REPEATS * BATCH / ours, REPEATS * BATCH / theirs, "/s")
    ours = 0.0
    for turn in range(REPEATS):
        ids = [unit(1_000_000 + turn * BATCH + number).id for number in range(BATCH)]
        found = [store.snapshot().get(Unit, id) for id in ids]
        again = [Put(object=next_of(thing), reason="bench") for thing in found if thing is not None]
        ours += await timed(lambda again=again: store.commit(again))  # type: ignore[misc]
    show(f"units changed, {BATCH:,} in a commit", REPEATS * BATCH / ours, REPEATS * BATCH / theirs, "/s")


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def loading(directory: Path, units: int) -> None:
    path = directory / "loading.db"
    store = await open_sqlite(path, machine_world())
    for first in range(0, units, BATCH):
        await store.commit([Put(object=unit(n), reason="bench") for n in range(first, min(units, first + BATCH))])
    await store.close()
    del store
    settle()
    before = resident_bytes()
    start = time.perf_counter()
    store = await open_sqlite(path, machine_world())
    took = time.perf_counter() - start
    used = resident_bytes() - before
    size = path.stat().st_size
    print(f"opened and checked {units:,} units in {took:.1f} s ({units / took:,.0f} /s), file {size / 2**20:,.0f} MiB")
    print(f"memory of a loaded unit, indexes included: {used / units:,.0f} bytes resident")
    changing(store.snapshot(), 1, 1_000)
    changing(store.snapshot(), 1_000, 20)
    await store.close()


def changing(snapshot: Snapshot, count: int, repeats: int) -> None:
    units = list(snapshot.table(Unit).values())
    times = []
    for turn in range(repeats):
        first = turn * count % (len(units) - count)
        changes = [Put(object=next_of(thing), reason="bench") for thing in units[first : first + count]]
        start = time.perf_counter()
        snapshot.with_changes(changes)
        times.append(time.perf_counter() - start)
    times.sort()
    print(f"snapshot after changing {count:,} of {len(units):,} units: {times[len(times) // 2] * 1e6:,.0f} us (median)")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, help="on the disk to measure (default: the temporary directory)")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="paddock-bench-", dir=arguments.directory))
    try:
        await loading(directory, arguments.units)
        store = await open_sqlite(directory / "paddock.db", machine_world())
        raw = Raw(directory / "raw.db")
        await one_writer(store, raw, 500)
        await many_writers(store, raw, 100)
        await batches(store, raw)
        await store.close()
        raw.connection.close()
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    asyncio.run(main())
