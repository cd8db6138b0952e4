"""A whole agent on a real engine, with a scripted server at the other end of its connection."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_peer import Peer, running_agent, surroundings
from engines.one_engine import IMAGE, Machine, machine, shared_machine
from paddock.agent.agent import Agent
from paddock.agent.files import Files
from paddock.agent.ledger import Ledger
from paddock.agent.sealing import Sealing
from paddock.drivers.docker import DockerEngine
from paddock.model.assignment import (
    ContainerAssignment,
    Endpoint,
    FileAssignment,
    FilePlacement,
    NetworkAssignment,
    UnitAssignment,
    VolumeAssignment,
)
from paddock.model.objects import FileId, NetworkId, UnitDesired, UnitId, UnitState, VolumeId
from paddock.wire.engine_http import EngineHttp, unix_dial
from paddock.wire.messages import Assign, Goodbye
from paddock.world.world import machine_world
from waiting import until_async

__all__ = ["machine", "shared_machine"]
pytestmark = pytest.mark.engines

ONE, TWO = UnitId("service-1.1.1"), UnitId("service-1.1.2")
SLEEP = {"Cmd": ["sleep", "1000"]}


class Bench:
    """A data directory, an engine and a server, on which agents come and go."""

    def __init__(self, machine: Machine, data: Path) -> None:
        self.machine = machine
        self.data = data
        self.files = Files(data / "files")
        self.peer = Peer()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        world = machine_world()
        http = EngineHttp(unix_dial(str(self.machine.socket)))
        ledger = Ledger(self.data / "ledger.db", Sealing(self.data / "ledger.key", world))
        self.files.prepare()
        try:
            around = surroundings(world, DockerEngine(http, world), ledger, self.peer, self.files)
            async with asyncio.timeout(120), running_agent(around, self.peer) as agent:
                yield agent
        finally:
            await http.close()
            ledger.close()

    async def inspect(self, container: str) -> dict[str, Any]:
        return await asyncio.to_thread(self.machine.inspect, container)

    async def api(self, method: str, path: str, **more: Any) -> Any:
        return await asyncio.to_thread(lambda: self.machine.api(method, path, **more))

    async def containers(self) -> dict[str, str]:
        """Name -> state of every container."""
        found = await self.api("GET", "/containers/json", query={"all": True})
        return {container["Names"][0][1:]: container["State"] for container in found}


@pytest.fixture
def bench(machine: Machine) -> Iterator[Callable[[Callable[[Bench], Awaitable[None]]], None]]:
    """Runs a scenario in a loop of its own. Data lives on a tmpfs, as an agent's files do."""
    data = Path(tempfile.mkdtemp(prefix="pdk-agent-", dir="/dev/shm"))

    def run(scenario: Callable[[Bench], Awaitable[None]]) -> None:
        async def begin() -> None:
            await scenario(Bench(machine, data))

        asyncio.run(begin())

    yield run
    shutil.rmtree(data, ignore_errors=True)


def container(**changes: Any) -> ContainerAssignment:
    values: dict[str, Any] = {
        "name": "shop-api-1",
        "image": IMAGE,
        "body": SLEEP,
        "stop_grace_s": 0.0,
        "network_mode": "none",
        **changes,
    }
    return ContainerAssignment(**values)


def unit(id: UnitId = ONE, desired: UnitDesired = UnitDesired.RUN, **changes: Any) -> UnitAssignment:
    values: dict[str, Any] = {"containers": (container(),), **changes}
    return UnitAssignment(unit=id, desired=desired, **values)


def wished(item: UnitAssignment, desired: UnitDesired) -> UnitAssignment:
    return msgspec.structs.replace(item, desired=desired)


Run = Callable[[Callable[[Bench], Awaitable[None]]], None]


