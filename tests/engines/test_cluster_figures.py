"""Figures that a user feels: how soon a name is right everywhere, and what server and agents cost at rest."""

from __future__ import annotations

import json
import statistics
import subprocess
from pathlib import Path

import pytest

import cluster_lab
from cluster_lab import Lab, Stack
from paddock.client.client import Client
from paddock.wire.api import EventView
from waiting import until

pytestmark = pytest.mark.engines

KNOWN_WITHIN_S = 1.0
SERVER_MIB, AGENT_MIB = 120, 60
CHANGES = 8
WATCH = """
import json, socket, time
known = None
while True:
    try:
        found = sorted(socket.gethostbyname_ex("member")[2])
    except OSError:
        found = []
    if found != known:
        known = found
        print(json.dumps([time.time(), found]), flush=True)
    time.sleep(0.02)
"""
TEXT = f"""
services:
  watch:
    image: python:3-slim
    command: ["python3", "-u", "-c", {json.dumps(WATCH)}]
    init: true
    stop_grace_period: 1s
    deploy: {{mode: global}}
  member:
    image: busybox:latest
    command: ["sleep", "100000"]
    init: true
    stop_grace_period: 1s
"""


def watched(stack: Stack) -> dict[str, list[tuple[float, set[str]]]]:
    """Host -> when its containers got which answer."""
    found = {}
    for view in stack.running("watch"):
        lines = stack.lab.docker(view.host, "logs", view.id).splitlines()
        found[view.host] = [(at, set(addresses)) for at, addresses in map(json.loads, lines)]
    return found


def events(stack: Stack) -> list[EventView]:
    async def ask(client: Client) -> list[EventView]:
        found = []
        async for event in client.events(since=0):
            found.append(event)
        return found

    kept = stack.lab.ask(ask)
    return [event for event in kept if event.stack == stack.name and event.service == "member"]


def test_a_name_is_right_everywhere_within_a_second(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with cluster_lab.stack(lab, "named", tmp_path, TEXT) as stack:
        stack.runs()
        lab.done("scale", f"named/member={CHANGES}")
        addresses = {view.name: view.addresses["named_default"] for view in stack.running("member")}
        assert len(addresses) == CHANGES
        everywhere = set(addresses.values())
        until(lambda: all(seen[-1][1] == everywhere for seen in watched(stack).values()), "all are known", 10)
        lab.done("scale", "named/member=1")
        until(lambda: all(len(seen[-1][1]) == 1 for seen in watched(stack).values()), "one is left", 10)
        seen, told = watched(stack), events(stack)
    delays: list[float] = []
    for name, address in addresses.items():
        ready = next(event.at_s for event in told if event.name == name and event.reason.endswith("running, healthy"))
        for history in seen.values():
            delays.append(next(at for at, known in history if address in known) - ready)
    going = min(event.at_s for event in told if "scal" in event.reason and event.at_s > ready)
    kept = set.intersection(*(history[-1][1] for history in seen.values()))
    for address in everywhere - kept:
        for history in seen.values():
            last = max(index for index, (_, known) in enumerate(history) if address in known)
            delays.append(history[last + 1][0] - going)
    delays = [max(delay, 0.0) for delay in delays]
    p99 = statistics.quantiles(delays, n=100)[98]
    with capsys.disabled():
        print(
            f"\nname right on every host: p50 {statistics.median(delays):.3f} s, p99 {p99:.3f} s, {len(delays)} times"
        )
    assert p99 <= KNOWN_WITHIN_S


def test_what_server_and_agents_cost(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    server = resident_mib(lab.pid(None, "server"))
    agents = [resident_mib(lab.pid(host, "agent")) for host in lab.hosts]
    with capsys.disabled():
        print(f"\nresident: server {server:.0f} MiB, agents {', '.join(f'{one:.0f}' for one in agents)} MiB")
    assert server < SERVER_MIB
    assert max(agents) < AGENT_MIB
    titles = subprocess.run(["ps", "-o", "args=", "-p", str(lab.pid(None, "server"))], capture_output=True, text=True)
    assert titles.stdout.startswith("paddock server")


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024
