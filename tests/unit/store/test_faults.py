"""Faults by counting: the Nth write, sync, truncation, removal, creation or rename fails, or the power goes before it,
for N = 1, 2, 3, … until a run meets none. Each time the store is opened again and must hold what it acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from paddock.model.changes import Commit
from paddock.model.errors import Broken, PaddockError, TooOld
from paddock.sim.disk import SimulatedDisk
from paddock.store.store import HistoryLimits, Store
from unit.store.support import SqliteHome, contents, environment, put, removed, renamed, replay, run, take

ROOM = HistoryLimits(commits=1_000)
FEW = HistoryLimits(commits=4)
Arm = Callable[[SimulatedDisk, int], None]


def fail(disk: SimulatedDisk, number: int) -> None:
    disk.arm(fail_at=number)


def cut(disk: SimulatedDisk, number: int) -> None:
    disk.arm(cut_at=number)


@pytest.fixture(autouse=True)
def _checkpoint_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddock.store.sqlite_file.CHECKPOINT_PAGES", 12)


class Told:
    """What a run was told: commits acknowledged, and commits seen by a watcher."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.watched: list[Commit] = []

    async def commit(self, store: Store, *names: str) -> None:
        self.commits.append(await store.commit([put(name) for name in names]))

    async def follow(self, store: Store) -> None:
        async for commit in store.watch(store.durable().version):
            self.watched.append(commit)


async def work(home: SqliteHome, told: Told, limits: HistoryLimits) -> None:
    """Opens, commits alone and together, changes, removes, closes, and does half of it again."""
    store = await home.open(limits)
    follower = asyncio.ensure_future(told.follow(store))
    try:
        for number in range(3):
            await told.commit(store, f"a{number}", f"b{number}")
        together = [asyncio.ensure_future(told.commit(store, f"c{number}")) for number in range(4)]
        results = await asyncio.gather(*together, return_exceptions=True)
        for result in results:
            if result is not None:
                raise result
        told.commits.append(await store.commit([removed(environment(store.snapshot(), "a0"))]))
        told.commits.append(await store.commit([renamed(environment(store.snapshot(), "b0"), "long " * 2_000)]))
        await told.commit(store, "d")
    finally:
        await store.close()
        await asyncio.gather(follower, return_exceptions=True)
    store = await home.open(limits)
    try:
        await told.commit(store, "e")
    finally:
        await store.close()


async def check(home: SqliteHome, told: Told) -> None:
    """Opens without faults: debug mode checks the model, opening checks the file, this checks the promises."""
    store = await home.open(ROOM)
    history = list(await store.history(0, 1_000))
    acknowledged = sorted(told.commits, key=lambda commit: commit.version)
    assert [commit.version for commit in history] == list(range(1, store.snapshot().version + 1))
    for commit in (*acknowledged, *told.watched):
        assert history[commit.version - 1] == commit
    assert contents(store.snapshot()) == replay(history)
    await store.commit([put("afterwards")])
    await store.close()


async def check_trimmed(home: SqliteHome, told: Told) -> None:
    store = await home.open(FEW)
    version = store.snapshot().version
    acknowledged = [commit.version for commit in told.commits]
    assert version >= max(acknowledged, default=0)
    oldest = max(0, version - FEW.commits)
    assert [c.version for c in await store.history(oldest, 100)] == list(range(oldest + 1, version + 1))
    if oldest:
        with pytest.raises(TooOld):
            await store.history(oldest - 1, 100)
    await store.close()


@pytest.mark.parametrize("arm", [fail, cut])
@pytest.mark.parametrize("limits", [ROOM, FEW], ids=["kept", "trimmed"])
def test_nothing_acknowledged_is_lost_whatever_breaks(arm: Arm, limits: HistoryLimits) -> None:
    broke = number = 0
    while True:
        number += 1
        disk = SimulatedDisk(seed=number)
        home = SqliteHome(Path("/sim"), disk)
        arm(disk, number)
        told = Told()
        try:
            run(work(home, told, limits))
        except Broken:
            broke += 1
        reached = disk.spent
        disk.restart()
        run(check(home, told) if limits is ROOM else check_trimmed(home, told))
        disk.close()
        if not reached:
            break
    assert number > 100
    assert broke > number * 0.8
    assert len(told.commits) == 11


@pytest.mark.parametrize("seed", range(30))
def test_a_cut_among_many_writers_keeps_every_acknowledged_commit(seed: int) -> None:
    disk = SimulatedDisk(seed=seed)
    home = SqliteHome(Path("/sim"), disk)
    told = Told()

    async def write(store: Store, writer: int) -> None:
        for number in range(6):
            await told.commit(store, f"{writer}-{number}")

    async def main() -> None:
        store = await home.open(ROOM)
        disk.arm(cut_at=5 + seed * 2)
        results = await asyncio.gather(*(write(store, writer) for writer in range(6)), return_exceptions=True)
        assert all(isinstance(result, Broken) for result in results)
        await store.close()

    run(main())
    disk.restart()
    run(check(home, told))
    disk.close()


