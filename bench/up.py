"""`paddock up -d` until running, beside `docker compose up -d` of the same file on the same engine, in one run.

    python bench/up.py [--compose PATH] [--counts 1,3,30] [--pairs 3] [--root DIR]

As root. In a playground of three hosts: the stack is held to one of them by a constraint, then once more spread over
all three. `--root` uses a playground that is up already and leaves it. `--compose` (or PADDOCK_BENCH_COMPOSE) is the
binary of docker's compose plugin; where it is absent its rows are left out, and that is said. Pairs alternate, and the
ratio is the median of the pairs' own, so that other load on the machine hits both alike. "engine" is the floor: create
and start through the engine's socket, four at a time, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ground import IMAGE, TIMEOUT_S, Ground, playground, timed
from paddock.wire.engine_http import EngineHttp, unix_dial

STACK = "benchup"
HOST = "h1"
AT_ONCE = 4
Take = Callable[[], float]


def write_stack(folder: Path, count: int, *, hosts: int) -> Path:
    held = {"placement": {"constraints": [f"node.hostname == {HOST}"]}} if hosts == 1 else {}
    service = {
        "image": IMAGE,
        "command": ["sleep", "86400"],
        "stop_signal": "SIGKILL",
        "deploy": {"replicas": count, **held},
    }
    file = folder / f"{count}-on-{hosts}.json"
    file.write_text(json.dumps({"name": STACK, "services": {"web": service}}))
    return file


def by_paddock(ground: Ground, file: Path) -> float:
    began = time.perf_counter()
    ground.paddock("up", "-d", "-f", str(file))
    took = time.perf_counter() - began
    ground.paddock("down", "-p", STACK)
    for engine in ground.hosts.values():
        _wait_until_gone(engine)
    return took


def _wait_until_gone(engine: str) -> None:
    """The network lingers on the engine, so that the next one's turn would have to take it away first."""
    deadline = time.monotonic() + TIMEOUT_S
    look = ["docker", "-H", engine, "network", "ls", "-q", "--filter", f"name=^{STACK}_default$"]
    while subprocess.run(look, capture_output=True, timeout=TIMEOUT_S, check=True).stdout:
        if time.monotonic() > deadline:
            raise SystemExit(f"the network of {STACK} stays on {engine}")
        time.sleep(0.1)


def by_compose(binary: str, engine: str, file: Path) -> float:
    command = [binary, "-f", str(file)]
    variables = dict(os.environ) | {"DOCKER_HOST": engine, "COMPOSE_PROGRESS": "plain"}
    took = timed([*command, "up", "-d"], variables)
    timed([*command, "down"], variables)
    return took


def by_engine(engine: str, count: int) -> float:
    return asyncio.run(_by_engine(engine.removeprefix("unix://"), count))


async def _by_engine(socket: str, count: int) -> float:
    http = EngineHttp(unix_dial(socket))
    await http.negotiate()
    gate = asyncio.Semaphore(AT_ONCE)
    made: list[str] = []

    async def one() -> None:
        async with gate:
            body = {"Image": IMAGE, "Cmd": ["sleep", "86400"]}
            created = await http.json("POST", "/containers/create", body=body)
            made.append(created["Id"])
            await http.call("POST", f"/containers/{created['Id']}/start", timeout_s=TIMEOUT_S)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    took = time.perf_counter() - began
    for id in made:
        await http.call("DELETE", f"/containers/{id}", query={"force": True}, timeout_s=TIMEOUT_S)
    await http.close()
    return took


def compare(title: str, takes: dict[str, Take], pairs: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(pairs):
        for name, take in takes.items():
            times[name].append(take())
    for name, taken in times.items():
        print(f"{title:24}{name:16}{statistics.median(taken):7.2f} s   best {min(taken):6.2f} s", end="")
        if name == "paddock" and len(takes) > 1:
            ratios = {
                other: statistics.median(ours / theirs for ours, theirs in zip(taken, times[other], strict=True))
                for other in takes
                if other != name
            }
            print("".join(f"   {ratio:5.2f}x {other}" for other, ratio in ratios.items()), end="")
        print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compose", default=os.environ.get("PADDOCK_BENCH_COMPOSE", ""))
    parser.add_argument("--counts", default="1,3,30")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--hosts", default="1,3", help="held to one host, and over all three")
    parser.add_argument("--root", type=Path, help="a playground that is up already")
    options = parser.parse_args()
    binary = shutil.which(options.compose) if options.compose else None
    if binary is None:
        print("NO docker-compose plugin given (--compose PATH): the rows beside it are LEFT OUT")
    with playground(3, options.root) as ground, tempfile.TemporaryDirectory() as folder:
        engine = ground.hosts[HOST]
        for hosts in (int(number) for number in options.hosts.split(",")):
            for count in [int(number) for number in options.counts.split(",")]:
                if hosts > 1 and count < 10:
                    continue
                file = write_stack(Path(folder), count, hosts=hosts)
                takes: dict[str, Take] = {"paddock": lambda file=file: by_paddock(ground, file)}  # type: ignore[misc]
                if binary is not None:
                    takes["docker compose"] = lambda file=file: by_compose(binary, engine, file)  # type: ignore[misc]
                takes["engine"] = lambda count=count: by_engine(engine, count)  # type: ignore[misc]
                compare(f"{count} on {hosts} host{'s' * (hosts > 1)}", takes, options.pairs)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
