"""The agent's ledger: assignments are applied whole or not at all, whatever the disk does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from named import meaning
from paddock.agent.ledger import Gap, Ledger
from paddock.agent.sealing import Sealing
from paddock.model.assignment import (
    AddressAssignment,
    AnyItem,
    ContainerAssignment,
    FileAssignment,
    NameAssignment,
    UnitAssignment,
)
from paddock.model.errors import Broken, Transient
from paddock.model.objects import FileId, NetworkId, UnitDesired, UnitId, UnitState
from paddock.model.observed import OwnedContainer, Progress
from paddock.sim.disk import SimulatedDisk
from paddock.wire.messages import Assign
from paddock.world.disk import MachineDisk
from paddock.world.world import machine_world

API = UnitAssignment(
    unit=UnitId("a.1.1"), desired=UnitDesired.RUN, containers=(ContainerAssignment(name="api", image="api:1"),)
)
NEXT = UnitAssignment(
    unit=UnitId("a.1.2"),
    desired=UnitDesired.RUN,
    reuses=UnitId("a.1.1"),
    containers=(ContainerAssignment(name="api", image="api:1"),),
)
SECRET = FileAssignment(file=FileId("file-1"), purpose="secret", digest="d", content=b"hunter2 hunter2")


def opened(data: Path, **more: Any) -> Ledger:
    return Ledger(data / "ledger.db", Sealing(data / "ledger.key", machine_world()), **more)


def name(number: int) -> NameAssignment:
    return NameAssignment(network=NetworkId("n"), name=f"name-{number}")


def test_what_was_applied_is_there_after_a_restart(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    assert ledger.version == 0
    assert ledger.apply(Assign(version=3, whole=True, items=(API, SECRET))) == ("unit/a.1.1", "file/file-1")
    ledger.record(API.unit, Progress(state=UnitState.RUNNING, owned={"": OwnedContainer(id="c1")}))
    ledger.set_session(7)
    ledger.close()
    again = opened(tmp_path)
    assert (again.version, again.last_session) == (3, 7)
    assert again.items == {"unit/a.1.1": API, "file/file-1": SECRET}
    assert again.progress_of(API.unit).owned[""].id == "c1"
    again.close()


def test_differences_apply_on_what_is_held_and_stale_ones_change_nothing(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.apply(Assign(version=3, whole=True, items=(API, name(1))))
    assert ledger.apply(Assign(version=4, since=3, items=(name(2),), dropped=("name/n/name-1",))) == (
        "name/n/name-2",
        "name/n/name-1",
    )
    assert ledger.apply(Assign(version=4, since=3, items=(name(9),))) == ()
    assert ledger.apply(Assign(version=2, since=1, items=(name(9),))) == ()
    assert sorted(ledger.items) == ["name/n/name-2", "unit/a.1.1"]
    with pytest.raises(Gap):
        ledger.apply(Assign(version=9, since=8, items=(name(9),)))
    assert ledger.version == 4
    ledger.apply(Assign(version=2, whole=True, items=(API,)))
    assert (ledger.version, list(ledger.items)) == (2, ["unit/a.1.1"])
    ledger.close()


def test_a_dropped_unit_leaves_until_it_is_forgotten(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.apply(Assign(version=1, whole=True, items=(API,)))
    ledger.apply(Assign(version=2, since=1, dropped=("unit/a.1.1",)))
    ledger.close()
    ledger = opened(tmp_path)
    left = ledger.unit(API.unit)
    assert left is not None
    assert (left.desired, left.containers) == (UnitDesired.REMOVED, API.containers)
    ledger.apply(Assign(version=3, since=2, items=(API,)))
    assert ledger.unit(API.unit) == API
    ledger.apply(Assign(version=4, whole=True))
    ledger.forget(API.unit)
    assert ledger.units() == ()
    ledger.close()


def test_reused_containers_change_hands_with_the_assignment(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.apply(Assign(version=1, whole=True, items=(API,)))
    ledger.record(API.unit, Progress(state=UnitState.SHUTDOWN, owned={"": OwnedContainer(id="c1")}))
    ledger.apply(Assign(version=2, since=1, items=(NEXT,), dropped=("unit/a.1.1",)))
    ledger.close()
    ledger = opened(tmp_path)
    assert ledger.progress_of(NEXT.unit).owned[""] == OwnedContainer(id="c1", baseline_s=-1.0)
    assert ledger.progress_of(API.unit).given_up
    ledger.apply(Assign(version=3, since=2, items=(NEXT,)))
    assert ledger.progress_of(NEXT.unit).owned[""].id == "c1"
    ledger.close()


def test_secrets_are_sealed_and_files_are_private(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.apply(Assign(version=1, whole=True, items=(SECRET,)))
    for file in tmp_path.iterdir():
        assert b"hunter2" not in file.read_bytes(), file
        assert file.stat().st_mode & 0o077 == 0, file
    ledger.close()
    (tmp_path / "ledger.key").write_bytes(b"x" * 32)
    with pytest.raises(Broken, match="sealed with another key"):
        opened(tmp_path)


def test_a_damaged_ledger_is_refused_with_the_way_out(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.apply(Assign(version=1, whole=True, items=tuple(map(name, range(200)))))
    ledger.close()
    file = tmp_path / "ledger.db"
    file.write_bytes(b"\xff" * 4096 + file.read_bytes()[4096:])
    with pytest.raises(Broken, match=r"damaged.*move the file away"):
        opened(tmp_path)


def test_names_of_the_first_format_are_brought_along(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    ledger.apply(Assign(version=3, whole=True, items=(API,)))
    ledger.close()
    older = apsw.Connection(str(tmp_path / "ledger.db"))
    older.execute("REPLACE INTO meta VALUES ('format', '1')")
    for text, addresses, reverse in (
        ("api", ["10.0.0.1", "10.0.0.2"], False), ("shop-api-1", ["10.0.0.1"], True), ("soon", [], False)
    ):  # fmt: skip
        body = {"item": "name", "network": "n", "name": text, "addresses": addresses, "reverse": reverse}
        older.execute("REPLACE INTO items VALUES (?, ?)", (f"name/n/{text}", msgspec.json.encode(body)))
    older.close()
    for _ in range(2):
        again = opened(tmp_path)
        assert again.version == 3
        assert [key for key in again.items if key.startswith("name/")] == ["name/n/soon"]
        assert again.items["address/n/10.0.0.1"] == AddressAssignment(
            network=NetworkId("n"), ipv4="10.0.0.1", container="shop-api-1", names=("api",)
        )
        assert meaning(again.items.values()) == {
            "": ("10.0.0.2",),
            "api": ("10.0.0.1", "10.0.0.2"),
            "shop-api-1": ("10.0.0.1",),
            "soon": (),
        }
        again.close()


def test_a_newer_format_is_not_touched(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with apsw.Connection(str(tmp_path / "ledger.db")) as database:
        database.execute("REPLACE INTO meta VALUES ('format', '99')")
    database.close()
    with pytest.raises(Broken, match="newer Paddock"):
        opened(tmp_path)


class FaultyDisk(apsw.VFS):
    """Fails the Nth write or sync from `arm` on, once, as a full disk does."""

    def __init__(self) -> None:
        self.left = -1
        self.struck = False
        super().__init__("faulty", base="")

    def arm(self, count: int) -> None:
        self.left, self.struck = count, False

    def operation(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.struck = True
            raise apsw.FullError("database or disk is full")

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:
        return FaultyFile(self, name, flags)


class FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.operation()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.operation()
        super().xSync(flags)


class OnFaultyDisk(MachineDisk):
    vfs = "faulty"


def applied(ledger: Ledger, assign: Assign) -> Transient | None:
    try:
        ledger.apply(assign)
    except Transient as error:
        return error
    return None


def test_a_full_disk_at_any_write_leaves_the_old_or_the_new_assignment(tmp_path: Path) -> None:
    disk = FaultyDisk()
    before: tuple[AnyItem, ...] = (API, name(1))
    after: tuple[AnyItem, ...] = (NEXT, SECRET, *map(name, range(2, 60)))
    try:
        for count in range(1, 200):
            data = tmp_path / str(count)
            data.mkdir()
            ledger = opened(data, disk=OnFaultyDisk())
            ledger.apply(Assign(version=1, whole=True, items=before))
            disk.arm(count)
            refusal = applied(ledger, Assign(version=2, whole=True, items=after))
            if refusal is not None:
                assert "cannot be written" in refusal.message
                assert "make room" in refusal.hint
                assert (ledger.version, len(ledger.items)) == (1, len(before))
            struck = disk.struck
            disk.arm(-1)
            ledger.close()
            again = opened(data)
            expected = {1: len(before), 2: len(after)}
            assert len(again.items) == expected[again.version]
            again.apply(Assign(version=3, whole=True, items=after))
            assert again.version == 3
            again.close()
            if not struck:
                assert count > 3, "no fault was ever tried"
                return
        raise AssertionError("the faults did not come to an end")
    finally:
        disk.unregister()


WRITER = """
import sys
import tempfile
from pathlib import Path
from unit.agent.test_ledger import name, opened
from paddock.wire.messages import Assign
ledger = opened(Path(sys.argv[1]))
version = ledger.version
while True:
    version += 1
    ledger.apply(Assign(version=version, whole=True, items=tuple(name(n) for n in range(version % 50))))
    print(version, flush=True)
