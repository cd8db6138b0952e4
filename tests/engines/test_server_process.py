"""The server as a process: its name, its end, its exit codes, and what survives kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paddock.client import Client, Endpoint
from paddock.model.errors import Broken, NotFound, PaddockError, Refused
from paddock.server.upkeep import backup_stopped, restore_backup
from paddock.world.world import machine_world
from serving import admin, client_of, config_in, running_server
from unit.server.test_api import stack

pytestmark = pytest.mark.engines

CODE = """
import sys
from paddock.server.config import ServerConfig
from paddock.server.main import run_server
sys.exit(run_server(ServerConfig(data=sys.argv[1], listen="127.0.0.1", api_port=int(sys.argv[2]),
    agents_port=int(sys.argv[3]), names=("127.0.0.1",), admin_key_file=True)))
"""


def free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return int(one.getsockname()[1]), int(other.getsockname()[1])


@contextmanager
def process(data: Path, ports: tuple[int, int] | None = None) -> Iterator[subprocess.Popen[str]]:
    source = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, "-c", CODE, str(data), *map(str, ports or free_ports())]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": source}
    )
    try:
        yield server
    finally:
        server.kill()
        server.communicate(timeout=10)


def address_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    line = server.stdout.readline()
    found = re.search(r"https://\S+", line)
    assert found is not None, line or server.communicate(timeout=10)
    return found[0].rstrip(",")


def client_at(data: Path, address: str) -> Client:
    key = (data / "admin.key").read_text().strip()
    return Client(Endpoint(server=address, ca=(data / "ca.crt").read_text(), key=key))


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    async def wish(address: str, name: str) -> int:
        async with client_at(tmp_path, address) as client:
            return (await client.apply_stack(stack(name))).version

    async def names(address: str) -> list[str]:
        async with client_at(tmp_path, address) as client:
            return [one.name for one in await client.stacks()]

    for round in range(2):
        with process(tmp_path) as server:
            address = address_of(server)
            assert Path(f"/proc/{server.pid}/cmdline").read_bytes().rstrip(b"\0 ") == b"paddock server"
            assert asyncio.run(names(address)) == [f"s{number}" for number in range(round)]
            asyncio.run(wish(address, f"s{round}"))
            server.send_signal(signal.SIGKILL)
            server.wait(10)
    with process(tmp_path) as server:
        assert asyncio.run(names(address_of(server))) == ["s0", "s1"]
        server.send_signal(signal.SIGTERM)
        out, log = server.communicate(timeout=10)
        assert server.returncode == 0, log
        key = (tmp_path / "admin.key").read_text().strip()
        assert key not in log
        assert key not in out


def test_it_refuses_to_start_and_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        with process(tmp_path, (port, free_ports()[1])) as server:
            _, log = server.communicate(timeout=20)
            assert server.returncode == 2
            assert f"port {port}" in log
            assert "--api-port" in log
            assert "Traceback" not in log
    with process(tmp_path) as first:
        address_of(first)
        with process(tmp_path) as second:
            _, log = second.communicate(timeout=20)
            assert second.returncode == 2, log
            assert "Traceback" not in log
    database = tmp_path / "paddock.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192) if len(whole) > 8192 else os.urandom(9000))
    for beside in ("paddock.db-wal", "paddock.db-shm"):
        (tmp_path / beside).unlink(missing_ok=True)
    with process(tmp_path) as server:
        _, log = server.communicate(timeout=20)
        assert server.returncode == 3, log
        assert "restore" in log
        assert "Traceback" not in log


@pytest.mark.skipif(os.geteuid() != 0, reason="FULL DISK NOT TRIED: only root may mount a small one")
def test_a_full_disk_ends_it_and_with_room_it_goes_on(tmp_path: Path) -> None:
    """Exit code 4: systemd tries again until there is room."""

    async def fill(address: str) -> list[str]:
        """Wishes until one is refused; the names of those that were acknowledged."""
        async with client_at(tmp_path, address) as client:
            await client.apply_stack(stack("first"))
            names, refusal = ["first"], ""
            with contextlib.suppress(OSError), (tmp_path / "filling").open("wb") as file:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            for number in range(500):
                try:
                    await client.apply_stack(stack(f"s{number}"))
                except PaddockError as error:
                    refusal = str(error)
                    break
                names.append(f"s{number}")
        assert "disk is full" in refusal
        return names

    async def names_at(address: str) -> list[str]:
        async with client_at(tmp_path, address) as client:
            return [one.name for one in await client.stacks()]

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(tmp_path)], check=True, timeout=10)
    try:
        with process(tmp_path) as server:
            acknowledged = asyncio.run(fill(address_of(server)))
            _, log = server.communicate(timeout=20)
            assert server.returncode == 4, log
            assert "the disk is full" in log
            assert "Traceback" not in log
        with process(tmp_path) as server:
            _, log = server.communicate(timeout=20)
            assert server.returncode == 4, log
            assert "KiB left" in log
        (tmp_path / "filling").unlink()
        with process(tmp_path) as server:
            assert sorted(asyncio.run(names_at(address_of(server)))) == sorted(acknowledged)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True, timeout=10)


def test_a_backup_of_a_running_server_is_restored_whole(tmp_path: Path) -> None:
    async def main() -> None:
        archive = tmp_path / "backup.tar"
        async with admin(tmp_path / "one") as (running, client):
            await client.apply_stack(stack("kept"))
            with archive.open("wb") as file:
                assert await client.backup(file.write) == archive.stat().st_size or file.tell() > 0
            await client.apply_stack(stack("later"))
            key, ca = running.admin_key, running.ca
            with pytest.raises(Refused):
                restore_backup(archive, tmp_path / "one")
            assert [one.name for one in await client.stacks()] == ["kept", "later"]
        assert not list((tmp_path / "one").glob(".backup*"))
        restore_backup(archive, tmp_path / "two")
        assert ((tmp_path / "two" / "ca.key").stat().st_mode & 0o777) == 0o600
        async with running_server(config_in(tmp_path / "two")) as restored, client_of(restored, key) as client:
            assert restored.ca == ca
            assert restored.admin_key is None
            assert [one.name for one in await client.stacks()] == ["kept"]

    asyncio.run(main())


def test_a_stopped_server_is_backed_up_and_a_damaged_backup_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        data, archive = tmp_path / "data", tmp_path / "backup.tar"
        async with admin(data) as (_, client):
            await client.apply_stack(stack("kept"))
        assert await backup_stopped(data, archive, machine_world()) > 0
        assert (archive.stat().st_mode & 0o777) == 0o600
        before = (data / "ca.key").read_bytes()
        whole = archive.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", os.urandom(20_000)):
            archive.write_bytes(damaged)
            with pytest.raises(Broken):
                restore_backup(archive, data)
            assert (data / "ca.key").read_bytes() == before
        with pytest.raises(NotFound):
            restore_backup(tmp_path / "none", data)
        with pytest.raises(NotFound):
            await backup_stopped(tmp_path / "none", archive, machine_world())
        async with admin(data):
            pass

    asyncio.run(main())
