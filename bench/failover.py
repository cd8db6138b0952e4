"""A host loses power: how long until its units run elsewhere.

    python bench/failover.py [--runs 10] [--units 6] [--root DIR]

As root, in a playground of three hosts. Each run kills another host that holds units of the stack, and waits until as
many of its containers as wished for run on the engines of the other hosts, as those engines say; then the host comes
back and everything is at rest again before the next run. The goal is 15 s: 10 s to be sure, 5 s to bring them up.
Beside it: the time in which `docker run -d` brings up as many containers on one of the engines that are left, one after
the other: what is not waiting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from ground import IMAGE, TIMEOUT_S, Ground, playground

STACK = "benchfail"
LOOK_S = 0.05
DEADLINE_S = 60.0
GOAL_S = 15.0


def docker(engine: str, *words: str) -> list[str]:
    done = subprocess.run(
        ["docker", "-H", engine, *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    return done.stdout.split()


def running(ground: Ground, without: str = "") -> dict[str, int]:
    """Host -> containers of the stack that its engine says are running."""
    wanted = ("ps", "--quiet", "--filter", f"label=io.paddock.stack={STACK}", "--filter", "status=running")
    return {host: len(docker(engine, *wanted)) for host, engine in ground.hosts.items() if host != without}


def until_running(ground: Ground, units: int, without: str = "") -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while sum(running(ground, without).values()) != units:
        if time.monotonic() > deadline_s:
            raise SystemExit(f"after {DEADLINE_S:g} s there run {running(ground, without)}, not {units}")
        time.sleep(LOOK_S)


def until_active(ground: Ground) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while any(host["state"] != "active" for host in ground.status()["hosts"]):
        if time.monotonic() > deadline_s:
            raise SystemExit(f"not every host came back: {ground.status()['hosts']}")
        time.sleep(LOOK_S)


def once(ground: Ground, units: int, host: str) -> tuple[float, float, int]:
    """(seconds until all run elsewhere, seconds the engine needs for as many, units that had to move)"""
    moved = running(ground)[host]
    began_s = time.monotonic()
    ground.playground("kill", host)
    until_running(ground, units, without=host)
    took_s = time.monotonic() - began_s
    other = next(engine for name, engine in ground.hosts.items() if name != host)
    began_s = time.monotonic()
    made = [docker(other, "run", "-d", IMAGE, "sleep", "60")[0] for _ in range(moved)]
    plain_s = time.monotonic() - began_s
    docker(other, "rm", "-f", *made)
    ground.playground("start", host)
    until_active(ground)
    until_running(ground, units)
    return took_s, plain_s, moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--units", type=int, default=6)
    parser.add_argument("--root", type=Path, help="a playground that is up already")
    options = parser.parse_args()
    service = {"image": IMAGE, "command": ["sleep", "86400"], "stop_signal": "SIGKILL"}
    stack = {"name": STACK, "services": {"web": {**service, "deploy": {"replicas": options.units}}}}
    with playground(3, options.root) as ground, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "compose.json")
        file.write_text(json.dumps(stack))
        ground.paddock("up", "-d", "-f", str(file))
        times: list[float] = []
        for number in range(options.runs):
            there = running(ground)
            host = max(there, key=lambda name: (there[name], name))
            took_s, plain_s, moved = once(ground, options.units, host)
            times.append(took_s)
            print(
                f"run {number + 1}: {host} killed, {moved} units run elsewhere after {took_s:5.2f} s "
                f"({took_s - plain_s:5.2f} s more than `docker run -d` of {moved} there: {plain_s:.2f} s)",
                flush=True,
            )
        ground.paddock("down", "-p", STACK)
        median_s = statistics.median(times)
        print(f"median {median_s:.2f} s, worst {max(times):.2f} s; goal {GOAL_S:g} s: {max(times) / GOAL_S:.2f}x of it")


if __name__ == "__main__":
    main()