"""


def test_killed_at_any_moment_it_holds_what_it_confirmed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    confirmed = 0
    for lines in (1, 7, 23):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert child.stdout is not None
        for _ in range(lines):
            confirmed = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        confirmed = max([confirmed, *map(int, child.stdout.read().split())])
        child.stdout.close()
        child.wait()
        ledger = opened(tmp_path)
        assert confirmed <= ledger.version <= confirmed + 1
        assert len(ledger.items) == ledger.version % 50
        ledger.close()


# The connection of the process that died still tries to tidy up on the disk that is no longer its own.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(12))
def test_what_was_synced_survives_a_power_failure(seed: int) -> None:
    disk = SimulatedDisk(seed)
    try:
        path, sealing = Path("/sim/ledger.db"), Sealing(Path(tempfile.mkdtemp()) / "key", machine_world())
        ledger = Ledger(path, sealing, disk)
        for version in range(1, 8):
            ledger.apply(Assign(version=version, whole=True, items=tuple(name(n) for n in range(version))))
            if version == 5:
                asyncio.run(ledger.sync())
        disk.cut_power()
        disk.restart()
        again = Ledger(path, sealing, disk)
        assert again.version >= 5
        assert len(again.items) == again.version
    finally:
        disk.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(12))
def test_what_was_opened_after_a_kill_survives_a_power_failure(seed: int) -> None:
    """The agent was killed between applying and syncing; its next life acts on what it finds."""
    disk = SimulatedDisk(seed)
    try:
        path, sealing = Path("/sim/ledger.db"), Sealing(Path(tempfile.mkdtemp()) / "key", machine_world())
        first = Ledger(path, sealing, disk)
        asyncio.run(first.sync())
        first.apply(Assign(version=3, whole=True, items=tuple(name(n) for n in range(3))))
        disk.abandon()
        second = Ledger(path, sealing, disk)
        assert second.version == 3
        disk.cut_power()
        disk.restart()
        assert Ledger(path, sealing, disk).version == 3
    finally:
        disk.close()