def test_what_was_loaded_after_the_process_died_in_a_commit_survives_a_power_failure() -> None:
    """The commit may be in the log and not yet synced: whoever loads it has seen it."""
    number = beyond = 0
    while True:
        number += 1
        disk = SimulatedDisk(seed=number)
        home = SqliteHome(Path("/sim"), disk)
        told = Told()

        async def dies(
            home: SqliteHome = home, told: Told = told, disk: SimulatedDisk = disk, at: int = number
        ) -> None:
            store = await home.open(ROOM)
            await told.commit(store, "a")
            cut(disk, at)
            await asyncio.gather(told.commit(store, "b"), return_exceptions=True)
            await store.close()

        async def loads(home: SqliteHome = home, disk: SimulatedDisk = disk) -> int:
            store = await home.open(ROOM)
            version = store.snapshot().version
            disk.cut_power()
            await store.close()
            return version

        run(dies())
        reached = disk.spent
        disk.abandon()
        loaded = run(loads())
        disk.restart()
        beyond += loaded > len(told.commits)

        async def afterwards(home: SqliteHome = home, loaded: int = loaded) -> None:
            store = await home.open(ROOM)
            assert store.snapshot().version == loaded
            await store.close()

        run(afterwards())
        run(check(home, told))
        disk.close()
        if not reached:
            break
    assert beyond


@pytest.mark.parametrize("arm", [fail, cut])
def test_a_backup_is_the_old_one_or_the_new_one(arm: Arm) -> None:
    number = 0
    while True:
        number += 1
        disk = SimulatedDisk(seed=number)
        home = SqliteHome(Path("/sim"), disk)
        told = Told()

        async def main(home: SqliteHome = home, told: Told = told, disk: SimulatedDisk = disk, at: int = number) -> int:
            store = await home.open(ROOM)
            await told.commit(store, "first")
            await store.backup(home.backup_path)
            await told.commit(store, "second")
            arm(disk, at)
            try:
                return await store.backup(home.backup_path)
            except Broken:
                return 0
            finally:
                await store.close()

        saved = run(main())
        reached = disk.spent
        disk.restart()
        run(check(home, told))
        home.restore()

        async def afterwards(home: SqliteHome = home, saved: int = saved) -> None:
            store = await home.open(ROOM)
            assert len(contents(store.snapshot())) == saved or (saved == 0 and contents(store.snapshot()))
            await store.close()

        run(afterwards())
        disk.close()
        if not reached:
            break
    assert saved == 2
    assert number > 10


@pytest.mark.parametrize("arm", [fail, cut])
def test_a_restore_happens_whole_or_not_at_all(arm: Arm) -> None:
    number = 0
    while True:
        number += 1
        disk = SimulatedDisk(seed=number)
        home = SqliteHome(Path("/sim"), disk)

        async def main(home: SqliteHome = home, disk: SimulatedDisk = disk) -> None:
            store = await home.open(ROOM)
            await store.commit([put("saved")])
            await store.backup(home.backup_path)
            await store.commit([put("newer")])
            disk.cut_power()  # leaves a log beside the file, which must not be played into the restored one
            await store.close()

        run(main())
        disk.restart()
        arm(disk, number)
        try:
            version = home.restore()
        except Broken:
            version = 0
        reached = disk.spent
        disk.restart()

        async def afterwards(home: SqliteHome = home, version: int = version) -> None:
            store = await home.open(ROOM)
            found = (sorted(contents(store.snapshot())), store.snapshot().version)
            restored = (["saved"], 1_000_001)
            assert found == restored or (version == 0 and found == (["newer", "saved"], 2))
            await store.close()

        run(afterwards())
        disk.close()
        if not reached:
            break
    assert version
    assert number > 20


def test_a_full_disk_breaks_the_store_in_clear_words_and_loses_nothing() -> None:
    disk = SimulatedDisk(seed=3)
    home = SqliteHome(Path("/sim"), disk)
    told = Told()

    async def main() -> None:
        store = await home.open(ROOM)
        await told.commit(store, "a")
        durable = store.durable()
        watch = store.watch(0)
        disk.capacity_bytes = 1
        waiting = [asyncio.ensure_future(told.commit(store, f"b{number}")) for number in range(5)]
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, Broken)
            assert "disk is full" in str(result)
            assert "free some space" in str(result)
        assert store.snapshot() is store.durable() is durable
        with pytest.raises(Broken, match="disk is full"):
            await store.commit([put("c")])
        with pytest.raises(Broken):
            await store.commit([])
        assert [commit.version for commit in await take(watch, 1)] == [1]
        with pytest.raises(Broken):
            await anext(watch)
        await store.close()
        disk.capacity_bytes = 0

    run(main())
    disk.restart()
    run(check(home, told))
    disk.close()


def test_the_simulated_disk_does_forget_what_was_not_synced() -> None:
    """Without the syncs the same work does lose commits: the tests above can fail."""
    lost = 0
    for seed in range(40):
        disk = SimulatedDisk(seed=seed)
        home = SqliteHome(Path("/sim"), disk)
        told = Told()

        async def main(home: SqliteHome = home, told: Told = told, disk: SimulatedDisk = disk) -> None:
            store = await home.open(ROOM)
            disk.ignores_syncs = True
            for number in range(3):
                await told.commit(store, f"a{number}")
            disk.cut_power()
            await store.close()

        run(main())
        disk.restart()
        try:
            run(check(home, told))
        except (AssertionError, IndexError, PaddockError):
            lost += 1
        disk.close()
    assert lost > 20
