"""What every store promises, written against `Store`. A new store adds its `Home` to `home` and passes all of this."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from paddock.model.changes import Put
from paddock.model.errors import Conflict, Refused, TooOld
from paddock.model.objects import Environment, EnvironmentId, Revision, ServiceId
from paddock.model.specs import ContainerSpec, ServiceSpec
from paddock.sim.disk import SimulatedDisk
from paddock.store.store import MOST_CHANGES, HistoryLimits, Store
from unit.store.support import (
    Home,
    SqliteHome,
    apply,
    contents,
    environment,
    put,
    removed,
    renamed,
    replay,
    run,
    take,
)


@pytest.fixture(params=["sqlite", "sqlite-simulated"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    if request.param == "sqlite":
        return SqliteHome(tmp_path)
    return SqliteHome(Path("/simulated"), SimulatedDisk(seed=1))


# Committing


def test_a_commit_gives_its_objects_the_next_version_and_the_time(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        assert store.snapshot().version == 0
        commit = await store.commit([put("e1"), put("e2")])
        assert (commit.version, commit.at_s) == (1, home.clock.time_s)
        assert [change.object.version for change in commit.changes] == [1, 1]
        assert environment(store.snapshot(), "e1").version == 1
        await store.commit([renamed(environment(store.snapshot(), "e1"), "other")])
        assert environment(store.snapshot(), "e1") == Environment(id="e1", version=2, name="other")
        assert environment(store.snapshot(), "e2").version == 1
        await store.commit([removed(environment(store.snapshot(), "e1"))])
        assert store.snapshot().version == 3
        assert list(contents(store.snapshot())) == ["e2"]
        await store.close()

    run(main())


def test_all_of_a_commit_or_nothing(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        await store.commit([put("e1")])
        before = store.snapshot()
        with pytest.raises(Conflict, match="e1 is at version 1, not 0"):
            await store.commit([put("e2"), put("e1")])
        assert store.snapshot() is before
        await store.close()
        store = await home.open()
        assert list(contents(store.snapshot())) == ["e1"]
        await store.close()

    run(main())


def test_a_write_from_an_older_version_is_refused(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        await store.commit([put("e1")])
        old = environment(store.snapshot(), "e1")
        await store.commit([renamed(old, "second")])
        with pytest.raises(Conflict):
            await store.commit([renamed(old, "third")])
        with pytest.raises(Conflict):
            await store.commit([removed(old)])
        with pytest.raises(Conflict, match="at version 2, not 1"):
            await store.commit([put("e2")], expected=1)
        assert (await store.commit([put("e2")], expected=2)).version == 3
        await store.close()

    run(main())


def test_snapshot_decide_commit_without_an_await_between_never_conflicts(home: Home) -> None:
    async def count_up(store: Store) -> int:
        counter = environment(store.snapshot(), "counter")
        return (await store.commit([renamed(counter, str(int(counter.name) + 1))])).version

    async def main() -> None:
        store = await home.open()
        await store.commit([put("counter", name="0")])
        versions = await asyncio.gather(*(count_up(store) for _ in range(100)))
        assert versions == list(range(2, 102))
        assert environment(store.snapshot(), "counter").name == "100"
        await store.close()

    run(main())


def test_staged_is_seen_at_once_and_durable_only_when_acknowledged(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        task = asyncio.ensure_future(store.commit([put("e1")]))
        await asyncio.sleep(0)
        assert (store.snapshot().version, store.durable().version) == (1, 0)
        assert (await task).version == 1
        assert store.durable().version == 1
        await store.close()

    run(main())


def test_a_cancelled_caller_does_not_take_its_commit_back(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        task = asyncio.ensure_future(store.commit([put("e1")]))
        await asyncio.sleep(0)
        task.cancel()
        assert (await store.commit([put("e2")])).version == 2
        assert [commit.version for commit in await store.history(0, 10)] == [1, 2]
        await store.close()

    run(main())


def test_no_changes_wait_for_all_that_was_staged_before(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        task = asyncio.ensure_future(store.commit([put("e1")]))
        await asyncio.sleep(0)
        nothing = await store.commit([])
        assert (nothing.version, nothing.changes) == (1, ())
        assert store.durable().version == 1
        assert (await task).version == 1
        assert (await store.commit([])).version == 1
        await store.close()

    run(main())


def test_what_cannot_be_kept_is_refused_before_it_is_staged(home: Home) -> None:
    spec = ServiceSpec(name="s", container=ContainerSpec(image="i", config={"Cmd": object()}))
    thing = Revision(id="s@1", environment=EnvironmentId("e1"), service=ServiceId("s"), spec=spec)

    async def main() -> None:
        store = await home.open()
        with pytest.raises(Refused, match="cannot be stored"):
            await store.commit([Put(object=thing, reason="test")])
        with pytest.raises(Refused, match="at most"):
            await store.commit([put("e1")] * (MOST_CHANGES + 1))
        assert store.snapshot().version == 0
        assert (await store.commit([put("e1")])).version == 1
        await store.close()

    run(main())


def test_with_debug_a_commit_that_breaks_the_model_is_an_error_of_ours(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        with pytest.raises(AssertionError, match="has the name 'same'"):
            await store.commit([put("e1", name="same"), put("e2", name="same")])
        with pytest.raises(AssertionError, match="Expected `str`"):
            await store.commit([Put(object=Environment(id="e1", name=7), reason="test")])  # type: ignore[arg-type]
        assert (await store.commit([put("e1")])).version == 1
        await store.close()

    run(main())


# Watching


def test_watchers_miss_nothing_while_many_write(home: Home) -> None:
    writers, each = 8, 12

    async def write(store: Store, name: str) -> None:
        for number in range(each):
            await store.commit([put(f"{name}-{number}")])

    async def watch(store: Store, after: int) -> list[int]:
        await store.commit([])
        since = store.durable().version if after else 0
        seen = []
        async for commit in store.watch(since):
            assert store.durable().version >= commit.version
            seen.append(commit.version)
            for _ in range(after):
                await asyncio.sleep(0)
            if commit.version == writers * each:
                break
        assert seen == list(range(since + 1, writers * each + 1))
        return seen

    async def main() -> None:
        store = await home.open()
        async with asyncio.TaskGroup() as group:
            for after in range(4):
                group.create_task(watch(store, after))
            for number in range(writers):
                group.create_task(write(store, f"w{number}"))
        await store.close()

    run(main())


def test_a_snapshot_and_what_follows_it_fit_together(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        await store.commit([put("e1"), put("e2")])
        task = asyncio.ensure_future(store.commit([put("e3")]))
        await asyncio.sleep(0)
        snapshot, watch = store.snapshot_and_watch()
        assert sorted(contents(snapshot)) == ["e1", "e2"], "what is only staged is told to nobody"
        await store.commit([removed(environment(store.snapshot(), "e1"))])
        await store.commit([renamed(environment(store.snapshot(), "e2"), "second")])
        table = contents(snapshot)
        for commit in await take(watch, 4):
            for change in commit.changes:
                apply(table, change)
        assert table == contents(store.snapshot())
        await task
        await store.close()

    run(main())


def test_a_watcher_that_comes_late_reads_what_is_kept(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        for number in range(20):
            await store.commit([put(f"e{number}")])
        told = await take(store.watch(0), 20)
        await store.close()
        store = await home.open()
        assert await take(store.watch(0), 20) == told
        assert [commit.version for commit in await take(store.watch(17), 20)] == [18, 19, 20]
        assert replay(told) == contents(store.snapshot())
        await store.close()

    run(main())


def test_a_watch_waits_for_what_is_not_there_yet(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        task = asyncio.ensure_future(take(store.watch(0), 1))
        await store.commit([])
        assert not task.done()
        await store.commit([put("e1")])
        assert [commit.version for commit in await task] == [1]
        await store.close()

    run(main())


def test_history_is_bounded_and_says_so(home: Home) -> None:
    async def main() -> None:
        limits = HistoryLimits(commits=5)
        store = await home.open(limits)
        for number in range(20):
            await store.commit([put(f"e{number}")])
        await store.close()
        store = await home.open(limits)
        assert [commit.version for commit in await store.history(15, 100)] == [16, 17, 18, 19, 20]
        assert [commit.version for commit in await store.history(16, 2)] == [17, 18]
        assert await store.history(20, 100) == ()
        for since in (0, 3, 14):
            with pytest.raises(TooOld, match="goes back to version 15"):
                await store.history(since, 100)
            with pytest.raises(TooOld):
                await anext(aiter(store.watch(since)))
        with pytest.raises(TooOld, match="not of this store"):
            await anext(aiter(store.watch(21)))
        assert len(contents(store.snapshot())) == 20
        await store.close()

    run(main())


def test_history_is_bounded_by_age_and_by_size(home: Home) -> None:
    async def kept(limits: HistoryLimits) -> list[int]:
        store = await home.open(limits)
        version = store.snapshot().version
        for number in range(10):
            home.clock.time_s += 60.0
            await store.commit([put(f"e{version}-{number}", name=f"{version}-{number} {'x' * 1000}")])
        await store.close()
        store = await home.open(limits)
        last = store.snapshot().version
        found = []
        for since in range(version, last):
            try:
                found = [last - commit.version for commit in await store.history(since, 100)]
            except TooOld:
                continue
            break
        await store.close()
        return found

    assert run(kept(HistoryLimits(age_s=150.0))) == [2, 1, 0]
    assert run(kept(HistoryLimits(total_bytes=4_500))) == [3, 2, 1, 0]
    assert run(kept(HistoryLimits(total_bytes=1))) == [0]


# Opening again, copies, the end


def test_everything_acknowledged_is_there_after_opening_again(home: Home) -> None:
    async def main() -> None:
        told = []
        for turn in range(4):
            store = await home.open()
            for number in range(5):
                told.append(await store.commit([put(f"e{turn}-{number}")]))
            if turn:
                told.append(await store.commit([removed(environment(store.snapshot(), f"e{turn - 1}-0"))]))
            expected = contents(store.snapshot())
            await store.close()
        store = await home.open()
        assert contents(store.snapshot()) == expected == replay(told)
        assert list(await store.history(0, 100)) == told
        assert store.snapshot().version == len(told)
        await store.close()

    run(main())


def test_a_backup_is_consistent_while_commits_go_on(home: Home) -> None:
    async def write(store: Store) -> None:
        for number in range(30):
            await store.commit([put(f"a{number}"), put(f"b{number}")])

    async def main() -> int:
        store = await home.open()
        await store.commit([put("first")])
        async with asyncio.TaskGroup() as group:
            group.create_task(write(store))
            saved = await store.backup(home.backup_path)
        assert await store.backup(home.backup_path) == 31
        await store.close()
        return saved

    assert 1 <= run(main()) <= 31
    restored = home.restore()

    async def afterwards() -> None:
        store = await home.open()
        assert len(contents(store.snapshot())) == 61
        assert store.snapshot().version == restored > 31
        for since in (0, 31):
            with pytest.raises(TooOld):
                await store.history(since, 10)
        assert (await store.commit([put("next")])).version == restored + 1
        assert [commit.version for commit in await store.history(restored, 10)] == [restored + 1]
        await store.close()

    run(afterwards())


def test_restoring_takes_back_what_came_after_the_backup(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        await store.commit([put("e1")])
        await store.backup(home.backup_path)
        await store.commit([put("e2")])
        await store.close()
        home.restore()
        store = await home.open()
        assert list(contents(store.snapshot())) == ["e1"]
        await store.close()

    run(main())


def test_closing_finishes_what_is_staged_and_ends_watches(home: Home) -> None:
    async def main() -> None:
        store = await home.open()
        seen = asyncio.ensure_future(take(store.watch(0), 1_000))
        tasks = [asyncio.ensure_future(store.commit([put(f"e{number}")])) for number in range(10)]
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        assert [(await task).version for task in tasks] == list(range(1, 11))
        assert len(await seen) == 10
        with pytest.raises(Refused, match="closed"):
            await store.commit([put("late")])
        with pytest.raises(Refused, match="closed"):
            await store.backup(home.backup_path)
        store = await home.open()
        assert len(contents(store.snapshot())) == 10
        await store.close()

    run(main())