def test_a_unit_goes_from_ready_to_removed(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            item = unit(desired=UnitDesired.READY)
            await b.peer.assign(item)
            report = await b.peer.until_state(ONE, UnitState.READY)
            assert report.containers[0].state == "created"
            await b.peer.assign(wished(item, UnitDesired.RUN))
            report = await b.peer.until_state(ONE, UnitState.RUNNING)
            assert report.healthy
            assert (await b.inspect("shop-api-1"))["Id"] == report.containers[0].id
            await b.peer.assign(wished(item, UnitDesired.STOPPED))
            await b.peer.until_state(ONE, UnitState.SHUTDOWN)
            assert await b.containers() == {"shop-api-1": "exited"}
            await b.peer.assign(wished(item, UnitDesired.REMOVED))
            await b.peer.until_state(ONE, UnitState.REMOVED)
            assert await b.containers() == {}
            states = [report.state for report in b.peer.reports[ONE]]
            assert states == sorted(states)

    bench(scenario)


def test_a_killed_container_is_reported_with_its_exit_code(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            await b.peer.assign(unit())
            await b.peer.until_state(ONE, UnitState.RUNNING)
            await b.api("POST", "/containers/shop-api-1/kill")
            report = await b.peer.until_state(ONE, UnitState.FAILED)
            assert report.message == "shop-api-1 ended with exit code 137"
            assert report.containers[0].exit_code == 137

    bench(scenario)


def test_ends_are_told_apart(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            well = unit(UnitId("a.1.1"), containers=(container(name="aa", body={"Cmd": ["true"]}),))
            badly = unit(UnitId("b.1.1"), containers=(container(name="bb", body={"Cmd": ["sh", "-c", "exit 3"]}),))
            never = unit(UnitId("c.1.1"), containers=(container(name="cc", body={"Cmd": ["no-such-program"]}),))
            lacking = unit(UnitId("d.1.1"), containers=(container(name="dd", image="nowhere:1", pull="never"),))
            absent = unit(UnitId("e.1.1"), containers=(container(name="ee", image="localhost:1/nothing:1"),))
            await b.peer.assign(well, badly, never, lacking, absent)
            assert (await b.peer.until_state("a.1.1", UnitState.COMPLETE)).message == ""
            assert "exit code 3" in (await b.peer.until_state("b.1.1", UnitState.FAILED)).message
            assert "no-such-program" in (await b.peer.until_state("c.1.1", UnitState.REJECTED)).message
            assert "pull policy is never" in (await b.peer.until_state("d.1.1", UnitState.REJECTED)).message
            refused = await b.peer.until_state("e.1.1", UnitState.REJECTED)
            assert "localhost:1/nothing:1 could not be pulled" in refused.message

    bench(scenario)


def test_a_container_removed_behind_our_back_is_reported(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            await b.peer.assign(unit())
            await b.peer.until_state(ONE, UnitState.RUNNING)
            await b.api("DELETE", "/containers/shop-api-1", query={"force": True})
            report = await b.peer.until_state(ONE, UnitState.FAILED)
            assert report.message
            await b.peer.assign(unit(TWO), dropped=[f"unit/{ONE}"])
            await b.peer.until_state(TWO, UnitState.RUNNING)

    bench(scenario)


def test_an_agent_restart_disturbs_nothing(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            await b.peer.assign(unit())
            report = await b.peer.until_state(ONE, UnitState.RUNNING)
            before = await b.inspect("shop-api-1")
        b.peer.reports.clear()
        async with b.agent():
            again = await b.peer.until_state(ONE, UnitState.RUNNING)
            after = await b.inspect("shop-api-1")
        assert again.containers == report.containers
        assert (before["Id"], before["State"]) == (after["Id"], after["State"])
        assert b.peer.hellos[0].instance != b.peer.hellos[1].instance
        assert b.peer.hellos[1].assignment == 1

    bench(scenario)


def test_an_agent_without_its_ledger_finds_its_containers_by_their_labels(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        other = unit(UnitId("old.1.1"), containers=(container(name="old"),))
        async with b.agent():
            await b.peer.assign(unit(), other)
            await b.peer.until_state(ONE, UnitState.RUNNING)
            await b.peer.until_state("old.1.1", UnitState.RUNNING)
            before = await b.inspect("shop-api-1")
            await b.api("POST", "/containers/create", query={"name": "foreign"}, body={"Image": IMAGE})
        for file in b.data.glob("ledger.db*"):
            file.unlink()
        b.peer.reports.clear()
        await b.peer.assign(dropped=["unit/old.1.1"])
        b.peer.cut()
        async with b.agent() as agent:
            await agent.observer.listed.wait()
            assert await b.containers() == {"shop-api-1": "running", "old": "running", "foreign": "created"}
            b.peer.heal()
            await b.peer.until_state(ONE, UnitState.RUNNING)

            async def swept() -> bool:
                return await b.containers() == {"shop-api-1": "running", "foreign": "created"}

            await until_async(swept, "the container in no assignment is gone, the foreign one is not", within_s=30)
            assert (await b.inspect("shop-api-1"))["State"] == before["State"]

    bench(scenario)


def test_a_copy_of_an_agent_touches_nothing(bench: Run) -> None:
    """Its ledger is another host's: it would make that host's containers, and remove those that are here."""

    async def scenario(bench: Bench) -> None:
        async with bench.agent():
            await bench.peer.assign(unit())
            await bench.peer.until_state(ONE, UnitState.RUNNING)
        before = await bench.containers()
        ledger = Ledger(bench.data / "ledger.db", Sealing(bench.data / "ledger.key", machine_world()))
        ledger.apply(
            Assign(version=ledger.version + 1, since=ledger.version, items=(unit(TWO),), dropped=(f"unit/{ONE}",))
        )
        ledger.forget(ONE)
        await ledger.sync()
        ledger.close()
        bench.peer.refusal = Goodbye(reason="another agent is connected", doubled=True)
        said = len(bench.peer.hellos)
        async with bench.agent() as agent:
            await until_async(lambda: len(bench.peer.hellos) > said + 2, "it was refused again and again", 20)
            assert agent.observer.containers()
            assert await bench.containers() == before
            bench.peer.refusal = None
            bench.peer.items = {f"unit/{TWO}": unit(TWO)}
            await bench.peer.until_state(TWO, UnitState.RUNNING)

    bench(scenario)


def test_the_next_generation_takes_the_name(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            await b.peer.assign(unit())
            first = await b.peer.until_state(ONE, UnitState.RUNNING)
            await b.peer.assign(unit(TWO))
            second = await b.peer.until_state(TWO, UnitState.RUNNING)
            assert (await b.inspect("shop-api-1"))["Id"] == second.containers[0].id
            assert len(await b.containers()) == 2
            await b.peer.assign(wished(unit(), UnitDesired.REMOVED))
            await b.peer.until_state(ONE, UnitState.REMOVED)
            assert await b.containers() == {"shop-api-1": "running"}
            assert first.containers[0].id != second.containers[0].id

    bench(scenario)


def test_a_foreign_container_keeps_its_name(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        await b.api("POST", "/containers/create", query={"name": "shop-api-1"}, body={"Image": IMAGE})
        async with b.agent():
            await b.peer.assign(unit())
            report = await b.peer.until_state(ONE, UnitState.REJECTED)
            assert "taken on this host by container" in report.message
            assert await b.containers() == {"shop-api-1": "created"}

    bench(scenario)


def test_a_unit_starts_the_containers_of_the_one_it_reuses(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            item = unit()
            await b.peer.assign(item)
            first = await b.peer.until_state(ONE, UnitState.RUNNING)
            await b.peer.assign(wished(item, UnitDesired.STOPPED))
            await b.peer.until_state(ONE, UnitState.SHUTDOWN)
            await b.peer.assign(unit(TWO, reuses=ONE), dropped=[f"unit/{ONE}"])
            second = await b.peer.until_state(TWO, UnitState.RUNNING)
            assert second.containers[0].id == first.containers[0].id
            three = UnitId("service-1.1.3")
            await b.api("POST", "/containers/shop-api-1/kill")
            await b.peer.until_state(TWO, UnitState.FAILED)
            await b.peer.assign(unit(three, reuses=TWO))
            third = await b.peer.until_state(three, UnitState.RUNNING)
            assert third.containers[0].id == first.containers[0].id
            await b.peer.assign(unit(TWO, UnitDesired.REMOVED, reuses=ONE))
            await b.peer.until_state(TWO, UnitState.REMOVED)
            assert await b.containers() == {"shop-api-1": "running"}

    bench(scenario)


def test_secrets_and_configs_have_owner_and_mode_and_are_on_no_disk(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        content = b"correct horse battery staple"
        secret = FileAssignment(file=FileId("file-1"), purpose="secret", digest="x", content=content)
        config = FileAssignment(file=FileId("file-2"), purpose="config", digest="y", content=b"a = 1\n")
        files = (
            FilePlacement(
                file=FileId("file-1"), purpose="secret", target="/run/secrets/key", uid="33", gid="44", mode=0o440
            ),
            FilePlacement(file=FileId("file-2"), purpose="config", target="/etc/app.conf"),
        )
        show = "stat -c '%u %g %a' /run/secrets/key /etc/app.conf; cat /run/secrets/key; echo no > /etc/app.conf"
        item = unit(
            containers=(container(files=files, body={"Cmd": ["sh", "-c", f"{show}; sleep 1000"], "Tty": True}),)
        )
        async with b.agent():
            await b.peer.assign(secret, config, item)
            await b.peer.until_state(ONE, UnitState.RUNNING)
            http = EngineHttp(unix_dial(str(b.machine.socket)))

            async def logs() -> bytes:
                answer = await http.call("GET", "/containers/shop-api-1/logs", query={"stdout": True, "stderr": True})
                return answer.body if b"ead-only" in answer.body else b""

            said = await until_async(logs, "it has looked at its files")
            await http.close()
            assert said.splitlines()[:3] == [
                b"33 44 440",
                b"0 0 444",
                content + b"sh: can't create /etc/app.conf: Read-only file system",
            ]
        for file in b.data.glob("ledger*"):
            assert content not in file.read_bytes()
            assert file.stat().st_mode & 0o077 == 0 or file.name.endswith(("-wal", "-shm"))
        async with b.agent():
            await b.peer.assign(wished(item, UnitDesired.REMOVED))
            await b.peer.until_state(ONE, UnitState.REMOVED)
            await b.peer.assign(dropped=[f"unit/{ONE}"])
            await until_async(lambda: not list((b.data / "files").iterdir()), "no file is left")

    bench(scenario)


NET = NetworkAssignment(
    network=NetworkId("network-1"), engine_name="shop_default", subnet="10.98.0.0/20", gateway="10.98.0.1",
    ip_range="10.98.0.0/28", vni=77, mtu=1450,
)  # fmt: skip
NET2 = msgspec.structs.replace(
    NET, network=NetworkId("network-2"), engine_name="shop_back", subnet="10.97.0.0/20", gateway="10.97.0.1",
    ip_range="10.97.0.0/28", vni=78,
)  # fmt: skip


def test_networks_come_with_the_first_container_and_go_with_the_last(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        endpoints = (
            Endpoint(network=NET.network, ipv4="10.98.1.5", mac="02:42:0a:62:01:05"),
            Endpoint(network=NET2.network, ipv4="10.97.1.5", mac="02:42:0a:61:01:05"),
        )
        volume = VolumeAssignment(volume=VolumeId("volume-1"), engine_name="shop_data")
        body = {**SLEEP, "HostConfig": {"Mounts": [{"Type": "volume", "Source": "shop_data", "Target": "/data"}]}}
        item = unit(
            containers=(container(endpoints=endpoints, network_mode="", volumes=(VolumeId("volume-1"),), body=body),)
        )

        async def names() -> list[str]:
            return sorted(n["Name"] for n in await b.api("GET", "/networks") if n["Name"].startswith("shop"))

        async with b.agent() as agent:
            await b.peer.assign(NET)
            await b.peer.assign(item)
            await b.peer.until_message(ONE, "waits for network network-2")
            assert await names() == []
            await b.peer.assign(NET2)
            await b.peer.until_message(ONE, "waits for volume volume-1")
            await b.peer.assign(volume)
            await b.peer.until_state(ONE, UnitState.RUNNING)
            assert await names() == ["shop_back", "shop_default"]
            networks = (await b.inspect("shop-api-1"))["NetworkSettings"]["Networks"]
            assert {n: (e["IPAddress"], e["MacAddress"]) for n, e in networks.items()} == {
                "shop_default": ("10.98.1.5", "02:42:0a:62:01:05"),
                "shop_back": ("10.97.1.5", "02:42:0a:61:01:05"),
            }
            overlay, told = agent.networks._overlay, agent.networks._names
            wanted = {network.bridge: network.local_address for network in overlay.wanted}  # type: ignore[attr-defined]
            assert wanted == {"pdk4d": "10.123.0.2", "pdk4e": "10.123.0.2"}
            assert told.records.containers[0].addresses[NET.network] == "10.98.1.5"  # type: ignore[attr-defined]
            await b.peer.assign(wished(item, UnitDesired.REMOVED))
            await b.peer.until_state(ONE, UnitState.REMOVED)

            async def gone() -> bool:
                return await names() == []

            await until_async(gone, "the networks are gone")

            def told_nothing() -> bool:
                return not overlay.wanted  # type: ignore[attr-defined]

            await until_async(told_nothing, "the kernel is told")
            assert [v["Name"] for v in (await b.api("GET", "/volumes"))["Volumes"]] == ["shop_data"]
            await b.peer.assign(msgspec.structs.replace(volume, keep=False))

            async def no_volume() -> bool:
                return not (await b.api("GET", "/volumes"))["Volumes"]

            await until_async(no_volume, "the volume is gone")

    bench(scenario)


def test_sidekicks_start_with_their_primary_and_fall_with_it(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        sidekick = container(name="shop-log-1", role="log", after=("shop-api-1",), network_mode="container:shop-api-1")
        item = unit(containers=(sidekick, container()))
        async with b.agent():
            await b.peer.assign(item)
            report = await b.peer.until_state(ONE, UnitState.RUNNING)
            assert {status.role: status.state for status in report.containers} == {"": "running", "log": "running"}
            await b.api("POST", "/containers/shop-api-1/kill")
            await b.peer.until_state(ONE, UnitState.FAILED)

            async def still() -> bool:
                return await b.containers() == {"shop-api-1": "exited", "shop-log-1": "exited"}

            await until_async(still, "the sidekick is stopped too")

    bench(scenario)


def test_health_is_the_engines(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        check = {"Test": ["CMD", "cat", "/bin/ok"], "Interval": 200_000_000, "Timeout": 5_000_000_000, "Retries": 1}
        async with b.agent():
            await b.peer.assign(unit(containers=(container(body={**SLEEP, "Healthcheck": check}),)))
            report = await b.peer.until_state(ONE, UnitState.RUNNING)
            assert not report.healthy

            def is_health(word: str) -> Callable[[], bool]:
                return lambda: (last := b.peer.last(ONE)) is not None and last.containers[0].health == word

            await until_async(is_health("unhealthy"), "it is unhealthy")
            started = await b.api("POST", "/containers/shop-api-1/exec", body={"Cmd": ["sh", "-c", "echo 1 > /bin/ok"]})
            await b.api("POST", f"/exec/{started['Id']}/start", body={"Detach": True})
            await until_async(is_health("healthy"), "it is healthy")
            last = b.peer.last(ONE)
            assert last is not None
            assert last.healthy

    bench(scenario)


def test_engine_restarts_are_not_the_end(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        policy = {"RestartPolicy": {"Name": "always"}}
        bounded = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1}}
        fail = {"Cmd": ["sh", "-c", "sleep 0.2; exit 4"]}
        async with b.agent():
            await b.peer.assign(
                unit(engine_restarts=True, containers=(container(body={**fail, "HostConfig": policy}),)),
                unit(
                    UnitId("b.1.1"),
                    engine_restarts=True,
                    containers=(container(name="bb", body={**fail, "HostConfig": bounded}),),
                ),
            )
            ended = await b.peer.until_state("b.1.1", UnitState.FAILED)
            assert "exit code 4" in ended.message
            assert ended.containers[0].restarts == 1

            def restarted() -> bool:
                last = b.peer.last(ONE)
                return last is not None and bool(last.containers) and last.containers[0].restarts >= 2

            await until_async(restarted, "the engine has restarted it twice")
            last = b.peer.last(ONE)
            assert last is not None
            assert last.state == UnitState.RUNNING

    bench(scenario)


def test_cut_off_it_restarts_what_failed_and_moves_nothing(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent() as agent:
            await b.peer.assign(
                unit(restart="on-failure"),
                unit(UnitId("b.1.1"), containers=(container(name="bb"),)),
            )
            first = await b.peer.until_state(ONE, UnitState.RUNNING)
            await b.peer.until_state("b.1.1", UnitState.RUNNING)
            b.peer.cut()
            await until_async(lambda: not agent.connected, "it has noticed")
            for name in ("shop-api-1", "bb"):
                await b.api("POST", f"/containers/{name}/kill")

            async def again() -> bool:
                return (await b.containers()) == {"shop-api-1": "running", "bb": "exited"}

            await until_async(again, "what may be restarted is")
            b.peer.reports.clear()
            b.peer.heal()
            report = await b.peer.until_state(ONE, UnitState.RUNNING)
            assert report.containers[0].id == first.containers[0].id
            await b.peer.until_state("b.1.1", UnitState.FAILED)

    bench(scenario)


@pytest.mark.parametrize("live_restore", [True, False])
def test_the_engine_is_killed_and_comes_back(shared_machine: Machine, bench: Run, live_restore: bool) -> None:
    async def scenario(b: Bench) -> None:
        policy = {"RestartPolicy": {"Name": "always"}}
        async with b.agent():
            await b.peer.assign(
                unit(),
                unit(UnitId("b.1.1"), containers=(container(name="bb"),)),
                unit(
                    UnitId("c.1.1"),
                    engine_restarts=True,
                    containers=(container(name="cc", body={**SLEEP, "HostConfig": policy}),),
                ),
            )
            for id in (ONE, UnitId("b.1.1"), UnitId("c.1.1")):
                await b.peer.until_state(id, UnitState.RUNNING)
            pid = (await b.inspect("bb"))["State"]["Pid"]
            await asyncio.to_thread(b.machine.kill)
            _kill(pid)
            await b.peer.assign(unit(UnitId("d.1.1"), containers=(container(name="dd"),)))
            await b.peer.until_message("d.1.1", "Connection refused")
            await asyncio.to_thread(b.machine.start)
            await b.peer.until_state("d.1.1", UnitState.RUNNING, within_s=60)
            await b.peer.until_state("b.1.1", UnitState.FAILED)
            await b.peer.until_state("c.1.1", UnitState.RUNNING)
            if live_restore:
                last = b.peer.last(ONE)
                assert last is not None
                assert last.state == UnitState.RUNNING
            else:
                assert "exit code 137" in (await b.peer.until_state(ONE, UnitState.FAILED)).message
            states = await b.containers()
            assert (states["cc"], states["dd"]) == ("running", "running")

    shared_machine.restart(live_restore=live_restore)
    try:
        bench(scenario)
    finally:
        shared_machine.restart(live_restore=True)


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_an_unpullable_image_says_so_while_it_tries(bench: Run) -> None:
    async def scenario(b: Bench) -> None:
        async with b.agent():
            await b.peer.assign(unit(containers=(container(image="localhost:1/nothing:1"),)))
            report = await b.peer.until_message(ONE, "connection refused")
            assert report.state == UnitState.PREPARING
            await b.peer.until_state(ONE, UnitState.REJECTED)
            assert await b.containers() == {}

    bench(scenario)
