"""What is SQLite's own: damaged files, other people's files, a second process, virtual time, bounds."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

import paddock.sim.loop
from paddock.model.changes import Commit
from paddock.model.errors import Broken, Conflict, NotFound, Refused, Transient
from paddock.model.objects import Environment
from paddock.sim.disk import SimulatedDisk
from paddock.store.recent import RecentCommits
from paddock.store.restore import restore_sqlite
from paddock.store.sqlite import SqliteOptions, open_sqlite
from paddock.store.store import Store
from paddock.world.disk import MachineDisk
from unit.store.support import SetClock, SqliteHome, contents, put, run, world_at


@pytest.fixture
def home(tmp_path: Path) -> SqliteHome:
    """With a store of 200 objects in it, closed."""
    made = SqliteHome(tmp_path)
    run(fill(made, 200))
    return made


async def fill(home: SqliteHome, count: int) -> dict[str, Environment]:
    store = await home.open()
    await store.commit([put(f"e{number}", name=f"{number} {'x' * 200}") for number in range(count)])
    for number in range(5):
        await store.commit([put(f"more-{number}")])
    await store.backup(home.backup_path)
    await store.close()
    return contents(store.snapshot())


async def reopened(home: SqliteHome) -> dict[str, Environment]:
    store = await home.open()
    try:
        return contents(store.snapshot())
    finally:
        await store.close()


def expect_refusal(home: SqliteHome, what: str) -> None:
    """Twice, as a supervisor would try: refusing must not make it worse, nor make a new store in its place."""
    for _ in range(2):
        with pytest.raises(Broken, match=what) as refused:
            run(reopened(home))
    assert str(home.path) in str(refused.value)
    assert "paddock server restore" in str(refused.value)
    restored = restore_sqlite(home.backup_path, home.path)
    assert restored == 1_000_006
    assert len(run(reopened(home))) == 205


def empty(data: bytes) -> bytes:
    return b""


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_in_a_page(data: bytes) -> bytes:
    return data[: len(data) - 5_000]


def without_header(data: bytes) -> bytes:
    return bytes(100) + data[100:]


def text_in_front(data: bytes) -> bytes:
    return b"<html>this is not a database</html>" * 3 + data


def page_of_zeros(data: bytes) -> bytes:
    return data[: 4096 * 5] + bytes(4096) + data[4096 * 6 :]


@pytest.mark.parametrize("harm", [empty, halved, cut_in_a_page, without_header, text_in_front, page_of_zeros])
def test_a_damaged_file_is_refused_and_can_be_restored(home: SqliteHome, harm: Callable[[bytes], bytes]) -> None:
    damaged = harm(home.path.read_bytes())
    home.path.write_bytes(damaged)
    expect_refusal(home, "is damaged")
    assert home.path.with_name("paddock.db.before-restore").read_bytes() == damaged


def test_a_file_that_went_away_and_left_its_log_is_not_replaced_by_an_empty_store(home: SqliteHome) -> None:
    home.path.rename(home.path.with_name("elsewhere"))
    home.path.with_name("paddock.db-wal").write_bytes(b"log")
    expect_refusal(home, "it is gone, but its log")


def test_a_flipped_byte_anywhere_is_found_or_means_nothing(home: SqliteHome) -> None:
    good = run(reopened(home))
    data = bytearray(home.path.read_bytes())
    chance = random.Random(5)
    found = 0
    places = [*range(0, 100, 7), *(chance.randrange(len(data)) for _ in range(150))]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        home.path.write_bytes(flipped)
        try:
            assert run(reopened(home)) == good, f"byte {place} changed what is read"
        except Broken:
            found += 1
    assert found > len(places) / 2


def test_changed_content_is_found_by_its_checksum(home: SqliteHome) -> None:
    connection = apsw.Connection(str(home.path))
    connection.execute("UPDATE objects SET version = 3 WHERE id = 'e7'")
    connection.close()
    expect_refusal(home, "environment e7 is not what was written")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM objects WHERE id = 'e7'", "204 objects are there, not 205"),
        ("DELETE FROM commits WHERE version = 3", "commit 3 is not what was written"),
        ("DELETE FROM commits WHERE version = 6", "commits 6 to 6 are missing"),
        ("DELETE FROM head", "table head has 0 rows"),
        ("DROP TABLE commits", "no such table: commits"),
    ],
)
def test_missing_rows_are_found(home: SqliteHome, statement: str, what: str) -> None:
    connection = apsw.Connection(str(home.path))
    connection.execute(statement)
    connection.close()
    expect_refusal(home, what)


def test_a_newer_schema_is_refused(home: SqliteHome) -> None:
    connection = apsw.Connection(str(home.path))
    connection.execute("PRAGMA user_version=99")
    connection.close()
    expect_refusal(home, "written by a newer Paddock")


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    home = SqliteHome(tmp_path)
    connection = apsw.Connection(str(home.path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(Broken, match="not one of Paddock's"):
        run(reopened(home))


def test_a_damaged_backup_is_not_restored(home: SqliteHome) -> None:
    home.backup_path.write_bytes(halved(home.backup_path.read_bytes()))
    before = home.path.read_bytes()
    with pytest.raises(Broken, match=r"could not be restored: .* is damaged"):
        restore_sqlite(home.backup_path, home.path)
    assert home.path.read_bytes() == before
    with pytest.raises(NotFound):
        restore_sqlite(home.path.with_name("nothing"), home.path)


_OPEN_AND_WAIT = """
import asyncio, sys
from pathlib import Path
from paddock.store.sqlite import open_sqlite
from paddock.world.world import machine_world
async def main():
    store = await open_sqlite(Path(sys.argv[1]), machine_world())
    print("open", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


def test_a_second_process_is_refused_clearly_and_so_is_a_restore(home: SqliteHome) -> None:
    search = os.pathsep.join(path for path in sys.path if path)
    other = subprocess.Popen(
        [sys.executable, "-c", _OPEN_AND_WAIT, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert other.stdin is not None
    assert other.stdout is not None
    with other:
        try:
            assert other.stdout.readline() == "open\n"
            with pytest.raises(Refused, match="another process has the store"):
                run(reopened(home))
            with pytest.raises(Refused, match="stop it before restoring"):
                restore_sqlite(home.backup_path, home.path)
        finally:
            other.stdin.close()
            other.wait(timeout=20)
    assert len(run(reopened(home))) == 205


def test_a_process_killed_without_a_word_loses_nothing(home: SqliteHome) -> None:
    script = _OPEN_AND_WAIT.replace(
        "sys.stdin.read()",
        "from paddock.model.changes import Put\n"
        "    from paddock.model.objects import Environment\n"
        "    for n in range(10):\n"
        "        thing = Environment(id=f'k{n}', name=f'k{n}')\n"
        "        print((await store.commit([Put(object=thing, reason='test')])).version, flush=True)\n"
        "    import os; os.kill(os.getpid(), 9)",
    )
    search = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, str(home.path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert done.returncode == -9, done.stderr
    assert done.stdout.split() == ["open", *(str(version) for version in range(7, 17))]
    assert home.path.with_name("paddock.db-wal").stat().st_size > 0
    assert len(run(reopened(home))) == 215


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="could not be read or written"):
        run(reopened(SqliteHome(tmp_path / "missing")))


def test_it_runs_in_virtual_time_inline() -> None:
    disk = SimulatedDisk()
    options = SqliteOptions(writer="inline", disk=disk, debug=True)

    async def main() -> float:
        store = await open_sqlite(Path("/sim/paddock.db"), world_at(SetClock()), options)
        async with asyncio.timeout(1.0):
            await asyncio.gather(*(store.commit([put(f"e{number}")]) for number in range(50)))
        await store.close()
        return asyncio.get_running_loop().time()

    assert paddock.sim.loop.run(main()) < 0.001
    syncs = sum(operation == "sync paddock.db-wal" for operation in disk.operations)
    assert 1 <= syncs <= 5, "50 commits of one turn are one group"
    disk.close()


def test_too_many_waiting_are_refused_as_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddock.store.journaled.MOST_WAITING", 4)

    async def main(store: Store) -> None:
        results = await asyncio.gather(*(store.commit([put(f"e{n}")]) for n in range(6)), return_exceptions=True)
        assert [isinstance(result, Transient) for result in results] == [False] * 4 + [True] * 2
        assert store.snapshot().version == 4
        await store.commit([put("later")])
        await store.close()

    async def opened() -> None:
        await main(await SqliteHome(tmp_path).open())

    run(opened())


def test_the_recent_commits_are_bounded_and_the_rest_is_read_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paddock.store.recent.MOST_COMMITS", 3)
    monkeypatch.setattr("paddock.store.journaled.PAGE", 4)

    async def main() -> None:
        store = await SqliteHome(tmp_path).open()
        for number in range(20):
            await store.commit([put(f"e{number}")])
        seen = []
        async for commit in store.watch(0):
            seen.append(commit.version)
            if commit.version == 20:
                await store.close()
        assert seen == list(range(1, 21))

    run(main())


def test_recent_commits_count_their_changes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddock.store.recent.MOST_CHANGES", 5)
    recent = RecentCommits(0)
    for version in range(1, 5):
        recent.add(Commit(version=version, at_s=0.0, changes=(put("a"), put("b"))))
    assert recent.after(0, 10) is None
    assert [commit.version for commit in recent.after(2, 10) or ()] == [3, 4]
    assert [commit.version for commit in recent.after(2, 1) or ()] == [3]
    assert recent.after(4, 10) == ()


def test_its_files_are_nobody_elses_to_read(home: SqliteHome) -> None:
    for path in (home.path, home.backup_path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_closing_ends_a_backup_cleanly(home: SqliteHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddock.store.sqlite_file.COPIED_PAGES", 1)
    before = home.backup_path.read_bytes()

    async def main() -> None:
        store = await home.open()
        first = asyncio.ensure_future(store.backup(home.backup_path))
        await store.commit([put("meanwhile")])
        with pytest.raises(Conflict, match="being written already"):
            await store.backup(home.backup_path)
        await store.close()
        with pytest.raises(Refused, match="closed before the backup was whole"):
            await first

    run(main())
    assert home.backup_path.read_bytes() == before
    assert [path.name for path in sorted(home.path.parent.iterdir())] == ["backup.db", "paddock.db"]


def test_replacing_a_file_on_the_machines_disk(tmp_path: Path) -> None:
    disk = MachineDisk()
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "b").write_bytes(b"old one")
    disk.replace(tmp_path / "a", tmp_path / "b")
    assert (disk.exists(tmp_path / "a"), disk.size(tmp_path / "b")) == (False, 3)
    disk.remove(tmp_path / "a")
    disk.remove(tmp_path / "b")
    assert not disk.exists(tmp_path / "b")
