"""Memory of the server with three hosts at rest, and of the agents, beside one host's engine, in the same run.

    python bench/memory.py [--root DIR] [--rest 30]

As root. RSS is what is resident, shared pages included; PSS counts a shared page by its share. The engine is dockerd
with its containerd: what a host spends anyway.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ground import playground
from paddock.playground.engine import LABEL as ENGINE
from paddock.playground.playground import Playground

GOAL_MIB = {"server": 120, "agent": 60}


def mib(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} has no {field}")


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(child) for task in tasks for child in task.read_text().split()]
    return own + [grandchild for child in own for grandchild in children(child)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, help="a playground that is up already")
    parser.add_argument("--rest", type=float, default=30.0, help="seconds to wait before looking")
    options = parser.parse_args()
    with playground(3, options.root) as ground:
        time.sleep(options.rest)
        made = Playground(ground.root, ground.root.name)
        first = next(iter(ground.hosts))
        engine = made.pid(first, ENGINE)
        pids = {"server": made.pid(None, "server")} | {
            f"agent {host}": made.pid(host, "agent") for host in ground.hosts
        }
        beside = sum(mib(pid, "Rss") for pid in ([engine, *children(engine)] if engine else []))
        for name, pid in pids.items():
            if pid is None:
                raise SystemExit(f"{name} is not running")
            rss, goal = mib(pid, "Rss"), GOAL_MIB[name.split()[0]]
            ratio = f", {rss / beside:.2f}x the engine of {first} ({beside:.0f} MiB)" if beside else ""
            print(f"{name:12}{rss:6.1f} MiB RSS, {mib(pid, 'Pss'):6.1f} MiB PSS   goal < {goal}{ratio}")


if __name__ == "__main__":
    main()
